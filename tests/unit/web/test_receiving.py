"""Files out of a request, whatever their names and contents."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from imagefleet_core.jobs import JobId, new_batch_id
from imagefleet_core.keys import clean_name, input_key
from imagefleet_web.problems import Problem
from imagefleet_web.uploads.limits import Limits
from imagefleet_web.uploads.receiving import _pieces, received_files
from imagefleet_web.uploads.spool import (
    IN_MEMORY_BYTES,
    Room,
    Spool,
    SpoolError,
    require_folder,
)
from web_tier import CHELSEA, form

LIMITS = Limits(max_files=20, max_file_bytes=300_000, max_request_bytes=10**9, max_pixels=10**6)

# Line ends and dashes are what a form's own lines are made of.
CONTENTS = st.binary(min_size=1, max_size=300) | st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", b"x", bytes(70_000)]),
    min_size=1,
    max_size=12,
).map(b"".join)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\\r\n'), max_size=300
)
FILES = st.lists(st.tuples(st.just("file"), NAMES, CONTENTS), min_size=1, max_size=5)


def request(body: bytes, content_type: str) -> Request:
    builder = EnvironBuilder(method="POST", data=body, content_type=content_type)
    return Request(builder.get_environ())


@given(FILES)
def test_every_byte_and_name_comes_through_in_the_order_sent(
    files: list[tuple[str, str, bytes]],
) -> None:
    with received_files(request(*form(files)), LIMITS) as received:
        told = [(file.field, file.name, file.body.open().read()) for file in received]
        sizes = [file.body.size for file in received]

    assert told == [(field, clean_name(name), data[:300_000]) for field, name, data in files]
    assert sizes == [len(content) for _, _, content in files]


@given(NAMES)
def test_no_name_leaves_its_batch_or_makes_a_message_too_long(name: str) -> None:
    with received_files(request(*form([("file", name, b"x")])), LIMITS) as (file,):
        key = input_key(JobId(new_batch_id(), 1), file.name)

    assert key.count("/") == 1
    assert ".." not in key.split("/")[1].split(".")
    assert len(file.name.encode()) <= 200
    assert file.name.isprintable() or not file.name.isascii()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        # https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
        ("12%22 pizza.jpg", '12" pizza.jpg'),
        (r"C:\\Users\\me\\cat.jpg", "cat.jpg"),
        ("/etc/../cat.jpg", "cat.jpg"),
        ("", "image"),
        ("Кошка 🐈.jpeg", "Кошка 🐈.jpeg"),
    ],
)
def test_a_name_is_as_a_person_would_read_it(sent: str, name: str) -> None:
    with received_files(request(*form([("file", sent, b"x")])), LIMITS) as (file,):
        assert file.name == name


@given(st.binary(max_size=400))
def test_any_body_is_files_or_a_problem(body: bytes) -> None:
    for start in (b"", b"--b\r\n", b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\n'):
        asked = request(start + body, "multipart/form-data; boundary=b")
        try:
            with received_files(asked, LIMITS) as files:
                outcome = "files" if files else "nothing"
        except Problem as problem:
            outcome = problem.kind.code

        assert outcome in {"files", "no_files", "broken_upload"}


def test_a_part_of_endless_headers_is_cut_off() -> None:
    body = b"--b\r\nContent-Disposition: " + b"x" * 1_000_000

    with (
        pytest.raises(Problem, match="headers too long") as caught,
        received_files(request(body, "multipart/form-data; boundary=b"), LIMITS),
    ):
        pass
    assert caught.value.kind.status == 413


def test_a_form_of_endless_fields_is_cut_off() -> None:
    field = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n"

    with (
        pytest.raises(Problem, match="too many fields"),
        received_files(request(field * 1000, "multipart/form-data; boundary=b"), LIMITS),
    ):
        pass


def test_a_name_that_is_not_utf_8_is_told_of() -> None:
    body = b'--b\r\nContent-Disposition: form-data; filename="K\xe4se"\r\n\r\nx\r\n--b--\r\n'

    with (
        pytest.raises(Problem, match="must be UTF-8"),
        received_files(request(body, "multipart/form-data; boundary=b"), LIMITS),
    ):
        pass


@pytest.mark.parametrize("sent", [CHELSEA[:-1], b""], ids=["but its last byte", "nothing"])
def test_an_image_of_which_less_came_than_was_announced_is_broken(sent: bytes) -> None:
    # as gunicorn gives it: what came, and then an end
    environ = request(sent, "image/jpeg").environ
    announced = {"wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(CHELSEA))}
    asked = Request(environ | announced)

    with pytest.raises(Problem, match="cut off on its way"), received_files(asked, LIMITS):
        pass


def test_no_more_of_a_file_is_kept_than_may_be_accepted(tmp_path: Path) -> None:
    files = [("file", f"{i}.jpg", bytes([i]) * 5_000_000) for i in range(3)]

    with received_files(request(*form(files)), LIMITS, str(tmp_path)) as received:
        # then the descriptor of the unnamed file tells how large it is
        file = received[0].body._spool._file
        assert file is not None
        descriptor = file.fileno()
        assert os.fstat(descriptor).st_size == 3 * 300_000
        assert [file.body.size for file in received] == [5_000_000] * 3
        assert [set(file.body.open().read()) for file in received] == [{0}, {1}, {2}]

    # and nothing is left of it
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_body_made_of_delimiters_is_not_taken_apart_at_each() -> None:
    body = b"\r\n--b" * 100_000

    pieces = list(_pieces(request(body, "multipart/form-data; boundary=b"), b"\r\n--b"))

    assert b"".join(piece or b"" for piece in pieces) == body
    assert pieces[-1] is None
    assert len(pieces) < 40


def test_small_files_need_no_disk_while_there_is_room_in_memory() -> None:
    # given a disk that can't be written, and room for 100,000 bytes of all requests
    room = Room(100_000)

    with Spool(room, "/nowhere") as one, Spool(room, "/nowhere") as other:
        first = one.new(50_000)
        first.write(b"1" * 40_000)
        second = one.new(50_000)
        second.write(b"2" * 60_000)  # of which not all is kept
        late = other.new(50_000)
        late.write(b"3" * 10_000)
        assert first.open().read() == b"1" * 40_000
        assert second.open().read() == b"2" * 50_000

        # then who comes when there is no room needs the disk
        with pytest.raises(Problem, match="no room"):
            late.write(b"3")

    # and there is room again when they are gone
    with Spool(room, "/nowhere") as spool:
        file = spool.new(200_000)
        file.write(b"4" * 100_000)
        assert file.open().read() == b"4" * 100_000


def test_a_disk_that_is_there_again_is_used_again_and_no_other_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    large = request(bytes(2 * IN_MEMORY_BYTES), "image/jpeg")
    with pytest.raises(Problem, match="no room"), received_files(large, LIMITS, str(folder)):
        pass

    folder.mkdir()

    again = request(bytes(2 * IN_MEMORY_BYTES), "image/jpeg")
    with received_files(again, LIMITS, str(folder)) as (file,):
        assert file.body.size == 2 * IN_MEMORY_BYTES


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none", "No such file or directory"), ("file", "Not a directory")],
)
def test_a_folder_that_takes_no_uploads_is_refused_at_the_start(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match=rf"IMAGEFLEET_SPOOL_DIR is '.*{name}': .* \({reason}\)"):
        require_folder(str(tmp_path / name))


@pytest.mark.parametrize(
    ("number", "starts"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False), (errno.EROFS, False)],
    ids=["full", "over its quota", "another's", "read-only"],
)
def test_a_folder_that_is_full_at_the_start_may_have_room_later(
    number: int, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*, dir: str) -> NoReturn:  # noqa: A002  # tempfile's own word
        raise OSError(number, os.strerror(number), dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", make)

    if starts:
        require_folder(str(tmp_path))
    else:
        with pytest.raises(SpoolError, match=os.strerror(number)):
            require_folder(str(tmp_path))


def test_files_that_grow_too_large_for_memory_go_on_on_disk() -> None:
    room = Room(10 * IN_MEMORY_BYTES)
    with Spool(room) as spool:
        small = spool.new(100)
        small.write(b"small")
        large = spool.new(2 * IN_MEMORY_BYTES)
        for _ in range(8):
            large.write(b"x" * (IN_MEMORY_BYTES // 4))

        assert room.take(10 * IN_MEMORY_BYTES)
        assert small.open().read() == b"small"
        assert large.open().read() == b"x" * (2 * IN_MEMORY_BYTES)


def test_readers_of_one_spool_do_not_disturb_each_other() -> None:
    files = [("file", f"{i}.jpg", bytes(range(256)) * 40) for i in range(2)]
    with received_files(request(*form(files)), LIMITS) as (first, second):
        a, b, again = first.body.open(), second.body.open(), first.body.open()

        assert a.read(100) == again.read(100) == bytes(range(100))
        assert b.seek(-6, os.SEEK_END) == 10_234
        assert b.read() == bytes(range(250, 256))
        assert (a.tell(), a.seek(50, os.SEEK_CUR), a.read(1)) == (100, 150, bytes([150]))
        assert a.seek(20_000) == 20_000
        assert a.read() == b""
        with pytest.raises(ValueError, match="before the start"):
            a.seek(-1)


@pytest.mark.parametrize(("kind", "count"), [("image/png", 1), ("Image/PNG", 1), ("text/plain", 0)])
def test_a_part_without_a_file_name_is_a_file_if_it_says_it_is_an_image(
    kind: str, count: int
) -> None:
    parts = f'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: {kind}\r\n\r\nx\r\n'
    body, content_type = form([("file", "1.jpg", b"y")])

    with received_files(request(parts.encode() + body, content_type), LIMITS) as received:
        told = [(file.field, file.name, file.body.open().read()) for file in received]

    assert told == [("a", "image", b"x")] * count + [("file", "1.jpg", b"y")]
