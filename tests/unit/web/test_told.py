"""The text that tells which jobs of a batch a client was told of."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefleet_web.telling.told import MOST, Told

# The shortest limit of a header on its way is 4 kB, of some proxies.
LONGEST = 2600


def told(numbers: Iterable[int]) -> Told:
    told = Told()
    for number in numbers:
        told.add(number)
    return told


def within(told: Told) -> set[int]:
    return {number for number in range(1, MOST + 5) if number in told}


@given(st.sets(st.integers(1, MOST)) | st.integers(0, 200).map(lambda n: set(range(1, n))))
def test_a_set_of_jobs_comes_back_from_its_text(numbers: set[int]) -> None:
    text = str(told(numbers))

    assert within(Told.parse(text)) == numbers
    assert str(Told.parse(text)) == text
    assert len(text) <= LONGEST


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], "0.0"),
        ([1], "1.0"),
        ([1, 2, 3], "3.0"),
        ([3], "0.4"),
        ([1, 3], "1.2"),
        (range(1, 101), "100.0"),
        (range(1, MOST + 1), "9999.0"),
    ],
)
def test_the_text_is_short_where_results_come_in_order(numbers: list[int], text: str) -> None:
    assert str(told(numbers)) == text


def test_the_longest_text_is_one_that_every_server_takes() -> None:
    assert len(str(told(range(2, MOST + 1)))) <= LONGEST
    assert len(str(told(range(1, MOST + 1, 2)))) <= LONGEST


@given(st.text() | st.from_regex(r"[0-9]{0,5}\.?[0-9a-f]{0,9}"))
def test_whatever_a_client_sends_is_a_set_of_jobs(text: str) -> None:
    parsed = Told.parse(text)

    assert len(str(parsed)) <= LONGEST
    assert within(parsed) <= set(range(1, MOST + 1))


def test_a_text_that_names_too_many_jobs_grows_no_further() -> None:
    assert str(Told.parse("9999." + "f" * 2500)) == "9999.0"


@pytest.mark.parametrize("text", ["", "7", "7.", ".7", "7.g", "7.0\n", "٣.0", "7.0.0"])
def test_any_other_text_is_the_empty_set(text: str) -> None:
    assert within(Told.parse(text)) == set()


def test_a_number_that_no_upload_has_is_not_kept() -> None:
    assert within(told([MOST + 1, 999_999_999])) == set()
    assert 999_999_999 not in told([999_999_999])
