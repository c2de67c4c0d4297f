"""Real photographs, as scikit-image and scikit-learn carry them in their wheels.

The files are read in place: those packages' own functions import much and may try to download.
"""

from __future__ import annotations

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

_FILES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
NAMES = tuple(_FILES)


def load() -> dict[str, bytes]:
    """Return every photograph as a JPEG file, by name."""
    return {name: jpeg(name) for name in NAMES}


@cache
def jpeg(name: str) -> bytes:
    """Return one photograph as a JPEG file; what comes as PNG is encoded at quality 95."""
    package, file = _FILES[name]
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None
    path = Path(spec.origin).parent / file
    if path.suffix == ".jpg":
        return path.read_bytes()
    encoded = io.BytesIO()
    with Image.open(path) as image:
        image.save(encoded, "JPEG", quality=95)
    return encoded.getvalue()
