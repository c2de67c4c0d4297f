"""What no program of ours writes, but anybody can send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagefleet_core.errors import DecodeError
from imagefleet_core.fields import Fields
from imagefleet_core.inbox import decode_requests


def fields(**values: Any) -> Fields:
    return Fields.decode(json.dumps({"v": 1, **values}))


@pytest.mark.parametrize("text", ["", "cat.jpg", "Käse", "\U0001f408", "\x00\uffff"])
def test_any_unicode_is_text(text: str) -> None:
    assert fields(name=text).text("name") == text


@pytest.mark.parametrize("text", ["\ud800", "cat\udfff.jpg", "\udc08\ud83d"])
def test_what_no_utf_8_can_hold_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="'name' must be Unicode text"):
        fields(name=text).text("name")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_can_not_have_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="'at' must be an ISO 8601 time"):
        fields(at=text).time("at")


def test_an_upload_of_before_1970_is_refused() -> None:
    record = {"eventTime": "1969-12-31T23:59:59.999Z", "s3": {"object": {"key": "inbox/cat.jpg"}}}

    with pytest.raises(DecodeError, match="'eventTime' must be after 1970"):
        decode_requests(json.dumps({"Records": [record]}))
