"""What the owner of one key can learn, or take, of what another uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagefleet_core.store import Store
from imagefleet_web.keys import make
from web_tier import CHELSEA, COFFEE, Answer, Web, World


class Guarded:
    """A web process that reuses results, and wants keys."""

    def __init__(self, world: World, folder: Path) -> None:
        (alice, one), (bob, two) = make("alice"), make("bob")
        path = folder / "keys.txt"
        path.write_text(f"{one}\n{two}\n")
        self.keys = {"alice": alice, "bob": bob}
        self.web = Web(world, api_keys_file=str(path), reuse_results=True)

    def upload(self, name: str, content: bytes, **headers: str) -> Answer:
        return self.web.upload(
            ("a.jpg", content), headers={"X-Api-Key": self.keys[name], **headers}
        )


@pytest.fixture
def guarded(world: World, tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(world, tmp_path)
    yield guarded
    guarded.web.services.close()


def test_the_idempotency_key_of_another_owner_leads_to_nothing_of_theirs(guarded: Guarded) -> None:
    theirs = guarded.upload("alice", CHELSEA, **{"Idempotency-Key": "invoice-7"})

    # neither with the same files nor with others does it tell that there is such a key
    same = guarded.upload("bob", CHELSEA, **{"Idempotency-Key": "invoice-7"})
    other = guarded.upload("bob", COFFEE, **{"Idempotency-Key": "invoice-8"})

    assert theirs.status_code == same.status_code == other.status_code == 202
    assert same.json["batch"] != theirs.json["batch"]
    assert "Idempotent-Replayed" not in same.headers


@pytest.mark.parametrize("key", ['alice", "invoice-7', "alice\\u0000x", "invoice-7 ", '["alice"]'])
def test_no_way_to_write_a_key_makes_it_anothers(guarded: Guarded, key: str) -> None:
    theirs = guarded.upload("alice", CHELSEA, **{"Idempotency-Key": "invoice-7"})

    ours = guarded.upload("bob", CHELSEA, **{"Idempotency-Key": key})

    assert ours.status_code in {202, 400}
    assert theirs.json["batch"] not in ours.text


def test_whether_another_uploaded_an_image_is_told_by_no_call_that_is_made_or_spared(
    guarded: Guarded,
) -> None:
    # given an image of alice's whose answer is known, to herself
    world = guarded.web.world
    guarded.upload("alice", CHELSEA)
    world.finish(world.take(1))
    guarded.web.listen()
    assert guarded.upload("alice", CHELSEA).json["jobs"][0]["status"] == "done"

    # when bob uploads the same, and one that nobody ever had
    hers = _calls(world.store, lambda: guarded.upload("bob", CHELSEA))
    nobodys = _calls(world.store, lambda: guarded.upload("bob", COFFEE))

    # then the same calls are made for both, so that time tells nothing either
    assert hers == nobodys
    assert len(world.queued()) == 2


def _calls(store: Any, make_request: Callable[[], Answer]) -> list[str]:
    """Return the names of the calls to the store that a request makes."""
    made: list[str] = []
    names = [name for name in vars(Store) if not name.startswith("_")]

    def counted(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            return getattr(type(store), name)(store, *arguments, **named)

        return call

    for name in names:
        setattr(store, name, counted(name))
    try:
        assert make_request().json["jobs"][0]["status"] == "pending"
    finally:
        for name in names:
            delattr(store, name)
    return sorted(made)
