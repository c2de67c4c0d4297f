"""Images that failed come back into the queue, and only those that were meant."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from moto import mock_aws

from imagefleet_core import keys
from imagefleet_core.aws import Aws
from imagefleet_core.errors import Unavailable
from imagefleet_core.inbox import decode_requests
from imagefleet_core.jobs import (
    Failure,
    JobId,
    Prediction,
    Request,
    Result,
    ids_made_at,
    new_batch_id,
)
from imagefleet_core.s3 import S3Store
from imagefleet_core.sqs import SqsQueue, SqsQueues
from imagefleet_scripts import redrive
from s3_server import REGION, SECRETS, S3Server

INPUT, RESULTS = "imagefleet-input", "imagefleet-results"
REQUESTS, DEAD = "imagefleet-requests", "imagefleet-requests-dead"


@dataclass
class Place:
    """An account in which images fail."""

    aws: Aws
    store: S3Store
    requests: SqsQueue
    dead: SqsQueue
    server: S3Server

    def fail(
        self,
        code: str = "worker_crashed",
        *,
        age: timedelta = timedelta(minutes=5),
        count: int = 1,
        keep_images: bool = True,
    ) -> list[Request]:
        """Store images of one batch and a failure for each; return the requests they had."""
        at = datetime.now(UTC) - age
        batch = batch_of(at)
        requests = []
        for number in range(1, count + 1):
            job, name = JobId(batch, number), f"Käse {number}.jpg"
            request = Request(job, keys.input_key(job, name), name, "replies-of-a-process", at)
            if keep_images:
                self.store.put_image(request.key, b"an image", "image/jpeg")
            self.store.put_result(result_of(request, Failure(code, "It is so.")))
            requests.append(request)
        return requests

    def queued(self) -> list[Request]:
        """Return what is in the queue of requests, in order of the jobs."""
        found = [request for body in taken(self.requests) for request in decode_requests(body)]
        return sorted(found, key=lambda request: request.job)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(redrive, "WAIT_S", 0)
    with mock_aws(), S3Server() as server:
        for service in ("S3", "SQS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS["test"])
        aws = Aws()
        s3, sqs = aws.s3(1), aws.sqs(1)
        for bucket in (INPUT, RESULTS):
            where = {"LocationConstraint": REGION}
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)  # type: ignore[arg-type]
        for queue in (REQUESTS, DEAD):
            sqs.create_queue(QueueName=queue)
        store = S3Store(s3, input_bucket=INPUT, results_bucket=RESULTS)
        queues = SqsQueues(sqs)
        yield Place(aws, store, queues.open(REQUESTS), queues.open(DEAD), server)
        s3.close()
        sqs.close()


def batch_of(moment: datetime) -> str:
    """Return a batch id as one made at a moment."""
    return ids_made_at(int(moment.timestamp() * 1000)) + new_batch_id()[14:]


def result_of(request: Request, error: Failure | None = None) -> Result:
    now = datetime.now(UTC)
    return Result(
        job=request.job,
        name=request.name,
        top=() if error else (Prediction("tabby", 0.9),),
        error=error,
        model="net@1",
        worker="worker-1",
        submitted_at=request.submitted_at,
        started_at=now,
        finished_at=now,
    )


def taken(queue: SqsQueue) -> list[str]:
    """Return the bodies of all messages of a queue, which are gone then."""
    bodies = []
    while messages := queue.receive(wait_s=0, visibility_s=60):
        bodies += [message.body for message in messages]
        queue.delete([message.receipt for message in messages])
    return bodies


def asked_again(request: Request) -> tuple[JobId, str, str, None, str]:
    """Return what the message that asks for an image again says."""
    at = request.submitted_at.isoformat(timespec="milliseconds")
    return request.job, request.key, request.name, None, at


def told(request: Request) -> tuple[JobId, str, str, str | None, str]:
    at = request.submitted_at.isoformat(timespec="milliseconds")
    return request.job, request.key, request.name, request.reply_to, at


def test_an_image_that_ended_its_workers_is_asked_for_again(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = place.fail(count=12)

    assert redrive.main([]) == 0

    assert [told(each) for each in place.queued()] == [asked_again(each) for each in failed]
    *lines, last = capsys.readouterr().out.splitlines()
    assert f"  {failed[0].job}  Käse 1.jpg  queued" in lines
    assert last == ("imagefleet-results: queued 12 of 12 with worker_crashed among 12 results")


def test_a_label_takes_the_place_of_the_failure(place: Place) -> None:
    (failed,) = place.fail()
    redrive.main([])
    (request,) = place.queued()

    assert place.store.put_result(result_of(request))

    found = place.store.get_result(failed.job)
    assert found is not None
    assert found.label == "tabby"


def test_other_failures_and_labels_are_left_alone(place: Place) -> None:
    place.fail("truncated")
    (done,) = place.fail("worker_crashed", keep_images=True)
    place.store.put_result(result_of(done))

    assert redrive.main([]) == 0

    assert place.queued() == []


def test_codes_can_be_named(place: Place) -> None:
    place.fail()
    wanted = place.fail("decode_timeout") + place.fail("decoder_crashed")

    redrive.main(["--code", "decode_timeout", "--code", "decoder_crashed"])

    assert {each.job for each in place.queued()} == {each.job for each in wanted}


@pytest.mark.parametrize(
    ("arguments", "ages"),
    [
        ([], ["5m", "23h"]),
        (["--since", "1h"], ["5m"]),
        (["--since", "2d"], ["5m", "23h", "25h"]),
        (["--since", "all"], ["5m", "23h", "25h", "20d"]),
    ],
)
def test_the_age_is_that_of_the_upload(place: Place, arguments: list[str], ages: list[str]) -> None:
    jobs = {}
    for age in ("5m", "23h", "25h", "20d"):
        (failed,) = place.fail(age=redrive._age(age) or timedelta())
        jobs[failed.job] = age

    redrive.main(arguments)

    assert sorted(jobs[each.job] for each in place.queued()) == sorted(ages)


def test_results_of_before_are_not_even_listed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.fail(age=timedelta(days=3), count=5)
    place.fail()

    redrive.main(["--since", "1h"])

    assert "among 1 results" in capsys.readouterr().out


def test_one_batch_alone_whatever_its_age(place: Place) -> None:
    place.fail()
    wanted = place.fail(age=timedelta(days=20), count=3)

    assert redrive.main(["--batch", wanted[0].job.batch]) == 0

    assert [each.job for each in place.queued()] == [each.job for each in wanted]


def test_an_unknown_batch_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    batch = new_batch_id()

    assert redrive.main(["--batch", batch]) == 1

    assert capsys.readouterr().err == (
        f"scripts/redrive: there is no batch {batch}, or it was forgotten\n"
    )


def test_a_batch_without_any_result_yet_is_no_error(place: Place) -> None:
    job = JobId(new_batch_id(), 1)
    place.store.put_image(keys.input_key(job, "cat.jpg"), b"an image", "image/jpeg")

    assert redrive.main(["--batch", job.batch]) == 0


def test_an_image_that_is_gone_is_told(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (gone,) = place.fail(keep_images=False)

    assert redrive.main([]) == 0

    out = capsys.readouterr().out
    assert f"  {gone.job}  Käse 1.jpg  is not in the input bucket any more" in out
    assert "queued 0 of 1" in out
    assert place.queued() == []


def test_a_dry_run_changes_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (failed,) = place.fail()
    place.dead.send([failed.encode()])

    assert redrive.main(["--dry-run"]) == 0

    out = capsys.readouterr().out
    assert "imagefleet-requests-dead: would put back about 1" in out
    assert f"{failed.job}  Käse 1.jpg  would be queued" in out
    assert "would queue 1 of 1" in out
    assert place.queued() == []
    assert taken(place.dead) == [failed.encode()]


def test_dead_letters_are_put_back_as_they_are(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = [f'{{"whatever": {number}}}' for number in range(25)]
    place.dead.send(bodies)

    assert redrive.main([]) == 0

    assert "imagefleet-requests-dead: put back 25" in capsys.readouterr().out
    assert sorted(taken(place.requests)) == sorted(bodies)
    assert taken(place.dead) == []


def test_dead_letters_are_left_alone_where_some_images_are_meant(place: Place) -> None:
    (failed,) = place.fail()
    place.dead.send(["a letter"])

    redrive.main(["--batch", failed.job.batch])
    redrive.main(["--code", "worker_crashed"])

    assert taken(place.dead) == ["a letter"]


def test_a_letter_is_not_deleted_before_it_was_sent(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.dead.send(["a letter"])

    def send(_self: SqsQueue, _bodies: Sequence[str]) -> None:
        raise Unavailable("sending to imagefleet-requests: nothing answers")

    monkeypatch.setattr(SqsQueue, "send", send)
    monkeypatch.setattr(redrive, "VISIBILITY_S", 0)

    assert redrive.main([]) == 1

    assert capsys.readouterr().err == (
        "scripts/redrive: sending to imagefleet-requests: nothing answers\n"
    )
    assert taken(place.dead) == ["a letter"]


def test_a_letter_that_comes_back_at_once_is_not_moved_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given workers that still end with it: what is sent is a dead letter again
    place.dead.send(["a letter"])
    real = SqsQueue.send

    def send(queue: SqsQueue, bodies: Sequence[str]) -> None:
        real(queue if queue.name == DEAD else place.dead, bodies)

    monkeypatch.setattr(SqsQueue, "send", send)
    monkeypatch.setattr(redrive, "VISIBILITY_S", 0)

    assert redrive.main([]) == 0

    assert taken(place.dead) == ["a letter"]


def event(key: str) -> str:
    """Return what S3 says of an upload to the inbox just now."""
    record = {"eventTime": datetime.now(UTC).isoformat(), "s3": {"object": {"key": key}}}
    return json.dumps({"Records": [record]})


def test_an_image_of_the_inbox_is_found_by_its_name_and_time(place: Place) -> None:
    for key in ("inbox/other.jpg", "inbox/trip/my cat.jpg"):
        place.store.put_image(key, b"an image", "image/jpeg")
    (request,) = decode_requests(event("inbox/trip/my cat.jpg"))
    place.store.put_result(result_of(request, Failure("worker_crashed", "It is so.")))

    redrive.main([])

    assert [told(each) for each in place.queued()] == [asked_again(request)]


def test_an_image_that_its_client_uploaded_with_a_form_is_found_by_its_job(place: Place) -> None:
    batch = new_batch_id()
    for number in (1, 2):
        key = keys.inbox_key(JobId(batch, number), "cat.jpg")
        place.store.put_image(key, b"an image", "image/jpeg")
    (request,) = decode_requests(event(f"inbox/{batch}/0002-cat.jpg"))
    place.store.put_result(result_of(request, Failure("worker_crashed", "It is so.")))

    redrive.main([])

    assert [told(each) for each in place.queued()] == [asked_again(request)]


def test_an_image_of_the_inbox_that_might_be_another_is_left(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("inbox/a/cat.jpg", "inbox/b/cat.jpg"):
        place.store.put_image(key, b"an image", "image/jpeg")
    (request,) = decode_requests(event("inbox/a/cat.jpg"))
    place.store.put_result(result_of(request, Failure("worker_crashed", "It is so.")))

    redrive.main([])

    assert "queued 0 of 1" in capsys.readouterr().out


def test_whatever_else_lies_in_the_results_bucket_is_passed_over(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (failed,) = place.fail()
    s3 = place.aws.s3(1)
    unreadable = keys.result_key(JobId(failed.job.batch, 2))
    for key in ("zzz/notes.txt", "zzz/0001.json", "0001.json", unreadable):
        s3.put_object(Bucket=RESULTS, Key=key, Body=b"?")
    s3.close()

    assert redrive.main(["--since", "all"]) == 0

    assert [each.job for each in place.queued()] == [failed.job]
    assert f"  {unreadable}  can't be read" in capsys.readouterr().out


def test_more_results_than_one_page_are_seen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = place.fail(count=7)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")

    redrive.main([])

    listings = [each for each in place.server.requests if "list-type=2" in each]
    assert len([each for each in listings if each.startswith(f"GET /{RESULTS}")]) == 3
    assert len(place.queued()) == len(failed)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since", "soon"], "'soon': expected an age as 30m, 2h or 7d, or all"),
        (["--batch", "42"], "'42' is no batch id"),
        (["--batch", new_batch_id(), "--since", "1h"], "not allowed with"),
    ],
)
def test_a_wrong_option_is_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        redrive.main(arguments)

    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "status", "complaint"),
    [
        ({"IMAGEFLEET_PREFIX": "other"}, 1, "no queue is called other-requests"),
        ({"IMAGEFLEET_PREFIX": "?"}, 2, "IMAGEFLEET_PREFIX is '?'"),
        ({"IMAGEFLEET_RESULTS_BUCKET_NAME": "elsewhere"}, 1, "the bucket does not exist"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    status: int,
    complaint: str,
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert redrive.main([]) == status

    err = capsys.readouterr().err
    assert complaint in err
    assert err.startswith("scripts/redrive: ")
    assert err.count("\n") == 1


def test_without_credentials_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")

    assert redrive.main([]) == 1

    assert "no AWS credentials: set AWS_ACCESS_KEY_ID" in capsys.readouterr().err


def test_help_says_what_clients_see_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        redrive.main(["--help"])

    assert "Until then, and for good if it fails again, the old one stays." in (
        capsys.readouterr().out
    )
