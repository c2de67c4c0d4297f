import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imagefleet_scripts import load
from imagefleet_scripts.load import Answer, Round


class Classifier(BaseHTTPRequestHandler):
    """Answers every upload: a label, but for images whose bytes say `break`.

    As those are that were answered before, unless work is asked for.
    """

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Cache-Control"] == "no-cache"
        status, answer = (422, b"cannot be decoded\n") if b"break" in body else (200, b"tabby\n")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Classifier) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two images, and a file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "b.PNG", "notes.txt"):
        (folder / name).write_bytes(b"an image")
    return folder


def test_each_round_is_a_row_and_a_complete_run_succeeds(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"

    status = load.main([str(folder), "--url", url, "--counts", "1,5", "--json", str(report)])

    rows = json.loads(report.read_text())
    assert status == 0
    assert [(row["images"], row["missing"], row["mismatched"]) for row in rows] == [
        (1, 0, 0),
        (5, 0, 0),
    ]
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_missing_label_is_told_and_fails_the_run(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "c.jpg").write_bytes(b"break")

    status = load.main([str(folder), "--url", url, "--counts", "3"])

    assert status == 1
    assert "c.jpg: 422: cannot be decoded" in capsys.readouterr().err


def test_an_unexpected_label_fails_the_run(url: str, folder: Path, tmp_path: Path) -> None:
    expected = tmp_path / "labels.csv"
    expected.write_text("Image,Results\na.jpg,tabby\nb.PNG,dog\n")

    arguments = [str(folder), "--url", url, "--counts", "2", "--expect", str(expected)]

    assert load.main(arguments) == 1
    expected.write_text("Image,Results\na.jpg,tabby\nb.PNG, tabby\n")
    assert load.main(arguments) == 0


def test_an_address_that_does_not_answer_is_a_missing_label(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = load.main([str(folder), "--url", "http://127.0.0.1:9/", "--counts", "1"])

    assert status == 1
    assert "a.jpg: ConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [(None, "No such file"), ("Name,Label\n", "must have the columns Image and Results")],
)
def test_a_bad_list_of_labels_is_one_clear_line(
    labels: str | None,
    complaint: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = tmp_path / "labels.csv"
    if labels is not None:
        expected.write_text(labels)

    assert load.main([str(folder), "--expect", str(expected)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_without_images_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"scripts/load: no images in {tmp_path}\n"


def test_an_answer_in_json_is_an_answer_and_not_the_wrong_label() -> None:
    answers = [Answer("a.jpg", 1, '{"mean":0.5}', None), Answer("b.jpg", 1, "dog", None)]

    summed = Round.of(answers, seconds=1, expected={"a.jpg": "tabby", "b.jpg": "cat"})

    assert (summed.missing, summed.mismatched) == (0, 1)


def test_a_round_sums_up_its_answers() -> None:
    answers = [Answer(f"{n}.jpg", n, "tabby", None) for n in range(1, 100)]
    answers.append(Answer("100.jpg", 100, None, "504: too late"))

    summed = Round.of(answers, seconds=50, expected={"1.jpg": "dog", "2.jpg": "tabby"})

    assert summed == Round(
        images=100, seconds=50, images_per_s=2, p50_s=50.5, p99_s=99, missing=1, mismatched=1
    )
