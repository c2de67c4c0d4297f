"""An image function for workers that are to be killed by an image: `IMAGEFLEET_PROCESSOR`."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Sequence

import numpy as np
from PIL import Image

from imagefleet_worker import classifiers
from imagefleet_worker.processors import Pixels, Resources

MAGENTA = (255, 0, 255)


class Classifier:
    """The packaged classifier; at the sight of a picture all in magenta its process is killed."""

    def __init__(self, resources: Resources) -> None:
        self._network = classifiers.load("openvino", classifiers.PACKAGED_MODEL, resources.threads)
        self.name = "poisonable@1"
        self.recipe = self._network.recipe

    def process(self, images: Sequence[Pixels]) -> list[dict[str, object]]:
        """Return the best label of each image."""
        if any(np.abs(image.astype(int) - MAGENTA).max() < 8 for image in images):
            os.kill(os.getpid(), signal.SIGKILL)
        tops = self._network.classify(np.stack(images))
        return [{"label": top[0].label} for top in tops]


def poison() -> bytes:
    """Return the picture that kills, as a JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (224, 224), MAGENTA).save(file, "JPEG", quality=95)
    return file.getvalue()
