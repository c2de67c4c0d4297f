"""Just enough of PromQL to tell which series and labels a query uses."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(r'"[^"]*"' + r"|'[^']*'")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\s*\{([^}]*)\}")
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_FUNCTION = re.compile(r"[a-zA-Z_]\w*(?=\s*\()")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_NUMBER = re.compile(r"\b\d+(\.\d+)?(e[+-]?\d+)?\b")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass(frozen=True)
class Query:
    """What a query uses.

    Attributes:
        names: of its series.
        labels: that it matches or groups by.
        ranges: names of series that are taken over a time.
    """

    names: frozenset[str]
    labels: frozenset[str]
    ranges: frozenset[str]


def parse(expression: str) -> Query:
    """Take a query apart."""
    rest = _TEXT.sub('""', expression)
    labels = {
        each.strip()
        for _, listed in _GROUPING.findall(rest)
        for each in listed.split(",")
        if each.strip()
    }
    rest = _GROUPING.sub(" ", rest)
    labels |= {
        re.split(r"[=!~]", each)[0].strip()
        for _, matchers in _SELECTOR.findall(rest)
        for each in matchers.split(",")
        if each.strip()
    }
    rest = _SELECTOR.sub(r"\1", rest)
    ranges = set(re.findall(r"([a-zA-Z_:][\w:]*)\s*\[", rest))
    rest = _FUNCTION.sub(" ", _RANGE.sub(" ", rest))
    names = set(_NAME.findall(_NUMBER.sub(" ", rest))) - _WORDS
    return Query(frozenset(names), frozenset(labels), frozenset(ranges))
