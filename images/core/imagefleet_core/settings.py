"""Settings: one frozen dataclass a tier, read once from the environment at the entry point.

A field declares its default, its limits and a sentence; `load` reads `IMAGEFLEET_<FIELD>` for
each and reports all mistakes together, each naming its variable and what was expected.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar, get_type_hints

from imagefleet_core.errors import ImagefleetError

PREFIX = "IMAGEFLEET_"

T = TypeVar("T", bound="Settings")


class SettingsError(ImagefleetError):
    """One or more variables are wrong.

    Attributes:
        problems: a sentence for each, naming the variable.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Rule:
    """What a value must be, beside being of its field's type."""

    help: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] = ()
    pattern: str = ""

    def expected(self, kind: type) -> str:
        """Say what the variable takes."""
        if self.one_of:
            return "one of " + ", ".join(self.one_of)
        if self.pattern:
            return f"text like {self.pattern}"
        what = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
        bounds = [
            f"{word} {limit:g}"
            for word, limit in (("at least", self.at_least), ("at most", self.at_most))
            if limit is not None
        ]
        return " ".join([what, " and ".join(bounds)]).strip()

    def parse(self, text: str, kind: type) -> Any:
        """Return the value that `text` stands for; raises ValueError for any other text."""
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        value = kind(text)
        if self.one_of and value not in self.one_of:
            raise ValueError
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError
        # Written so that a NaN fails too.
        if self.at_least is not None and not value >= self.at_least:
            raise ValueError
        if self.at_most is not None and not value <= self.at_most:
            raise ValueError
        return value


def setting(
    default: Any,
    help: str,  # noqa: A002  # the word every reader of argparse knows
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    one_of: Sequence[str] = (),
    pattern: str = "",
) -> Any:
    """Declare a field of a settings dataclass, read from `IMAGEFLEET_<FIELD>`."""
    rule = _Rule(help, at_least, at_most, tuple(one_of), pattern)
    return dataclasses.field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every tier needs to know; each tier adds its own fields."""

    prefix: str = setting(
        "imagefleet",
        "stands before the name of every bucket and queue",
        # As in infra/data.yaml, which says why.
        pattern=r"(?!aws|sg-|ssm|sthree-|xn--)[a-z][a-z0-9-]{1,23}[a-z0-9]",
    )
    input_bucket_name: str = setting("", "the input bucket, <prefix>-input unless given")
    results_bucket_name: str = setting("", "the results bucket, <prefix>-results unless given")
    log_level: str = setting(
        "INFO", "how much is logged", one_of=("DEBUG", "INFO", "WARNING", "ERROR")
    )
    log_format: str = setting(
        "auto",
        "text for people, json for programs, auto by terminal",
        one_of=("auto", "text", "json"),
    )

    @property
    def input_bucket(self) -> str:
        """The bucket that uploads go to."""
        return self.input_bucket_name or f"{self.prefix}-input"

    @property
    def results_bucket(self) -> str:
        """The bucket that results go to."""
        return self.results_bucket_name or f"{self.prefix}-results"

    @property
    def requests_queue(self) -> str:
        """The queue of images to classify."""
        return f"{self.prefix}-requests"

    @property
    def dead_letter_queue(self) -> str:
        """The queue of requests that failed too often."""
        return f"{self.prefix}-requests-dead"

    @property
    def telemetry_queue(self) -> str:
        """The queue of the workers' reports."""
        return f"{self.prefix}-telemetry"

    @property
    def replies_prefix(self) -> str:
        """What the name of every web process's own replies queue starts with."""
        return f"{self.prefix}-replies-"


def load(cls: type[T], environ: Mapping[str, str]) -> T:
    """Read the settings of one tier; raises `SettingsError` with every mistake found.

    An empty variable counts as not set, as compose files pass on what is not set as empty.
    """
    kinds, values, problems = get_type_hints(cls), {}, []
    for field in dataclasses.fields(cls):
        name, rule, kind = _variable(field), _rule(field), kinds[field.name]
        text = environ.get(name, "").strip()
        if not text:
            continue
        try:
            values[field.name] = rule.parse(text, kind)
        except (ValueError, KeyError):
            problems.append(f"{name} is {text[:100]!r}: expected {rule.expected(kind)}")
    if problems:
        raise SettingsError(problems)
    return cls(**values)


def describe(cls: type[Settings]) -> str:
    """Return a table of a tier's variables for its `--help`."""
    kinds = get_type_hints(cls)
    lines = ["environment variables:"]
    for field in dataclasses.fields(cls):
        rule = _rule(field)
        default = "" if field.default in ("", MISSING) else f" (default {field.default})"
        lines.append(f"  {_variable(field)}")
        lines.append(f"      {rule.help}; {rule.expected(kinds[field.name])}{default}")
    return "\n".join(lines)


def _variable(field: dataclasses.Field[Any]) -> str:
    return PREFIX + field.name.upper()


def _rule(field: dataclasses.Field[Any]) -> _Rule:
    rule: _Rule = field.metadata["rule"]
    return rule
