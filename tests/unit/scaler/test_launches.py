import pytest

from fakes import MemoryStore
from imagefleet_core.errors import Unavailable
from imagefleet_scaler.launches import Launches


def test_what_was_noted_is_there_for_the_next_scaler() -> None:
    store = MemoryStore()
    Launches(store).write("two workers")

    assert Launches(store).read() == "two workers"


def test_nothing_is_there_at_first() -> None:
    assert Launches(MemoryStore()).read() == ""


def test_a_note_is_replaced_as_often_as_need_be() -> None:
    journal = Launches(MemoryStore())
    for text in ("one", "two", "three"):
        journal.read()
        journal.write(text)
        journal.write(f"{text} again")

    assert journal.read() == "three again"


def test_a_scaler_that_knows_not_of_its_successor_hides_nothing() -> None:
    store = MemoryStore()
    before, after = Launches(store), Launches(store)
    before.read()
    after.read()
    after.write("the successor's")

    with pytest.raises(Unavailable, match="another scaler"):
        before.write("too late")

    assert after.read() == "the successor's"
