"""What a recipe may say."""

from __future__ import annotations

import pytest

from imagefleet_worker.recipe import Recipe


@pytest.mark.parametrize(
    ("size", "resize", "interpolation", "crop", "complaint"),
    [
        (0, 10, "bicubic", True, "size 0 must be at least 1"),
        (-1, 0, "bicubic", False, "size -1 must be at least 1"),
        (257, 256, "bicubic", True, "size 257 must be from 1 to resize 256"),
        (224, 256, "nearest", True, "interpolation 'nearest' must be bicubic or bilinear"),
    ],
)
def test_a_recipe_for_no_picture_is_refused(
    size: int, resize: int, interpolation: str, crop: bool, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Recipe(size, resize, interpolation, crop)


def test_without_a_crop_nothing_is_resized_to() -> None:
    assert Recipe(512, 0, "bilinear", crop=False).size == 512
