from __future__ import annotations

from collections.abc import Iterator

import pytest

from web_tier import Web, World


@pytest.fixture
def world() -> World:
    """A store, the queues of the data stack, and a worker."""
    return World()


@pytest.fixture
def web(world: World) -> Iterator[Web]:
    """A web process with the default settings."""
    web = Web(world)
    yield web
    web.services.close()
