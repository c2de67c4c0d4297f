"""Finds the user's class and makes an instance of it."""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType
from typing import cast

import structlog

from imagefleet_worker.processors.base import ProcessorError
from imagefleet_worker.processors.interface import ImageFunction, Resources
from imagefleet_worker.processors.reasons import reason

log = structlog.get_logger()


def load_function(path: str, resources: Resources) -> ImageFunction:
    """Return an instance of the class at `package.module:Class`.

    Raises:
        ProcessorError: there is none, or it can't be imported or made.
    """
    name, colon, attribute = path.partition(":")
    if not (name and colon and attribute):
        raise ProcessorError(f"{path!r} names no class: expected package.module:Class")
    module = _module(name)
    make = getattr(module, attribute, None)
    if not callable(make):
        similar = difflib.get_close_matches(attribute, vars(module), 1)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        raise ProcessorError(f"the module {name} has no class {attribute}{hint}")
    try:
        return cast(ImageFunction, make(resources))
    except (Exception, SystemExit) as error:
        raise _failed(f"{path} can't be made", error, make.__module__) from error


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # A package of the path itself, and not something that its code imports.
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ProcessorError(
                f"there is no module {error.name}: PYTHONPATH must name the folder it is in"
            ) from error
        raise _failed(f"the module {name} can't be imported", error, name) from error


def _failed(what: str, error: BaseException, module: str) -> ProcessorError:
    log.debug(what, exc_info=error)
    return ProcessorError(f"{what}: {reason(error, module)}")
