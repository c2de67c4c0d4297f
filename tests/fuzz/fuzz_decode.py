"""Looks for bytes that `imagefleet_worker.decoding.decode.decode` has no proper answer to.

Whatever the bytes, `decode` is to return pixels of the recipe's size, or to raise `BadImageError`
with one of its codes; in time, and in little memory. Atheris changes small real pictures of all
formats, and keeps the changes that reach new lines of this project's or Pillow's Python. Pillow's
C code isn't instrumented: a crash, a leak or a hang there is found, new paths in there are not.

Atheris has wheels for CPython on Linux; Pillow and numpy must be the ones that workers use:

    python -m venv .venv/fuzz
    .venv/fuzz/bin/pip install atheris -c images/worker/requirements.txt pillow numpy
    .venv/fuzz/bin/python tests/fuzz/fuzz_decode.py --seconds 3600

Options after `--` go to libFuzzer. To try what was found again, `--again FILE`. What is worth
keeping goes, made as small as it can be, into the corpus of `tests/support/hostile.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "images/core", ROOT / "images/worker", ROOT / "tests/support"]

MAX_BYTES = 16384
MAX_PIXELS = 1_000_000
INPUT_LIMIT_S = 10
MEMORY_LIMIT_MB = 1024
# Small, so that the time goes to what is read and not to what is made of it.
SIZE, RESIZE = 28, 32
PNG = b"\x89PNG"


def target(atheris: Any) -> Callable[[bytes], None]:
    """Return the function that is fed; the code under it is instrumented on import."""
    with atheris.instrument_imports(include=["PIL", "imagefleet_worker"]):
        from imagefleet_worker.decoding import formats
        from imagefleet_worker.decoding.decode import BadImageError, decode
        from imagefleet_worker.recipe import Recipe
    codes = set(get_args(formats.Code))
    square = Recipe(SIZE, RESIZE, "bicubic")
    whole = Recipe(SIZE, RESIZE, "bilinear", crop=False)

    def answer(data: bytes) -> None:
        recipe = whole if len(data) % 2 else square
        try:
            pixels = decode(data, recipe, MAX_PIXELS)
        except BadImageError as error:
            code, message = error.code, str(error)  # and not itself, which holds the picture
        else:
            height, width, channels = pixels.shape
            assert channels == 3, pixels.shape
            assert max(height, width) <= SIZE, pixels.shape
            assert recipe is whole or height == width == SIZE, pixels.shape
            assert str(pixels.dtype) == "uint8", pixels.dtype
            return
        assert code in codes, code
        assert message

    return answer


def fuzz(atheris: Any, options: Sequence[str]) -> None:
    """Run libFuzzer in this process until it finds something or its time is over."""
    from hostile_parts import with_right_checksums

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        """Put most PNGs' checksums right again, else none of them would be read far."""
        changed: bytes = atheris.Mutate(data, max_bytes)
        if changed.startswith(PNG) and seed % 10:
            return with_right_checksums(changed)
        return changed

    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *options], target(atheris), custom_mutator=mutate)
    atheris.Fuzz()


def search(seconds: float, folder: Path, options: Sequence[str]) -> int:
    """Fuzz again and again, as each finding ends the process; return how many there were."""
    import hostile_seeds

    corpus, findings = folder / "corpus", folder / "findings"
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    for name, data in hostile_seeds.seeds().items():
        (corpus / name).write_bytes(data)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) >= 1:
        fixed = [
            f"-max_total_time={left:.0f}",
            f"-max_len={MAX_BYTES}",
            f"-timeout={INPUT_LIMIT_S}",
            f"-rss_limit_mb={MEMORY_LIMIT_MB}",
            f"-artifact_prefix={findings}/",
            "-print_final_stats=1",
        ]
        command = [sys.executable, __file__, "--once", "--", *fixed, *options, str(corpus)]
        subprocess.run(command, check=False)
    return len(list(findings.iterdir()))


def main() -> int:
    """Read the command line; return the exit code: 1 if anything was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "imagefleet-fuzz",
        help="where the corpus grows and findings are put (default: %(default)s)",
    )
    parser.add_argument("--again", type=Path, metavar="FILE", help="only try one file, and end")
    parser.add_argument("--once", action="store_true", help="end with the first finding")
    parser.add_argument("libfuzzer", nargs="*", help="after --: options of libFuzzer")
    options = parser.parse_args()
    try:
        atheris = import_module("atheris")
    except ImportError:
        parser.error("Atheris is not installed; --help tells how to")
    if options.again:
        fuzz(atheris, [str(options.again)])
    elif options.once:
        fuzz(atheris, options.libfuzzer)
    else:
        found = search(options.seconds, options.folder, options.libfuzzer)
        sys.stdout.write(f"{found} findings in {options.folder / 'findings'}\n")
        return int(found > 0)
    return 0


if __name__ == "__main__":
    sys.path[:0] = map(str, PACKAGES)
    sys.exit(main())
