"""Images made to do harm get an answer like all others, in good time and in little memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hostile
import hostile_jpeg
import hostile_others
import photographs
from hostile_answers import MEMORY_BYTES, MIB, SIZE, WAYS, Answer, ask

# Far more than any of them takes (0.5 s), as machines may be slow and busy.
LIMIT_S = 20
REFUSED_MB = 24
# What a decoder's process may need besides.
BESIDES_MB = 24
GOOD = "a good photograph"

MESSAGES = {
    "empty_file": r"The file is empty\.",
    "not_an_image": r"The file is not a picture; send JPEG, PNG, WebP, GIF, BMP or TIFF\.",
    "unsupported_format": r"\w+ (files|colours) are not supported(; send [\w, ]+)?\.",
    "too_many_pixels": (
        r"At most (50,000,000 pixels|65,535 pixels a side) are allowed; "
        r"the picture has (more|\d+ x \d+)\."
    ),
    "too_much_memory": (
        r"Decoding may take 400 MB of memory; the picture takes (more|[\d,]+ MB)\."
    ),
    "truncated": r"The (JPEG|PNG|WebP|GIF|BMP|TIFF) file ends too early\.",
    "corrupt": r"The (JPEG|PNG|WebP|GIF|BMP|TIFF) file is damaged\.",
}


@pytest.fixture(scope="module", params=list(WAYS))
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answer]:
    """What came of each file; first a good one, then those to be refused by their headers."""
    corpus = hostile.corpus()
    by_cost = sorted(corpus, key=lambda name: corpus[name].answers != {"too_many_pixels"})
    files = {GOOD: photographs.jpeg("china")} | {name: corpus[name].data for name in by_cost}
    return ask(files, tmp_path_factory.mktemp("hostile"), request.param)


def test_every_hostile_image_gets_the_answer_that_is_right_for_it(
    answers: dict[str, Answer],
) -> None:
    wrong = {
        name: answers[name]
        for name, file in hostile.corpus().items()
        if file.answers and answers[name].answer not in file.answers
    }

    assert wrong == {}


def test_an_answer_is_a_picture_of_the_right_shape_or_a_sentence_for_a_person(
    answers: dict[str, Answer],
) -> None:
    def proper(found: Answer) -> bool:
        if found.answer == hostile.PICTURE:
            return found.shape == (SIZE, SIZE, 3)
        return re.fullmatch(MESSAGES[found.answer], found.message) is not None

    assert {name: found for name, found in answers.items() if not proper(found)} == {}


def test_no_hostile_image_takes_long(answers: dict[str, Answer]) -> None:
    assert {name: found for name, found in answers.items() if found.seconds > LIMIT_S} == {}


def test_a_picture_that_announces_too_many_pixels_costs_no_memory(
    answers: dict[str, Answer],
) -> None:
    allowed_mb = answers[GOOD].peak_mb + REFUSED_MB
    refused = [
        name for name, file in hostile.corpus().items() if file.answers == {"too_many_pixels"}
    ]

    assert len(refused) >= 25
    assert {name for name in refused if answers[name].peak_mb > allowed_mb} == set()


def test_no_hostile_image_takes_more_memory_than_there_is_for_it(
    answers: dict[str, Answer],
) -> None:
    allowed_mb = answers[GOOD].peak_mb + MEMORY_BYTES / MIB + BESIDES_MB

    # As memory is never less than before, the first of these is the one to blame.
    over = [name for name, found in answers.items() if found.peak_mb > allowed_mb]

    assert over[:1] == []


def test_a_decoder_ends_what_takes_for_ever(tmp_path: Path) -> None:
    # given 500 KB that keep libjpeg busy for many seconds
    files = {"scans": hostile_jpeg.scans(7000, 7000, 5000), GOOD: photographs.jpeg("china")}

    answers = ask(files, tmp_path, "child", limit_s=4)

    assert (answers["scans"].answer, answers["scans"].message) == (
        "decode_timeout",
        "Decoding the file takes longer than 4 s.",
    )
    assert answers[GOOD].answer == hostile.PICTURE


def test_a_decoder_makes_no_room_for_a_gif_that_it_will_refuse(tmp_path: Path) -> None:
    files = {GOOD: photographs.jpeg("china"), "wiped": hostile_others.wiped(13_000)}

    answers = ask(files, tmp_path, "child")

    assert answers["wiped"].answer == "too_many_pixels"
    assert answers["wiped"].peak_mb < answers[GOOD].peak_mb + REFUSED_MB
