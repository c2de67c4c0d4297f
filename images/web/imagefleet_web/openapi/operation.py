"""What a route says of itself: `@described(…)` stands at each view, and changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from imagefleet_web.problems import Kind

JSON, TEXT, FORM = "application/json", "text/plain", "multipart/form-data"

# A type, as `Schemas.of` takes it, or a schema as it is.
Model = Any
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a request.

    Attributes:
        description: may name settings in braces, as `str.format` takes them.
    """

    name: str
    place: Literal["path", "query", "header"]
    model: Model
    description: str


@dataclass(frozen=True, slots=True)
class Header:
    """One header of an answer; `always` unless it stands on some of them only."""

    name: str
    model: Model
    description: str
    always: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error.

    Attributes:
        content: the forms that it may have, by media type; none for an answer without a body.
        links: where a client may go on, by the name of the view, and with which parameters.
        events: the data of each server-sent event by its name; then `content` is not needed.
    """

    status: int
    description: str
    content: Mapping[str, Model] = field(default_factory=dict)
    headers: Sequence[Header] = ()
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    events: Mapping[str, Model] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """What a view does, beside its docstring.

    Attributes:
        body: what a request carries, by media type.
        errors: every kind of problem that is the view's own; those of all views go without saying.
        text_only: whether its problems, too, are plain text whatever is asked for.
    """

    answers: Sequence[Answer]
    errors: Sequence[Kind]
    parameters: Sequence[Parameter]
    body: Mapping[str, Model]
    body_optional: bool
    text_only: bool


_OPERATIONS: dict[Callable[..., Any], Operation] = {}


def described(
    *answers: Answer,
    errors: Sequence[Kind] = (),
    parameters: Sequence[Parameter] = (),
    body: Mapping[str, Model] | None = None,
    body_optional: bool = False,
    text_only: bool = False,
) -> Callable[[View], View]:
    """Say what a view does, as `Operation` has it; the view itself is left as it is."""
    operation = Operation(answers, errors, parameters, body or {}, body_optional, text_only)

    def keep(view: View) -> View:
        _OPERATIONS[view] = operation
        return view

    return keep


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """Return what a view says of itself, None where it says nothing."""
    return _OPERATIONS.get(view)
