"""Reads typed fields out of decoded JSON, naming the field that is wrong."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from imagefleet_core.errors import DecodeError

CONTRACT_VERSION = 1
# The largest of which every reader of JSON makes the same number (RFC 8259, section 6).
MOST = 2**53 - 1

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(fields: dict[str, Any]) -> str:
    """Write `fields` as compact JSON with the contract's version in front.

    The two characters that JSON takes as they are and SQS does not are escaped.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
    """
    text = json.dumps({"v": CONTRACT_VERSION, **fields}, ensure_ascii=False, separators=(",", ":"))
    return text.replace("\ufffe", r"\ufffe").replace("\uffff", r"\uffff")


def format_time(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC with milliseconds, `2026-01-31T12:00:00.000Z`."""
    utc = moment.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"


class Fields:
    """One JSON object and its typed fields; each reader raises `DecodeError`."""

    def __init__(self, value: object, data: object) -> None:
        self.data = data
        if not isinstance(value, dict):
            self._fail("expected a JSON object")
        self._value: dict[str, Any] = value

    @classmethod
    def decode(cls, data: str | bytes) -> Fields:
        """Parse one versioned JSON object."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"not JSON: {error}", data) from error
        fields = cls(value, data)
        if fields._value.get("v") != CONTRACT_VERSION:
            fields._fail(f"field 'v' must be {CONTRACT_VERSION}")
        return fields

    def text(self, name: str) -> str:
        """Return the string `name`."""
        text: str = self._typed(name, str, "a string")
        if not text.isascii() and _LONE_SURROGATE.search(text):  # which no UTF-8 can hold
            self._fail(f"field '{name}' must be Unicode text")
        return text

    def optional_text(self, name: str) -> str | None:
        """Return the string `name`, or None where it is null or absent."""
        return None if self._value.get(name) is None else self.text(name)

    def number(self, name: str) -> float:
        """Return the finite number `name`."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
            self._fail(f"field '{name}' must be a number")
        try:
            return float(value)
        except OverflowError:  # whole numbers of JSON have no end in Python
            self._fail(f"field '{name}' must be a number that a float holds")

    def optional_number(self, name: str) -> float | None:
        """Return the finite number `name`, or None where it is null or absent."""
        return None if self._value.get(name) is None else self.number(name)

    def count(self, name: str) -> int:
        """Return the whole number `name`, zero or more, and no larger than JSON tells exactly."""
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
            self._fail(f"field '{name}' must be a whole number from 0 to {MOST}")
        return value

    def time(self, name: str) -> datetime:
        """Return the moment `name`, aware of its time zone."""
        try:
            moment = datetime.fromisoformat(self.text(name))
            if moment.tzinfo is None:
                self._fail(f"field '{name}' must carry a time zone")
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):  # the latter in the first hours of the year 1
            self._fail(f"field '{name}' must be an ISO 8601 time")

    def optional_time(self, name: str) -> datetime | None:
        """Return the moment `name`, or None where it is null or absent."""
        return None if self._value.get(name) is None else self.time(name)

    def objects(self, name: str) -> list[Fields]:
        """Return the list of objects `name`."""
        return [Fields(item, self.data) for item in self._typed(name, list, "a list")]

    def object(self, name: str) -> Fields:
        """Return the object `name`."""
        return Fields(self._typed(name, dict, "an object"), self.data)

    def optional_object(self, name: str) -> Fields | None:
        """Return the object `name`, or None where it is null or absent."""
        value = self._value.get(name)
        return None if value is None else Fields(value, self.data)

    def optional_mapping(self, name: str) -> dict[str, Any] | None:
        """Return the object `name` as it is, or None where it is null or absent."""
        if self._value.get(name) is None:
            return None
        mapping: dict[str, Any] = self._typed(name, dict, "an object")
        return mapping

    def _typed(self, name: str, kind: type, what: str) -> Any:
        value = self._value.get(name)
        if not isinstance(value, kind):
            self._fail(f"field '{name}' must be {what}")
        return value

    def _fail(self, reason: str) -> NoReturn:
        raise DecodeError(reason, self.data)
