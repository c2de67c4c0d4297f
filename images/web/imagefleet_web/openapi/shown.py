"""What the page at `/api/v1/docs` shows: calls by their subjects, and the objects they speak of."""

from __future__ import annotations

from dataclasses import dataclass

from imagefleet_web.openapi.words import Kind


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, a header, a property or an event; `note` is where it stands, or when."""

    name: str
    kind: Kind
    description: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """One form of a body: its media types, what it is, and an example of it, if there is one."""

    media: str
    kind: Kind
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, by its status."""

    status: str
    description: str
    headers: list[Row]
    contents: list[Content]
    events: list[Row]


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one path; `command` calls it."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    guarded: bool
    command: str
    parameters: list[Row]
    bodies: list[Content]
    replies: list[Reply]
    problems: list[Reply]


@dataclass(frozen=True, slots=True)
class Section:
    """The calls about one subject."""

    name: str
    description: str
    calls: list[Call]


@dataclass(frozen=True, slots=True)
class Model:
    """An object of the API and its properties."""

    name: str
    description: str
    rows: list[Row]
