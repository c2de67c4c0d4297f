import pytest

from fakes import MemoryStore
from imagefleet_core.errors import Unavailable
from imagefleet_scaler.launches import Launches
from imagefleet_scaler.providers.journal import Conflict


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

    with pytest.raises(Conflict, match="another scaler"):
        before.write("too late")

    assert after.read() == "the successor's"


class AnswerLost(MemoryStore):
    """A store that keeps a note, or does not, and whose answer is lost."""

    lost: str = ""

    def write_note(self, key: str, body: bytes, replacing: str = "") -> str | None:
        lost, self.lost = self.lost, ""
        version = None if lost == "before" else super().write_note(key, body, replacing)
        if lost:
            raise Unavailable("S3 stopped answering")
        return version


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_note_whose_answer_was_lost_is_not_taken_for_another_scalers(lost: str) -> None:
    store = AnswerLost()
    journal = Launches(store)
    journal.write("one")
    store.lost = lost
    with pytest.raises(Unavailable):
        journal.write("two")

    journal.write("three")

    assert journal.read() == "three"


def test_another_scaler_is_noticed_after_an_answer_was_lost_too() -> None:
    store = AnswerLost()
    before, after = Launches(store), Launches(store)
    before.write("one")
    store.lost = "after"
    with pytest.raises(Unavailable):
        before.write("two")
    after.read()
    after.write("the successor's")

    with pytest.raises(Conflict):
        before.write("three")

    assert after.read() == "the successor's"
