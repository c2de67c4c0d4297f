"""Clients as they are: load generators, curl, odd forms, and those who leave in the middle."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import requests
from PIL import Image

from place import place_on
from system import SAMPLES, System, labels, photographs, running, wait_for
from web_process import WebProcess

pytestmark = pytest.mark.embedded

DEADLINE_S = 180
CLIENTS = 100
CHELSEA = SAMPLES / "chelsea.jpg"
CAT = "Egyptian cat\n"
UPLOAD = "api/v1/upload"


def picture() -> bytes:
    """Return a small JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(file, "JPEG")
    return file.getvalue()


PICTURE = picture()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system, without a worker at first."""
    log = tmp_path_factory.mktemp("clients") / "log"
    environ = {"IMAGEFLEET_SCALE_IN_AFTER_S": "3"}
    with running(log, "--max-workers", "2", environ=environ) as started:
        yield started


@pytest.fixture(scope="module")
def web(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """A web process without workers, for clients who only hear that they are accepted."""
    folder = tmp_path_factory.mktemp("clients")
    with place_on(ministack, folder) as place, place.web() as started:
        yield started
        assert [line for line in started.lines() if line["level"] in {"warning", "error"}] == []


# Load generators


def test_a_hundred_load_generators_at_once_get_their_labels_from_zero_workers(
    system: System,
) -> None:
    wait_for(lambda: not system.workers(), DEADLINE_S)
    fields, images, expected = ("myfile", "inputFile", "file"), photographs(CLIENTS), labels()

    def post(number: int) -> requests.Response:
        with images[number].open("rb") as file:
            return requests.post(system.url, files={fields[number % 3]: file})  # as they do

    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(post, number) for number in range(CLIENTS)]
        answers = [each.result(DEADLINE_S) for each in asked]

    for number, answer in enumerate(answers):
        label, stem = expected[images[number].name], images[number].stem
        named = f"{stem}:{label}" if fields[number % 3] == "inputFile" else label
        assert (answer.status_code, answer.text) == (200, f"{named}\n")


# curl

PHOTO = f"@{CHELSEA}"
CURL: dict[str, tuple[Sequence[str], str]] = {
    "a form": (["-F", f"file={PHOTO}"], CAT),
    "a form that names its file": (["-F", f"inputFile={PHOTO}"], f"chelsea:{CAT}"),
    "a form in chunks": (["-F", f"file={PHOTO}", "-H", "Transfer-Encoding: chunked"], CAT),
    "HTTP/1.0": (["--http1.0", "-F", f"file={PHOTO}"], CAT),
    "an expectation": (["-F", f"file={PHOTO}", "-H", "Expect: 100-continue"], CAT),
    "a slow line": (["-F", f"file={PHOTO}", "--limit-rate", "100k"], CAT),
    "from a pipe": (["-F", "file=@-;filename=piped.jpg"], CAT),
    "the file as the body": (["--data-binary", PHOTO, "-H", "Content-Type: image/jpeg"], CAT),
    "the file as the body in chunks": (
        ["-T", "-", "-X", "POST", "-H", "Content-Type: image/jpeg"],
        CAT,
    ),
    "the body without a type": (["--data-binary", PHOTO, "-H", "Content-Type:"], CAT),
    "the body as data": (
        ["--data-binary", PHOTO],
        "A body of type application/x-www-form-urlencoded is no upload. Send a form with files, as "
        "`curl -F file=@cat.jpg` does, or one image as the body.\n",
    ),
    "a name in place of the file": (
        ["-F", "file=chelsea.jpg"],
        "The request holds no file. Send a form with files, as `curl -F file=@cat.jpg` does, or "
        "one image as the body.\n",
    ),
    "two files": (
        ["-F", f"a={PHOTO}", "-F", f"b={PHOTO}"],
        "One image at a time is answered here, not 2. Send many to /api/v1/upload.\n",
    ),
}


@pytest.mark.parametrize(("arguments", "answer"), CURL.values(), ids=CURL)
def test_curl_gets_an_answer_to(system: System, arguments: Sequence[str], answer: str) -> None:
    with CHELSEA.open("rb") as file:
        curl = subprocess.run(
            ["curl", "--silent", "--show-error", *arguments, system.url],
            stdin=file,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    assert (curl.returncode, curl.stdout, curl.stderr) == (0, answer, "")


def test_curl_puts_where_nothing_is_and_is_told_so(system: System) -> None:
    curl = subprocess.run(
        ["curl", "--silent", "-T", str(CHELSEA), system.url],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )

    assert json.loads(curl.stdout)["detail"] == "Nothing is at /chelsea.jpg."


# Forms


def part(disposition: bytes, content: bytes = PICTURE, end: bytes = b"\r\n") -> bytes:
    """Return a part of a form."""
    return end.join([b"--b", b"Content-Disposition: form-data; " + disposition, b"", content, b""])


def post(
    web: WebProcess, body: bytes, kind: str = "multipart/form-data; boundary=b", **headers: str
) -> tuple[int, Any]:
    """Send a body just as it is; return the answer's status and JSON."""
    with closing(http.client.HTTPConnection(*web.address, timeout=DEADLINE_S)) as connection:
        connection.request("POST", f"/{UPLOAD}", body, {"Content-Type": kind, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


NAMES: dict[str, tuple[bytes, str]] = {
    "plain": (b'name="f"; filename="cat.jpg"', "cat.jpg"),
    "without quotation marks": (b"name=f; filename=cat.jpg", "cat.jpg"),
    "with escaped quotation marks": (rb'name="f"; filename="a \"cat\".jpg"', 'a "cat".jpg'),
    "with quotation marks as browsers write them": (
        b'name="f"; filename="a %22cat%22.jpg"',
        'a "cat".jpg',
    ),
    "with a semicolon": (b'name="f"; filename="a;b.jpg"', "a;b.jpg"),
    "in UTF-8": ('name="f"; filename="Käse 🐱.jpg"'.encode(), "Käse 🐱.jpg"),
    "as in RFC 5987": (b"name=f; filename*=UTF-8''K%C3%A4se.jpg", "Käse.jpg"),
    "in both ways": (b"name=f; filename=x.jpg; filename*=UTF-8''K%C3%A4se.jpg", "Käse.jpg"),
    "in a set of characters that is not known": (b"name=f; filename*=x''a%FF.jpg", "a%FF.jpg"),
    "with folders": (b'name="f"; filename="../../etc/cat.jpg"', "cat.jpg"),
    "with a disk": (rb'name="f"; filename="C:\\me\\cat.jpg"', "cat.jpg"),
    "with a bell": (b'name="f"; filename="a\x07b.jpg"', "ab.jpg"),
    "that reads backwards": ('name="f"; filename="\u202egpj.cat"'.encode(), "gpj.cat"),
    "of dots": (b'name="f"; filename=".."', "image"),
    "of nothing": (b'name="f"; filename=""', "image"),
    "endless": (b'name="f"; filename="' + b"x" * 5000 + b'.jpg"', "x" * 196 + ".jpg"),
    "of no field": (b'filename="cat.jpg"', "cat.jpg"),
}


@pytest.mark.parametrize(("disposition", "name"), NAMES.values(), ids=NAMES)
def test_a_file_is_called(web: WebProcess, disposition: bytes, name: str) -> None:
    status, answer = post(web, part(disposition) + b"--b--\r\n")

    assert status == 202, answer
    assert [job["name"] for job in answer["jobs"]] == [name]


FILE = b'name="file"; filename="cat.jpg"'
END = b"--b--\r\n"
LONG = "x" * 70
FORMS: dict[str, tuple[bytes, str]] = {
    "with a file twice": (part(FILE) + part(FILE) + END, "b"),
    "with words around it": (b"Dear sir,\r\n" + part(FILE) + END + b"Yours,\r\n", "b"),
    "with line feeds alone": (part(FILE, end=b"\n") + b"--b--\n", "b"),
    "without a last line end": (part(FILE) + b"--b--", "b"),
    "with spaces after its delimiters": (part(FILE).replace(b"--b\r\n", b"--b \t\r\n") + END, "b"),
    "with its boundary in quotation marks": (part(FILE) + END, '"b"'),
    "with a long boundary": ((part(FILE) + END).replace(b"--b", b"--" + LONG.encode()), LONG),
    "with an odd boundary": ((part(FILE) + END).replace(b"--b", b"--.*+ (?:"), '".*+ (?:"'),
    "with a file that looks like its boundary": (
        part(FILE, PICTURE + b"\r\n--bx\r\n-- b\r\n--") + END,
        "b",
    ),
    "with text fields": (
        part(b'name="a"', b"text") + part(FILE) + part(b'name="b"', b"") + END,
        "b",
    ),
    "with folded headers": (part(b'name="file";\r\n filename="cat.jpg"') + END, "b"),
}


@pytest.mark.parametrize(("body", "boundary"), FORMS.values(), ids=FORMS)
def test_a_form_is_accepted(web: WebProcess, body: bytes, boundary: str) -> None:
    status, answer = post(web, body, f"multipart/form-data; boundary={boundary}")

    assert status == 202, answer
    assert {job["name"] for job in answer["jobs"]} == {"cat.jpg"}
    assert len(answer["jobs"]) == body.count(b"cat.jpg")


REFUSED: dict[str, tuple[bytes, str, tuple[int, str]]] = {
    "that was cut off": (part(FILE), "multipart/form-data; boundary=b", (400, "broken_upload")),
    "of another boundary": (
        part(FILE) + END,
        "multipart/form-data; boundary=c",
        (400, "broken_upload"),
    ),
    "of no boundary": (part(FILE) + END, "multipart/form-data", (400, "broken_upload")),
    "of an empty boundary": (
        part(FILE) + END,
        "multipart/form-data; boundary=",
        (400, "broken_upload"),
    ),
    "of nothing": (b"", "multipart/form-data; boundary=b", (400, "broken_upload")),
    "of nothing but its end": (END, "multipart/form-data; boundary=b", (400, "no_files")),
    "without headers": (
        b"--b\r\n\r\n" + PICTURE + b"\r\n" + END,
        "multipart/form-data; boundary=b",
        (400, "broken_upload"),
    ),
    "whose file has no name": (
        part(b'name="file"') + END,
        "multipart/form-data; boundary=b",
        (400, "no_files"),
    ),
    "with names in Latin-1": (
        part(b'name="file"; filename="K\xe4se.jpg"') + END,
        "multipart/form-data; boundary=b",
        (400, "broken_upload"),
    ),
    "of endless fields": (
        part(b'name="a"', b"1") * 1000 + END,
        "multipart/form-data; boundary=b",
        (413, "request_too_large"),
    ),
    "of endless headers": (
        part(FILE + b"\r\nX-Long: " + b"x" * 600_000) + END,
        "multipart/form-data; boundary=b",
        (413, "request_too_large"),
    ),
    "that is another kind of multipart": (
        part(FILE) + END,
        "multipart/mixed; boundary=b",
        (415, "unsupported_body"),
    ),
    "whose files are in base64": (
        part(FILE + b"\r\nContent-Transfer-Encoding: base64", b"/9j/4AAQSkZJRg==") + END,
        "multipart/form-data; boundary=b",
        (415, "unsupported_format"),
    ),
}


@pytest.mark.parametrize(("body", "kind", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_form_is_refused(
    web: WebProcess, body: bytes, kind: str, expected: tuple[int, str]
) -> None:
    status, answer = post(web, body, kind)

    assert (status, answer["code"]) == expected
    assert answer["detail"]


# Connections


# An answer whose body is JSON.
ANSWER = re.compile(rb"HTTP/1\.[01] (\d+) .*?\r\n\r\n\{.*?\}\n?(?=HTTP/|$)", re.DOTALL)


def talk(web: WebProcess, sent: bytes, answers: int = 1, *, half_closed: bool = False) -> bytes:
    """Send bytes and return what comes until so many answers are there, or the end."""
    said = b""
    with socket.create_connection(web.address, timeout=DEADLINE_S) as connection:
        connection.sendall(sent)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        while len(statuses(said)) < answers and (more := connection.recv(65536)):
            said += more
    return said


def statuses(said: bytes) -> list[int]:
    """Return the statuses of answers."""
    return [int(each) for each in ANSWER.findall(said)]


def head(*more: str, version: str = "1.1") -> bytes:
    """Return the beginning of an upload of the picture as a body."""
    lines = [f"POST /{UPLOAD} HTTP/{version}", "Host: web", "Content-Type: image/jpeg", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


LENGTH = f"Content-Length: {len(PICTURE)}"
CHUNKED = "Transfer-Encoding: chunked"
WHOLE = head(LENGTH) + PICTURE


def test_uploads_may_be_sent_one_after_the_other_without_waiting(web: WebProcess) -> None:
    before = web.accepted()

    said = talk(web, WHOLE * 3, answers=3)

    assert statuses(said) == [202] * 3
    assert len(set(re.findall(rb'"batch":"([^"]+)","url"', said))) == 3
    assert web.accepted() == before + 3


def test_an_expectation_is_met_before_the_body_is_sent(web: WebProcess) -> None:
    with socket.create_connection(web.address, timeout=DEADLINE_S) as connection:
        connection.sendall(head(LENGTH, "Expect: 100-continue"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(PICTURE)
        assert connection.recv(1000).startswith(b"HTTP/1.1 202 ")


SENT: dict[str, tuple[bytes, int]] = {
    "in HTTP/1.0": (head(LENGTH, version="1.0") + PICTURE, 202),
    "with lower-case headers": (
        WHOLE.replace(b"Content-Type", b"content-type").replace(
            b"Content-Length", b"content-length"
        ),
        202,
    ),
    "in chunks with extensions": (
        head(CHUNKED) + b"%x;a=b\r\n" % len(PICTURE) + PICTURE + b"\r\n0\r\nX-After: 1\r\n\r\n",
        202,
    ),
    "with two lengths": (head(LENGTH, "Content-Length: 4") + PICTURE, 400),
    "with a length and in chunks": (head(LENGTH, CHUNKED) + b"0\r\n\r\n", 400),
    "with a length that is none": (head("Content-Length: -5"), 400),
    "with broken chunks": (head(CHUNKED) + b"zz\r\n", 400),
    "without any body": (head(), 422),
    "with an expectation nobody knows": (head(LENGTH, "Expect: cake") + PICTURE, 417),
    "in TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 99 + b"\r\n\r\n", 400),
    "with too many headers": (head(*(f"X-{i}: 1" for i in range(200))), 431),
    "at an endless address": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
}


@pytest.mark.parametrize(("sent", "status"), SENT.values(), ids=SENT)
def test_what_is_sent_gets_its_answer(web: WebProcess, sent: bytes, status: int) -> None:
    said = talk(web, sent)

    assert statuses(said) == [status], said
    if status != 202:
        assert b"problem+json" in said
        assert b'"detail"' in said


def test_an_image_whose_end_does_not_come_is_not_accepted(web: WebProcess) -> None:
    before = web.accepted()

    said = talk(web, WHOLE[:-1], half_closed=True)

    assert statuses(said) == [400]
    assert b"broken_upload" in said
    assert web.accepted() == before
