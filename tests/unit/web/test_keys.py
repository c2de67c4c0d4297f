"""The file of API keys, and the program that makes one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imagefleet_web.keys import Keys, KeysError, make
from imagefleet_web.rights import owners

ALICE, ALICE_LINE = make("alice")
BOB, BOB_LINE = make("bob")


class File:
    """A file of keys and the time at which it is looked at."""

    def __init__(self, path: Path, *lines: str) -> None:
        self.path = path
        self.now = 0.0
        self.write(*lines)
        self.keys = Keys(path, clock=lambda: self.now)

    def write(self, *lines: str) -> None:
        self.path.write_text("".join(f"{line}\n" for line in lines))

    def names(self, *keys: str) -> list[str | None]:
        return [self.keys.name_of(key) for key in keys]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_a_key_is_known_by_the_line_that_was_made_with_it(path: Path) -> None:
    file = File(path, "# ours", "", ALICE_LINE, f"  {BOB_LINE}  ")

    assert file.names(ALICE, BOB) == ["alice", "bob"]


@pytest.mark.parametrize(
    "wrong",
    ["", "alice", ALICE[:-1], ALICE + " ", ALICE.upper(), ALICE_LINE.split(":")[1], "é\x00"],
    ids=["empty", "name", "too short", "too long", "other case", "its hash", "no text"],
)
def test_nothing_else_is_a_key(path: Path, wrong: str) -> None:
    assert File(path, ALICE_LINE).names(wrong) == [None]


def test_the_file_does_not_hold_the_key() -> None:
    key, line = make("alice")

    assert len(key) >= 47  # 256 bits in Base64, and the mark
    assert re.fullmatch("alice:[0-9a-f]{64}", line)
    assert key not in line
    assert make("alice")[0] != key


def test_keys_change_within_seconds_and_without_a_restart(path: Path) -> None:
    # given a new key beside the old one of the same name
    old, old_line = make("alice")
    file = File(path, old_line)
    file.write(old_line, ALICE_LINE, BOB_LINE)
    assert file.names(ALICE) == [None]

    # then the file is looked at again after two seconds
    file.now = 2
    assert file.names(old, ALICE, BOB) == ["alice", "alice", "bob"]

    # and the old one may go
    file.write(ALICE_LINE)
    file.now = 4
    assert file.names(old, ALICE, BOB) == [None, "alice", None]


BROKEN = {
    "a key instead of its hash": f"alice:{BOB}",
    "no name": ALICE_LINE.split(":")[1],
    "a hash that is cut off": ALICE_LINE[:-1],
    "nothing": "",
    "bytes that are no text": "\udcff",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_leaves_the_keys_as_they_were_and_is_told_once(
    path: Path, content: str
) -> None:
    file = File(path, ALICE_LINE)
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with capture_logs() as logs:
        for file.now in range(2, 20, 2):
            assert file.names(ALICE) == ["alice"]

    (line,) = logs
    assert line["log_level"] == "warning"
    assert BOB not in str(line)

    # and one that is put right counts
    file.write(BOB_LINE)
    file.now += 2
    assert file.names(ALICE, BOB) == [None, "bob"]


def test_a_file_that_vanishes_leaves_the_keys_as_they_were(path: Path) -> None:
    file = File(path, ALICE_LINE)
    path.unlink()

    with capture_logs() as logs:
        for file.now in (2, 4, 6):
            assert file.names(ALICE) == ["alice"]

    assert len(logs) == 1


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_broken_at_the_start_is_an_error_that_shows_no_key(
    path: Path, content: str
) -> None:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(KeysError, match=r"keys\.txt") as caught:
        Keys(path)

    assert BOB not in str(caught.value)


def test_names_whose_batches_could_not_be_told_apart_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "tag", lambda _: "00000000")

    with pytest.raises(KeysError, match=r"bob and alice"):
        File(path, ALICE_LINE, BOB_LINE)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "#a", "-a", "x" * 65, "é"])
def test_a_name_that_the_file_could_not_hold_is_refused(name: str) -> None:
    with pytest.raises(KeysError, match="can't name a key"):
        make(name)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imagefleet_web.keys", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_program_prints_the_line_and_shows_the_key_beside(path: Path) -> None:
    made = run("alice")

    assert made.returncode == 0
    path.write_text(made.stdout)
    key = made.stderr.split()[-1]
    assert Keys(path).name_of(key) == "alice"


def test_the_program_tells_what_a_name_may_be() -> None:
    made = run("a b")

    assert (made.returncode, made.stdout) == (2, "")
    assert "letters" in made.stderr
    assert "Traceback" not in made.stderr
