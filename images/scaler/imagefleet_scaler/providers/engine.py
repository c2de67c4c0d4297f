"""The Docker engine: reaching it, and saying in a sentence what goes wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker
import requests
import structlog
from docker.errors import APIError, DockerException

from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.words import last_words

if TYPE_CHECKING:
    from docker.models.containers import Container

# Starting a container takes 0.2 s on an idle machine and many times that on a busy one.
ENGINE_TIMEOUT_S = 20
LAST_LOG_LINES = 20

log = structlog.get_logger()


def connect(environ: Mapping[str, str]) -> docker.DockerClient:
    """Return a client of the engine that `DOCKER_HOST` names, or of this machine's own.

    Raises:
        ProviderError: no engine answers there.
    """
    try:
        return docker.from_env(timeout=ENGINE_TIMEOUT_S, environment=dict(environ))
    except (DockerException, requests.RequestException) as error:
        where = environ.get("DOCKER_HOST") or "the usual socket"
        why = "this user may not open it" if "Permission denied" in str(error) else "nobody answers"
        raise ProviderError(
            f"no Docker engine at {where}: {why}. Is the engine running, and does this user (in a "
            "container: a mount and its group) have access to the socket?"
        ) from error


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn whatever the engine's client raises inside into one `ProviderError`."""
    try:
        yield
    except APIError as error:
        raise ProviderError(f"{doing}: Docker answers: {error.explanation}") from error
    except (DockerException, requests.RequestException) as error:
        raise ProviderError(f"{doing}: the Docker engine does not answer: {error}") from error


def kill(container: Container, signal: str) -> None:
    """Send a signal, unless the container has ended; raises `ProviderError`."""
    with explained("stopping a worker"), _unless_gone():
        container.kill(signal)


def remove(container: Container) -> None:
    """Remove a container in whatever state, unless it is gone; raises `ProviderError`."""
    with explained("removing a worker"), _unless_gone():
        container.remove(force=True)


def logs_of(container: Container) -> str:
    """Return the end of a container's log, short and clean; empty if it is gone."""
    said = b""
    with explained("reading a worker's log"), _unless_gone():
        said = container.logs(tail=LAST_LOG_LINES)
    return last_words(said.decode(errors="replace"))


def say_ended(worker: str, container: Container) -> str:
    """Say how a worker ended; return its last words if it died."""
    with explained("looking into a worker that has ended"), _unless_gone():
        container.reload()
        state = container.attrs["State"]
        if state["Status"] == "created":
            log.info("a worker was never started and is removed", worker=worker)
        elif state["ExitCode"] == 0:
            log.info("a worker has ended", worker=worker)
        else:
            how = "out of memory" if state["OOMKilled"] else f"with exit code {state['ExitCode']}"
            last = logs_of(container)
            log.warning("a worker died", worker=worker, how=how, last_lines=last)
            return last
    return ""


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Let it be if a container has ended or gone meanwhile: 409 and 404 in the engine's words.

    `docker compose down` may be removing it at the same time.
    """
    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409):
            raise
