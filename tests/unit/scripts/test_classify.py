"""The command-line client as people run it, against a small server that can misbehave."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from system import wait_for

CLIENT = Path(__file__).parents[3] / "scripts/classify"
KEY = "s3cret-key"
DEADLINE_S = 60

Json = dict[str, Any]
Fault = Callable[["Handler"], None]


@dataclass
class Imagefleet:
    """Takes uploads as the web tier does, with faults in place of its next answers.

    Attributes:
        url: where it answers.
        answers: what becomes of a file, by its content; a label otherwise.
        upload_faults: what happens to the next uploads instead.
        batch_faults: what happens to the next questions about a batch instead.
        lost_answers: after how many of the next uploads the connection breaks, all being accepted.
        slow_polls: how many questions about a batch are answered before it has results.
        keys: the idempotency keys of uploads, in order of arrival.
        fresh: whether each upload asked for work, whatever is known of its files.
        batches: what was accepted, by id, in that order.
    """

    url: str = ""
    answers: dict[bytes, Json] = field(default_factory=dict)
    upload_faults: list[Fault] = field(default_factory=list)
    batch_faults: list[Fault] = field(default_factory=list)
    lost_answers: int = 0
    slow_polls: int = 0
    max_bytes: int = 10**9
    key: str | None = None
    keys: list[str] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)
    batches: dict[str, list[Json]] = field(default_factory=dict)
    by_key: dict[str, tuple[str, list[Json]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> list[str]:
        """The names of all files that were accepted, sorted."""
        return sorted(job["name"] for jobs in self.batches.values() for job in jobs)

    def accept(self, key: str, files: Sequence[tuple[str, bytes]]) -> tuple[str, list[Json]]:
        """Return the batch and what became of each file; the same for the same key."""
        with self.lock:
            self.keys.append(key)
            if key not in self.by_key:
                batch = str(uuid.uuid4())
                jobs: list[Json] = []
                taken: list[Json] = []
                for name, content in files:
                    jobs.append(self.job(f"{batch}-{len(taken) + 1:04}", name, content))
                    if jobs[-1]["status"] != "rejected":
                        taken.append(jobs[-1])
                if taken:
                    self.batches[batch] = taken
                self.by_key[key] = batch, jobs
            return self.by_key[key]

    def job(self, job: str, name: str, content: bytes) -> Json:
        """Return what will be known of a file in the end."""
        done = {"status": "done", "label": f"label of {name}", "score": 0.5, "model": "fake@1"}
        told: Json = {"id": job, "name": name, "error": None} | self.answers.get(content, done)
        return told | {"id": None} if told["status"] == "rejected" else told


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Imagefleet

    def do_POST(self) -> None:
        assert self.path == "/api/v1/upload"
        service = self.service
        if int(self.headers["Content-Length"]) > service.max_bytes:
            self.cut()
        elif service.key and self.headers["Authorization"] != f"Bearer {service.key}":
            self.body()
            self.problem(401, "unauthorized", "This key is not known.")
        elif service.upload_faults:
            service.upload_faults.pop(0)(self)
        else:
            self.accept()

    def accept(self) -> None:
        service = self.service
        service.fresh.append(self.headers["Cache-Control"] == "no-cache")
        batch, jobs = service.accept(self.headers["Idempotency-Key"], self.files())
        if service.lost_answers:
            service.lost_answers -= 1
            self.cut()
        elif not any(job["id"] for job in jobs):
            self.problem(415, "unsupported_format", "None is a picture.", jobs=jobs)
        else:
            pending = {"status": "pending", "label": None, "score": None}
            told = [job | pending if job["id"] else job for job in jobs]
            self.answer(202, {"batch": batch, "jobs": told})

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        batch = path.path.removeprefix("/api/v1/batches/")
        assert float(parse_qs(path.query)["wait"][0]) > 0
        service = self.service
        if service.batch_faults:
            service.batch_faults.pop(0)(self)
        elif batch not in service.batches:
            self.problem(404, "not_found", "There is no such batch.")
        else:
            jobs = service.batches[batch]
            if service.slow_polls:
                service.slow_polls -= 1
                jobs = [jobs[0], *({"id": job["id"], "status": "pending"} for job in jobs[1:])]
            self.answer(200, {"batch": batch, "jobs": jobs})

    def files(self) -> list[tuple[str, bytes]]:
        kind, options = parse_options_header(self.headers["Content-Type"])
        body = io.BytesIO(self.body())
        parser = FormDataParser(stream_factory=lambda *_, **__: io.BytesIO())
        _, _, files = parser.parse(body, kind, len(body.getvalue()), options)
        return [(file.filename or "", file.read()) for file in files.getlist("file")]

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def answer(self, status: int, body: Json, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def problem(self, status: int, code: str, detail: str, jobs: Any = None) -> None:
        more = {} if jobs is None else {"jobs": jobs}
        self.answer(status, {"code": code, "detail": detail, "status": status, **more})

    def cut(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


def saying(status: int, detail: str = "Not now.", code: str = "some_code", **headers: str) -> Fault:
    """A fault: this answer instead."""

    def say(handler: Handler) -> None:
        handler.body()
        handler.answer(status, {"code": code, "detail": detail}, **headers)

    return say


@pytest.fixture
def service() -> Iterator[Imagefleet]:
    imagefleet = Imagefleet()
    handler = type("Bound", (Handler,), {"service": imagefleet})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        imagefleet.url = f"http://127.0.0.1:{server.server_port}"
        yield imagefleet
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three pictures in it, one of them deeper down, and with what is none."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.PNG", "deep/c.tiff", "notes.txt", ".hidden.jpg"):
        (folder / name).write_bytes(f"content of {name}".encode())
    return folder


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.out.splitlines()))

    @property
    def labels(self) -> list[str]:
        return [row["label"] for row in self.rows]


@dataclass(frozen=True)
class Client:
    """Runs the client against a service, with its state in a place of its own."""

    url: str
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return kept | {"IMAGEFLEET_URL": self.url, "HOME": str(self.home)}

    def start(
        self, *arguments: object, cwd: Path | None = None, **environ: str
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(CLIENT), *map(str, arguments)]
        pipe = subprocess.PIPE
        environment = self.environ | environ
        return subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe
        )

    def __call__(
        self, *arguments: object, stdin: bytes = b"", cwd: Path | None = None, **environ: str
    ) -> Ran:
        process = self.start(*arguments, cwd=cwd, **environ)
        out, err = process.communicate(stdin, timeout=DEADLINE_S)
        ran = Ran(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in ran.err, ran.err
        return ran


@pytest.fixture
def run(service: Imagefleet, tmp_path: Path) -> Client:
    return Client(service.url, tmp_path / "home")


def test_a_folder_gives_a_row_for_each_picture_in_it(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    ran = run(folder)

    assert ran.status == 0
    assert [row["image"] for row in ran.rows] == [
        str(folder / name) for name in ("a.jpg", "b.PNG", "deep/c.tiff")
    ]
    assert ran.labels == ["label of a.jpg", "label of b.PNG", "label of c.tiff"]
    assert service.names == ["a.jpg", "b.PNG", "c.tiff"]
    assert "3 images: 3 done" in ran.err


def test_files_globs_and_lists_name_pictures_too_each_once(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    # given a file that is named twice, a glob with a hidden file's folder, and a list with NULs
    listed = f"{folder}/a.jpg\0{folder}/notes.txt\0".encode()

    ran = run(folder / "a.jpg", f"{folder}/**/*.tiff", "-", stdin=listed)

    assert ran.status == 0
    assert service.names == ["a.jpg", "c.tiff", "notes.txt"]


def test_a_file_that_is_refused_or_fails_stands_beside_the_others(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    refused = {"code": "unsupported_format", "message": "This is not a picture."}
    failed = {"code": "truncated", "message": "It ends early."}
    service.answers = {
        b"content of a.jpg": {"status": "rejected", "error": refused},
        b"content of b.PNG": {"status": "failed", "error": failed},
    }

    ran = run(folder)

    assert ran.status == 1
    assert [(row["status"], row["error"], row["label"]) for row in ran.rows] == [
        ("rejected", "unsupported_format", ""),
        ("failed", "truncated", ""),
        ("done", "", "label of c.tiff"),
    ]


def test_an_upload_of_which_nothing_is_accepted_tells_each_reason(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    refused = {"status": "rejected", "error": {"code": "empty_file", "message": "It is empty."}}
    service.answers = {b"content of notes.txt": refused}

    ran = run(folder / "notes.txt", "--format", "text")

    assert (ran.status, ran.out) == (1, f"{folder}/notes.txt\terror: It is empty.\n")


def test_a_service_that_is_busy_is_asked_again_when_it_says(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    service.upload_faults = [saying(503, "The storage is away.", Retry_After="1"), saying(429)]
    service.batch_faults = [saying(502), Handler.cut]

    ran = run(folder)

    assert (ran.status, len(ran.labels), len(service.batches)) == (0, 3, 1)
    assert "classify: 503 The storage is away.; trying again" in ran.err
    assert float(ran.err.split()[-2]) >= 1


def test_an_upload_whose_answer_is_lost_is_not_doubled(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    service.lost_answers = 2

    ran = run(folder)

    assert (ran.status, len(ran.labels)) == (0, 3)
    assert len(service.keys) == 3
    assert len(set(service.keys)) == len(service.batches) == 1


def test_another_name_or_another_content_is_another_upload(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    (folder / "renamed.jpg").write_bytes((folder / "a.jpg").read_bytes())
    for name in ("a.jpg", "renamed.jpg", "b.PNG"):
        run(folder / name)

    assert len(set(service.keys)) == 3


def test_results_that_are_slow_are_awaited(run: Client, service: Imagefleet, folder: Path) -> None:
    service.slow_polls = 2

    ran = run(folder)

    assert (ran.status, len(ran.labels)) == (0, 3)


def test_many_files_go_in_uploads_of_a_hundred(
    run: Client, service: Imagefleet, tmp_path: Path
) -> None:
    for number in range(230):
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)

    ran = run(tmp_path)

    assert ran.status == 0
    assert sorted(len(jobs) for jobs in service.batches.values()) == [30, 100, 100]
    # and each file has its own answer
    assert all(row["label"] == f"label of {Path(row['image']).name}" for row in ran.rows)


def test_an_upload_that_is_always_cut_off_goes_in_parts_and_names_the_file_that_cannot(
    run: Client, service: Imagefleet, tmp_path: Path
) -> None:
    # given a service, or a proxy before it, that hangs up on more than five megabytes
    service.max_bytes = 5_000_000
    for name, size in {"a": 3, "b": 3, "c": 3, "huge": 9}.items():
        (tmp_path / f"{name}.jpg").write_bytes(bytes(size * 1_000_000))

    ran = run(tmp_path)

    assert ran.status == 1
    assert service.names == ["a.jpg", "b.jpg", "c.jpg"]
    assert [row["status"] for row in ran.rows] == ["done", "done", "done", "unsent"]
    assert ran.rows[3]["error"] == "cut_off"

    # and a next run tries it again
    service.max_bytes = 10**9
    assert run(tmp_path).status == 0


def test_a_second_run_sends_only_what_is_new_or_changed(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    run(folder)
    (folder / "new.jpg").write_bytes(b"new")
    (folder / "a.jpg").write_bytes(b"changed a.jpg")

    ran = run(folder)

    assert (ran.status, len(ran.labels)) == (0, 4)
    assert [[job["name"] for job in jobs] for jobs in service.batches.values()] == [
        ["a.jpg", "b.PNG", "c.tiff"],
        ["a.jpg", "new.jpg"],
    ]
    assert "2 from an earlier run" in ran.err


def test_fresh_asks_again_for_all_and_retry_failed_for_what_failed(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    error = {"code": "worker_crashed", "message": "It ended its workers."}
    service.answers = {b"content of a.jpg": {"status": "failed", "error": error}}
    assert run(folder).status == 1
    service.answers = {}

    assert run(folder).status == 1
    assert len(service.batches) == 1
    assert run(folder, "--retry-failed").status == 0
    assert [job["name"] for job in list(service.batches.values())[1]] == ["a.jpg"]
    assert run(folder, "--fresh").status == 0
    assert len(service.names) == 3 + 1 + 3
    assert service.fresh[:2] == [False, False]
    assert all(service.fresh[2:])


def test_an_interrupted_run_says_how_to_go_on_and_the_next_one_does(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    # given images that are uploaded, of which one has a result
    service.slow_polls = 1000
    process = run.start(folder)
    wait_for(lambda: service.slow_polls < 999, DEADLINE_S)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, out) == (130, b"")
    assert err.decode().splitlines() == [
        "classify: interrupted",
        "1 of 3 images have their answer, 2 are uploaded; "
        "run the same command again to go on from there",
    ]

    # and the next run only asks for the results
    service.slow_polls = 0
    ran = run(folder)
    assert (ran.status, len(ran.labels), len(service.keys)) == (0, 3, 1)


@pytest.mark.parametrize(("status", "code"), [(404, "not_found"), (410, "deleted")])
def test_what_the_service_has_forgotten_is_sent_again(
    run: Client, service: Imagefleet, folder: Path, status: int, code: str
) -> None:
    def forget(handler: Handler) -> None:
        service.batches.clear()
        handler.problem(status, code, "There is no such batch.")

    service.batch_faults = [forget]

    ran = run(folder)

    assert (ran.status, len(ran.labels)) == (0, 3)
    assert len(set(service.keys)) == 2  # the first key would give the first batch again


def test_a_service_that_forgets_everything_is_not_asked_for_ever(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    service.batch_faults = [saying(404)] * 2

    ran = run(folder)

    assert ran.status == 1
    assert {row["error"] for row in ran.rows} == {"forgotten"}


def test_a_file_that_cannot_be_read_fails_alone(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    os.mkfifo(folder / "pipe.jpg")
    listed = f"{folder}/a.jpg\n{folder}/gone.jpg\n".encode()

    ran = run("-", folder / "pipe.jpg", stdin=listed)

    assert ran.status == 1
    assert [(row["status"], row["message"]) for row in ran.rows] == [
        ("done", ""),
        ("unsent", "No such file or directory."),
        ("unsent", "It is not a file."),
    ]


def test_a_file_that_changes_before_it_is_sent_again_fails_alone(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    def change(handler: Handler) -> None:
        (folder / "b.PNG").write_bytes(b"a longer content of b.PNG")
        saying(503)(handler)

    service.upload_faults = [change]

    ran = run(folder)

    assert ran.status == 1
    assert service.names == ["a.jpg", "c.tiff"]
    assert ran.rows[1]["message"] == "It changed while it was read."


def test_outputs_of_other_work_stand_in_every_format(
    run: Client, service: Imagefleet, folder: Path, tmp_path: Path
) -> None:
    output = {"sharp": True, "note": "ünïcode\x1b[31m"}
    work = {"status": "done", "label": None, "score": None, "output": output}
    service.answers = {b"content of a.jpg": work}
    image = folder / "a.jpg"
    written = r'{"sharp":true,"note":"ünïcode\u001b[31m"}'

    assert run(image, "--format", "csv").rows[0]["output"] == written
    assert run(image, "--format", "text").out == f"{image}\t{written}\n"
    assert json.loads(run(image, "--format", "jsonl").out)["output"] == output
    assert "sharp" in run(image, "--format", "table").out
    run(image, "--output", tmp_path / "out.json")
    (told,) = json.loads((tmp_path / "out.json").read_text())
    assert (told["image"], told["output"]) == (str(image), output)


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
def test_no_cell_of_the_table_is_a_formula(
    run: Client, service: Imagefleet, tmp_path: Path, beginning: str
) -> None:
    hostile = f'{beginning}HYPERLINK("http:x").jpg'
    (tmp_path / hostile).write_bytes(b"a picture")
    (tmp_path / "b.jpg").write_bytes(b"broken")
    error = {"code": f"{beginning}1", "message": f"{beginning}2+1"}
    service.answers = {
        b"a picture": {"status": "done", "label": f"{beginning}cat", "score": -0.5},
        b"broken": {"status": "failed", "error": error},
    }

    # a list on stdin, as the command line would take "-…" for an option
    done, failed = run("-", stdin=f"{hostile}\nb.jpg\n".encode(), cwd=tmp_path).rows

    assert (done["image"], done["label"]) == (f"'{hostile}", f"'{beginning}cat")
    assert (failed["error"], failed["message"]) == (f"'{beginning}1", f"'{beginning}2+1")
    # and a number stays one
    assert done["score"] == "-0.5"


def test_escape_sequences_and_markup_do_not_get_through(
    run: Client, service: Imagefleet, tmp_path: Path
) -> None:
    evil = "\x1b]0;owned\x07[bold red]\u202e\x9b2J"
    image = tmp_path / f"{evil}.jpg"
    image.write_bytes(b"evil")
    error = {"code": "\x1b[1mcode", "message": f"message {evil}"}
    service.answers = {b"evil": {"status": "failed", "error": error}}
    service.upload_faults = [saying(503, f"trouble {evil}")]

    for name in ("table", "csv", "json", "jsonl", "text"):
        ran = run(image, "--format", name, "--fresh")

        assert ran.status == 1
        text = (ran.out + ran.err).replace("\n", "").replace("\t", "")
        assert text.isprintable(), text
        assert "[bold red]" in text


def test_names_that_are_not_unicode_work(run: Client, service: Imagefleet, tmp_path: Path) -> None:
    image = tmp_path / os.fsdecode(b'\xff".jpg')
    image.write_bytes(b"a picture")

    ran = run(tmp_path, "--format", "jsonl")

    assert ran.status == 0
    assert json.loads(ran.out)["image"] == str(image)


def test_the_key_is_sent_and_never_shown(
    run: Client, service: Imagefleet, folder: Path, tmp_path: Path
) -> None:
    service.key = KEY
    # given credentials for this host, which requests would send instead
    run.home.mkdir()
    (run.home / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")

    right = run(folder, IMAGEFLEET_API_KEY=KEY)
    wrong = run(folder, "--fresh", "--key", "wr0ng-key")
    broken = run(folder, "--key", "wr0ng-\nkey")

    assert (right.status, wrong.status, broken.status) == (0, 3, 2)
    assert "wants another API key (--key): This key is not known." in wrong.err
    for ran in (right, wrong, broken):
        assert KEY not in ran.out + ran.err
        assert "wr0ng" not in ran.out + ran.err


def test_a_service_that_cannot_be_reached_is_given_up(run: Client, folder: Path) -> None:
    ran = run(folder, "--url", "http://127.0.0.1:9", "--patience", "1")

    assert ran.status == 3
    assert "http://127.0.0.1:9 can't be reached (Connection refused); is --url right?" in ran.err
    assert {row["status"] for row in ran.rows} == {"pending"}


def test_a_service_that_does_not_get_on_is_given_up_and_what_is_known_is_told(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    service.slow_polls = 1000

    ran = run(folder, "--patience", "2")

    assert ran.status == 3
    assert "given up after 2 s without progress: no result came" in ran.err
    assert [row["status"] for row in ran.rows] == ["done", "pending", "pending"]


def test_a_quota_that_is_used_up_is_not_waited_for(
    run: Client, service: Imagefleet, folder: Path
) -> None:
    used_up = saying(429, "The day's images are used up.", "quota_exceeded", Retry_After="80000")
    service.upload_faults = [used_up]

    ran = run(folder)

    assert ran.status == 3
    assert "takes no more today: The day's images are used up." in ran.err
    assert [row["status"] for row in ran.rows] == ["pending"] * 3


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda handler: handler.answer(404, {}), "answers 404 Not Found: is that Imagefleet?"),
        (saying(404, "Nothing is here."), "uploads are refused: Nothing is here."),
        (saying(307, Location="https://elsewhere.example/"), "sends us to https://elsewhere"),
        (saying(200), "answers 200 OK: is that Imagefleet?"),
        (lambda handler: handler.answer(202, {"jobs": [1]}), "can't be understood"),
        (lambda handler: handler.answer(202, {"jobs": []}), "does not tell what became of each"),
    ],
)
def test_an_address_where_something_else_answers_is_named(
    fault: Fault, complaint: str, run: Client, service: Imagefleet, folder: Path
) -> None:
    service.upload_faults = [fault] * 10

    ran = run(folder)

    assert ran.status == 3
    assert complaint in ran.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required: PATH"),
        (["nowhere"], "nowhere does not exist"),
        (["{folder}/.."], "no pictures in {folder}/.."),
        (["{folder}", "--url", "localhost:8080"], "an address such as http://127.0.0.1:8080"),
        (["{folder}", "--url", "http://user:pass@host"], "an address such as"),
        (["{folder}", "--output", "{folder}"], "--output {folder} can't be a file"),
        (["{folder}", "--output", "{folder}/no/labels.csv"], "can't be a file"),
        (["{folder}", "--parallel", "0"], "a number from 1 to 32"),
        (["{folder}", "--patience", "nan"], "a number of seconds"),
    ],
)
def test_a_wrong_command_line_is_said_in_one_line(
    arguments: list[str], complaint: str, run: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "empty" / "folder"
    folder.mkdir(parents=True)
    ran = run(*(each.format(folder=folder) for each in arguments))

    assert (ran.status, ran.out) == (2, "")
    assert complaint.format(folder=folder) in ran.err.splitlines()[-1]
    assert "pass@" not in ran.err


def test_state_that_cannot_be_kept_is_told_and_stops_nothing(
    run: Client, folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "state"
    broken.write_text("This is no database." * 100)

    ran = run(folder, "--state", broken)

    assert (ran.status, len(ran.labels)) == (0, 3)
    assert f"can't keep state in {broken} (file is not a database)" in ran.err


def test_quiet_tells_nothing_and_a_reader_may_leave(run: Client, folder: Path) -> None:
    assert run(folder, "--quiet").err == ""

    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(CLIENT), str(folder), "--quiet"]
    ended = subprocess.run(
        command, env=run.environ, stdout=writer, stderr=subprocess.PIPE, timeout=DEADLINE_S
    )
    os.close(writer)

    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_terminal_shows_bars_and_then_a_table(run: Client, folder: Path) -> None:
    primary, secondary = pty.openpty()
    command = [sys.executable, str(CLIENT), str(folder)]
    environ = run.environ | {"TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(command, env=environ, stdout=secondary, stderr=secondary)
    os.close(secondary)

    shown = b""
    while not shown.endswith(b" s\r\n"):
        shown += os.read(primary, 4096)
    assert process.wait(DEADLINE_S) == 0
    os.close(primary)

    text = shown.decode()
    assert "uploaded" in text
    assert "3 of 3 images" in text
    row = next(line for line in text.splitlines() if "a.jpg" in line)
    assert row.split() == [f"{folder}/a.jpg", "label", "of", "a.jpg", "50.0%"]


def test_the_file_works_alone_and_says_what_to_install(
    run: Client, folder: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "bin" / "classify"
    alone.parent.mkdir()
    shutil.copy(CLIENT, alone)

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *options, str(alone), str(folder)]
        environ = run.environ
        return subprocess.run(
            command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S
        )

    assert call("-I").stdout.count("label of") == 3
    without = call("-I", "-S")  # no site-packages
    assert without.returncode == 1
    assert without.stderr == (
        "classify: requests is missing: python3 -m pip install requests rich\n"
    )
