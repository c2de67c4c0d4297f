"""The example of docs/processors.md, as a worker runs it, on real photographs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageFilter

import photographs
from imagefleet_worker import processors
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.processors import Processor
from imagefleet_worker.settings import WorkerSettings

EXAMPLE = Path(__file__).parents[3] / "examples/photo-quality"
NAMES = ("chelsea", "china", "coffee", "flower", "rocket")


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Processor:
    monkeypatch.syspath_prepend(EXAMPLE)
    processor = processors.load(WorkerSettings(processor="quality:PhotoQuality"), cpus=1)
    processor.warm_up()
    return processor


def describe(processor: Processor, *photos: Image.Image) -> list[dict[str, Any]]:
    """Return what a worker would tell of photographs that were uploaded as PNG."""
    images = []
    for photo in photos:
        file = io.BytesIO()
        photo.save(file, "PNG")
        images.append(decode(file.getvalue(), processor.recipe))
    outputs = [outcome.output for outcome in processor.process(images)]
    return [dict(output) for output in outputs if output is not None]


def photo(name: str) -> Image.Image:
    return Image.open(io.BytesIO(photographs.jpeg(name))).convert("RGB")


def bits_between(one: dict[str, Any], other: dict[str, Any]) -> int:
    return (int(one["fingerprint"], 16) ^ int(other["fingerprint"], 16)).bit_count()


@pytest.mark.parametrize("name", NAMES)
def test_blur_is_told_from_sharpness(name: str, quality: Processor) -> None:
    sharp, blurred = describe(quality, photo(name), photo(name).filter(ImageFilter.GaussianBlur(8)))

    assert sharp["sharpness"] > 100 > blurred["sharpness"]


def test_brightness_is_that_of_the_photograph(quality: Processor) -> None:
    normal, dark = describe(
        quality, photo("coffee"), ImageEnhance.Brightness(photo("coffee")).enhance(0.25)
    )

    assert dark["brightness"] == pytest.approx(normal["brightness"] / 4, abs=0.01)


def test_the_main_colours_come_most_frequent_first(quality: Processor) -> None:
    # given a flag of three parts red and one part white
    flag = Image.new("RGB", (400, 400), "#ff0000")
    flag.paste("#ffffff", (0, 300, 400, 400))

    (told,) = describe(quality, flag)

    red, white = told["colours"][:2]
    assert red == {"colour": "#ff0000", "share": pytest.approx(0.75, abs=0.02)}
    assert white == {"colour": "#ffffff", "share": pytest.approx(0.25, abs=0.02)}


def test_a_copy_has_nearly_the_same_fingerprint_and_another_photograph_has_not(
    quality: Processor,
) -> None:
    originals = describe(quality, *[photo(name) for name in NAMES])
    copies = describe(quality, *[photo(name).resize((320, 240)) for name in NAMES])

    for name, original in zip(NAMES, originals, strict=True):
        for other, copy in zip(NAMES, copies, strict=True):
            assert (bits_between(original, copy) < 10) == (name == other)


def test_a_picture_of_a_single_pixel_is_described_too(quality: Processor) -> None:
    (told,) = describe(quality, Image.new("RGB", (1, 1), "#336699"))

    assert told["sharpness"] == 0
    assert told["colours"] == [{"colour": "#336699", "share": 1.0}]
