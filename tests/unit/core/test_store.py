import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import boto3
import pytest

from imagefleet_core import keys
from imagefleet_core.aws import Aws
from imagefleet_core.errors import (
    BatchDeleted,
    DecodeError,
    ObjectMissing,
    ObjectTooLarge,
    Unavailable,
)
from imagefleet_core.inbox import ANNOUNCED_WITHIN_S
from imagefleet_core.jobs import Failure, JobId, Prediction, Result, ids_made_at, new_batch_id
from imagefleet_core.s3 import S3Store
from imagefleet_core.store import ResultList, Store
from s3_server import Handler, S3Server

NOW = datetime(2026, 1, 31, 12, 0, 0, 123000, UTC)


def done(job: JobId, label: str = "tabby") -> Result:
    top = (Prediction(label, 0.9),)
    return Result(job, "cat.jpg", top, None, "net@1", "w1", NOW, NOW, NOW)


def s3_store(aws: Aws) -> S3Store:
    return S3Store(aws.s3(1), input_bucket="input", results_bucket="results")


def failed(job: JobId) -> Result:
    failure = Failure("truncated", "the file ends too early")
    return Result(job, "cat.jpg", (), failure, "net@1", "w2", NOW, NOW, NOW)


@pytest.fixture
def job() -> JobId:
    return JobId(new_batch_id(), 1)


def test_an_image_comes_back_as_it_was_stored(store: Store, job: JobId) -> None:
    key = keys.input_key(job, "cat.jpg")

    store.put_image(key, BytesIO(b"as a file"), "image/jpeg")
    assert store.get_image(key, max_bytes=9) == b"as a file"

    store.put_image(key, b"as bytes", "image/jpeg")
    assert store.get_image(key, max_bytes=9) == b"as bytes"


def test_an_image_that_is_not_there_is_missing(store: Store, job: JobId) -> None:
    key = keys.input_key(job, "cat.jpg")

    with pytest.raises(ObjectMissing, match=key):
        store.get_image(key, max_bytes=100)


def test_an_image_over_the_limit_is_not_read(store: Store, job: JobId) -> None:
    store.put_image("a/0001-a.jpg", b"12345", "image/jpeg")

    with pytest.raises(ObjectTooLarge, match="5 bytes; at most 4"):
        store.get_image("a/0001-a.jpg", max_bytes=4)


def test_an_image_is_admitted_by_its_size_before_it_is_read(store: Store, job: JobId) -> None:
    store.put_image("a/0001-a.jpg", b"12345", "image/jpeg")
    admitted: list[int] = []

    assert store.get_image("a/0001-a.jpg", max_bytes=5, admit=admitted.append) == b"12345"

    assert admitted == [5]


def test_an_image_that_is_refused_was_not_admitted(store: Store) -> None:
    store.put_image("a/0001-a.jpg", b"12345", "image/jpeg")
    admitted: list[int] = []

    with pytest.raises(ObjectTooLarge):
        store.get_image("a/0001-a.jpg", max_bytes=4, admit=admitted.append)
    with pytest.raises(ObjectMissing):
        store.get_image("a/0002-b.jpg", max_bytes=4, admit=admitted.append)

    assert admitted == []


def test_an_image_is_not_read_where_it_is_not_admitted(store: Store) -> None:
    store.put_image("a/0001-a.jpg", b"12345", "image/jpeg")

    def refuse(size: int) -> None:
        raise MemoryError(f"no room for {size} bytes")

    with pytest.raises(MemoryError, match="no room for 5 bytes"):
        store.get_image("a/0001-a.jpg", max_bytes=5, admit=refuse)

    assert store.get_image("a/0001-a.jpg", max_bytes=5) == b"12345"


def test_an_image_can_be_read_piece_by_piece(store: Store, job: JobId) -> None:
    key = keys.input_key(job, "cat.jpg")
    store.put_image(key, b"12345", "image/jpeg")

    pieces = [store.read_image(key, start, 2) for start in (0, 2, 4)]

    assert [piece.data for piece in pieces] == [b"12", b"34", b"5"]
    assert {piece.size for piece in pieces} == {5}
    assert len({piece.version for piece in pieces}) == 1
    store.put_image(key, b"54321", "image/jpeg")
    assert store.read_image(key, 0, 2).version != pieces[0].version


def test_an_image_without_a_byte_has_one_empty_piece(store: Store) -> None:
    store.put_image("inbox/a.jpg", b"", "image/jpeg")

    piece = store.read_image("inbox/a.jpg", 0, 2)

    assert (piece.data, piece.size) == (b"", 0)


def test_an_image_that_is_not_there_has_no_pieces(store: Store) -> None:
    with pytest.raises(ObjectMissing, match=r"a/0001-a\.jpg"):
        store.read_image("a/0001-a.jpg", 0, 2)


def test_an_image_is_found_by_its_job(store: Store) -> None:
    batch = new_batch_id()
    job, tenth = JobId(batch, 1), JobId(batch, 10_001)
    for each in (tenth, job):
        store.put_image(keys.input_key(each, "a cat.jpg"), b"1", "image/jpeg")

    assert store.image_key(job) == keys.input_key(job, "a cat.jpg")
    assert store.image_key(tenth) == keys.input_key(tenth, "a cat.jpg")
    assert store.image_key(JobId(batch, 1000)) is None
    assert store.image_key(JobId(new_batch_id(), 1)) is None


@pytest.mark.parametrize(
    "name", ["a cat.jpg", "Kätzchen 猫.jpg", "a+b&c=d?e#f%20.jpg", "~(1)*'!.jpg"]
)
@pytest.mark.parametrize("folder", ["inbox/", "inbox//./../", "inbox/ "])
def test_a_key_may_hold_anything(store: Store, folder: str, name: str) -> None:
    store.put_image(folder + name, b"cat", "image/jpeg")

    assert store.get_image(folder + name, max_bytes=3) == b"cat"


def test_an_image_of_the_inbox_is_found_by_its_job(store: Store) -> None:
    # given images that clients uploaded themselves, one of them to no job
    batch, other = new_batch_id(), new_batch_id()
    jobs = [JobId(batch, 1), JobId(batch, 2), JobId(other, 1)]
    for job in jobs:
        store.put_image(keys.inbox_key(job, "Käse 1.jpg"), b"1", "image/jpeg")
    store.put_image("inbox/0003-cat.jpg", b"1", "image/jpeg")

    assert store.image_key(jobs[1]) == f"inbox/{batch}/0002-Käse 1.jpg"
    assert store.image_key(JobId(batch, 3)) is None
    assert store.inbox_numbers(batch) == {1, 2}
    assert store.inbox_numbers(new_batch_id()) == set()
    assert store.image_names(batch) == {}


def dropped(store: Store, key: str) -> JobId:
    """Put an image into the inbox, and store a result that tells so."""
    job = JobId(new_batch_id(), 1)
    store.put_image(key, b"1", "image/jpeg")
    store.put_result(replace(done(job), key=key))
    return job


@pytest.mark.parametrize("name", ["cat.jpg", "trip/Käse 1 & 2.jpg", "a//b+c%20.jpg"])
def test_an_image_that_came_without_a_form_is_found_by_its_result(store: Store, name: str) -> None:
    job = dropped(store, f"inbox/{name}")
    dropped(store, f"inbox/{name}.jpg")

    assert store.dropped_key(job) == f"inbox/{name}"
    assert store.image_key(job) is None
    assert store.dropped_key(JobId(job.batch, 2)) is None
    assert store.dropped_key(JobId(new_batch_id(), 1)) is None


def test_an_image_that_is_gone_or_was_replaced_is_not_found_by_its_result(store: Store) -> None:
    gone = JobId(new_batch_id(), 1)
    store.put_result(replace(done(gone), key="inbox/gone"))
    store.put_image("inbox/gone.jpg", b"another's", "image/jpeg")
    # given one that was uploaded some seconds before what is there now
    earlier = datetime.now(UTC).timestamp() - ANNOUNCED_WITHIN_S - 600
    replaced = JobId(ids_made_at(int(earlier * 1000)) + new_batch_id()[14:], 1)
    dropped(store, "inbox/cat.jpg")
    store.put_result(replace(done(replaced), key="inbox/cat.jpg"))

    assert store.dropped_key(gone) is None
    assert store.dropped_key(replaced) is None
    store.delete_batch(gone.batch)
    store.delete_batch(replaced.batch)
    assert store.get_image("inbox/gone.jpg", 100) == b"another's"
    assert store.get_image("inbox/cat.jpg", 100) == b"1"


def test_a_result_leads_to_images_that_came_without_a_form_alone(store: Store, job: JobId) -> None:
    other = JobId(new_batch_id(), 1)
    theirs = [keys.input_key(other, "cat.jpg"), keys.inbox_key(other, "cat.jpg")]
    for key in theirs:
        store.put_image(key, b"theirs", "image/jpeg")
        store.put_result(replace(done(job), key=key))

        assert store.dropped_key(job) is None
        store.delete_batch(job.batch)

    assert [store.get_image(key, 100) for key in theirs] == [b"theirs"] * 2


def test_a_form_is_for_one_key_one_type_and_some_bytes(aws: Aws) -> None:
    store = s3_store(aws)

    form = store.upload_form("inbox/a.jpg", "image/jpeg", max_bytes=100, life_s=900)

    policy = json.loads(base64.b64decode(form.fields["policy"]))
    life = datetime.fromisoformat(policy["expiration"]) - datetime.now(UTC)
    assert 895 < life.total_seconds() <= 900
    fixed = [each for each in policy["conditions"] if isinstance(each, dict)]
    assert {"key": "inbox/a.jpg"} in fixed
    assert {"Content-Type": "image/jpeg"} in fixed
    assert {"bucket": "input"} in fixed
    assert ["content-length-range", 1, 100] in policy["conditions"]
    assert [each for each in policy["conditions"] if "starts-with" in each] == []
    # what it takes to be sent on is told, and signed as buckets of our days want it
    assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    assert (form.fields["key"], form.fields["Content-Type"]) == ("inbox/a.jpg", "image/jpeg")
    assert form.url.endswith("/input")


def test_a_form_needs_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    store = s3_store(Aws(boto3.Session(region_name="eu-central-1")))

    with pytest.raises(Unavailable, match="signing a form: no AWS credentials"):
        store.upload_form("inbox/a.jpg", "image/jpeg", max_bytes=100, life_s=900)


def test_a_job_has_no_result_until_there_is_one(store: Store, job: JobId) -> None:
    assert store.get_result(job) is None

    assert store.put_result(done(job))

    assert store.get_result(job) == done(job)


def test_a_late_failure_never_hides_a_label(store: Store, job: JobId) -> None:
    store.put_result(done(job))

    assert not store.put_result(failed(job))

    assert store.get_result(job) == done(job)


def test_a_label_replaces_a_failure(store: Store, job: JobId) -> None:
    assert store.put_result(failed(job))

    assert store.put_result(done(job))

    assert store.get_result(job) == done(job)


def test_a_batch_lists_its_own_images_and_results_only(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two batches, the first of more images than one page of this S3 lists
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    batch, other = new_batch_id(), new_batch_id()
    for number in range(1, 8):
        store.put_image(keys.input_key(JobId(batch, number), f"{number}.jpg"), b"x", "image/jpeg")
    store.put_image(keys.input_key(JobId(other, 1), "cat.jpg"), b"x", "image/jpeg")
    store.put_result(done(JobId(batch, 2)))
    store.put_result(failed(JobId(batch, 7)))

    assert store.image_names(batch) == {number: f"{number}.jpg" for number in range(1, 8)}
    assert store.result_numbers(batch) == {2, 7}
    assert store.image_names(other) == {1: "cat.jpg"}
    assert store.result_numbers(other) == set()


def test_batches_are_listed_in_the_order_of_their_ids(store: Store) -> None:
    # given batches with an image, with a result, with both, and an image of the inbox
    batches = [new_batch_id() for _ in range(3)]
    for batch in batches[:2]:
        store.put_image(keys.input_key(JobId(batch, 1), "cat.jpg"), b"x", "image/jpeg")
    for batch in batches[1:]:
        store.put_result(done(JobId(batch, 1)))
    store.put_image("inbox/cat.jpg", b"x", "image/jpeg")

    page = store.batches_from("")

    assert ([each for each in page.ids if each != "inbox"], page.more) == (batches, False)
    assert store.batches_from(batches[0]).ids[0] in {batches[0], batches[1]}
    assert store.batches_from(f"{batches[0]}~").ids[:2] == batches[1:]


def test_more_batches_than_a_page_are_listed_without_a_gap(store: Store) -> None:
    # given images of 1001 batches, and results of some before and after them
    batches = [new_batch_id() for _ in range(1005)]
    for batch in batches[2:1003]:
        store.put_image(keys.input_key(JobId(batch, 1), "cat.jpg"), b"x", "image/jpeg")
    for batch in (*batches[:2], *batches[1003:]):
        store.put_result(done(JobId(batch, 1)))

    first = store.batches_from("")
    second = store.batches_from(f"{first.ids[-1]}~")

    assert first.more
    assert not second.more
    assert first.ids + second.ids == batches


def test_a_deleted_batch_is_gone_and_the_others_are_not(store: Store) -> None:
    # given a batch of more images than S3 deletes at once
    batch, other = new_batch_id(), new_batch_id()
    for number in range(1, 1002):
        store.put_image(keys.input_key(JobId(batch, number), "cat.jpg"), b"x", "image/jpeg")
    for job in (JobId(batch, 1), JobId(other, 1)):
        store.put_result(done(job))
    store.put_image(keys.input_key(JobId(other, 1), "cat.jpg"), b"x", "image/jpeg")

    assert store.delete_batch(batch)

    assert store.is_deleted(batch)
    assert store.image_names(batch) == {}
    assert store.get_result(JobId(batch, 1)) is None
    with pytest.raises(BatchDeleted, match=batch):
        store.result_numbers(batch)
    assert not store.is_deleted(other)
    assert (store.image_names(other), store.result_numbers(other)) == ({1: "cat.jpg"}, {1})


def test_a_deleted_batch_takes_along_what_its_client_uploaded_itself(store: Store) -> None:
    batch, other = new_batch_id(), new_batch_id()
    for each in (batch, other):
        store.put_image(keys.inbox_key(JobId(each, 1), "cat.jpg"), b"x", "image/jpeg")

    assert store.delete_batch(batch)

    assert store.is_deleted(batch)
    assert store.inbox_numbers(batch) == set()
    assert store.inbox_numbers(other) == {1}


@pytest.mark.parametrize("name", ["my cat.jpg", "a//b+c%20.jpg", "Käse&<1>.jpg"])
def test_a_deleted_batch_takes_along_what_came_without_a_form(store: Store, name: str) -> None:
    job, other = dropped(store, f"inbox/{name}"), dropped(store, f"inbox/{name}.jpg")

    assert store.delete_batch(job.batch)

    with pytest.raises(ObjectMissing):
        store.get_image(f"inbox/{name}", 100)
    assert store.get_result(job) is None
    assert store.dropped_key(other) == f"inbox/{name}.jpg"
    assert store.delete_batch(job.batch)


def test_a_batch_tells_whether_it_awaits_images(store: Store, job: JobId) -> None:
    other = JobId(new_batch_id(), 1)
    for each in (job, other):
        store.put_result(done(each))
    store.write_note(keys.awaited_key(job.batch), b"{}")

    assert store.list_results(job.batch) == ResultList({1}, awaited=True)
    assert store.list_results(other.batch) == ResultList({1}, awaited=False)
    assert store.batches_from("").ids == sorted([job.batch, other.batch])

    store.delete_batch(job.batch)
    assert store.read_note(keys.awaited_key(job.batch)) is None
    with pytest.raises(BatchDeleted):
        store.list_results(job.batch)


def test_no_late_failure_comes_back_to_a_deleted_batch(store: Store, job: JobId) -> None:
    store.put_image(keys.input_key(job, "cat.jpg"), b"x", "image/jpeg")
    store.delete_batch(job.batch)

    assert not store.put_result(failed(job))

    assert store.get_result(job) is None


def test_deleting_again_removes_what_came_since(store: Store, job: JobId) -> None:
    # given a label of an image that a worker had in its hands
    store.put_image(keys.input_key(job, "cat.jpg"), b"x", "image/jpeg")
    store.delete_batch(job.batch)
    store.put_result(done(job))

    assert store.delete_batch(job.batch)

    assert store.get_result(job) is None
    assert store.is_deleted(job.batch)
    assert store.delete_batch(job.batch)


def test_what_never_was_cannot_be_deleted(store: Store, job: JobId) -> None:
    assert not store.delete_batch(job.batch)

    assert not store.is_deleted(job.batch)


def test_a_note_is_kept_where_none_is(store: Store) -> None:
    assert store.read_note("idempotency/a") is None

    version = store.write_note("idempotency/a", b"first")

    note = store.read_note("idempotency/a")
    assert version
    assert note
    assert (note.body, note.version) == (b"first", version)
    assert 0 <= note.age_s < 60


def test_the_second_to_write_a_note_is_told_so(store: Store) -> None:
    store.write_note("idempotency/a", b"first")

    assert store.write_note("idempotency/a", b"second") is None

    note = store.read_note("idempotency/a")
    assert note
    assert note.body == b"first"


def test_a_note_is_replaced_by_who_knows_the_one_that_is_there(store: Store) -> None:
    first = store.write_note("idempotency/a", b"first")
    assert first

    second = store.write_note("idempotency/a", b"second", replacing=first)

    assert second not in {None, first}
    assert store.write_note("idempotency/a", b"third", replacing=first) is None
    note = store.read_note("idempotency/a")
    assert note
    assert note.body == b"second"


def test_a_note_that_is_gone_is_not_replaced(store: Store) -> None:
    assert store.write_note("idempotency/a", b"second", replacing='"0"') is None

    assert store.read_note("idempotency/a") is None


def test_one_of_many_that_write_a_note_at_once_is_the_first(store: Store) -> None:
    bodies = [b"%d" % i for i in range(8)]

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda body: store.write_note("idempotency/a", body), bodies))

    (winner,) = [body for body, version in zip(bodies, versions, strict=True) if version]
    note = store.read_note("idempotency/a")
    assert note
    assert note.body == winner


def test_a_note_whose_answer_was_lost_is_written_nevertheless(aws: Aws, s3: S3Server) -> None:
    """The second try finds what the first one wrote."""

    def written_unanswered(handler: Handler) -> None:
        handler._ask_moto()
        handler.reset()

    store = S3Store(aws.s3(1), input_bucket="input", results_bucket="results", pause=lambda _: None)
    s3.faults.append(written_unanswered)
    first = store.write_note("idempotency/a", b"first")
    assert first
    s3.faults.append(written_unanswered)

    assert store.write_note("idempotency/a", b"second", replacing=first)

    note = store.read_note("idempotency/a")
    assert note
    assert note.body == b"second"


def test_a_note_is_forgotten_and_may_be_written_anew(store: Store) -> None:
    first = store.write_note("callbacks/a", b"first")
    assert first

    store.delete_note("callbacks/a")

    assert store.read_note("callbacks/a") is None
    assert store.write_note("callbacks/a", b"second", replacing=first) is None
    assert store.write_note("callbacks/a", b"third")
    store.delete_note("callbacks/none")  # no error


def test_notes_are_listed_under_their_prefix_and_after_a_key(store: Store, job: JobId) -> None:
    for key in ("callbacks/b", "callbacks/a", "callbacks/c", "idempotency/a"):
        store.write_note(key, b"{}")
    store.put_result(done(job))

    assert store.note_keys("callbacks/") == ["callbacks/a", "callbacks/b", "callbacks/c"]
    assert store.note_keys("callbacks/", "callbacks/a") == ["callbacks/b", "callbacks/c"]
    assert store.note_keys("nothing/") == []


def test_more_notes_than_a_page_are_listed_page_by_page(store: Store) -> None:
    keys_there = [f"callbacks/{number:04}" for number in range(8)]
    for key in keys_there:
        store.write_note(key, b"{}")

    first = store.note_keys("callbacks/", at_most=5)
    second = store.note_keys("callbacks/", first[-1], at_most=5)

    assert (first, second) == (keys_there[:5], keys_there[5:])


def test_notes_are_no_batches(store: Store, job: JobId) -> None:
    store.write_note("idempotency/a", b"first")
    store.put_result(done(job))

    assert store.batches_from("").ids == [job.batch, "idempotency"]
    assert store.result_numbers(job.batch) == {1}


@pytest.mark.usefixtures("s3")
def test_a_result_that_does_not_follow_the_contract_is_a_decode_error(aws: Aws, job: JobId) -> None:
    aws.s3(1).put_object(Bucket="results", Key=keys.result_key(job), Body=b"{}")

    with pytest.raises(DecodeError):
        s3_store(aws).get_result(job)


@pytest.mark.usefixtures("s3")
def test_a_missing_bucket_says_what_to_do(aws: Aws, job: JobId) -> None:
    store = S3Store(aws.s3(1), input_bucket="nowhere", results_bucket="nowhere")
    advice = "apply infra/data.yaml first"

    with pytest.raises(Unavailable, match=advice):
        store.put_image("a/0001-a.jpg", b"x", "image/jpeg")
    with pytest.raises(Unavailable, match=advice):
        store.put_result(done(job))
    with pytest.raises(Unavailable, match=advice):
        store.image_names("a")
    with pytest.raises(Unavailable, match=f"looking for the bucket nowhere: .*{advice}"):
        store.ping()


def test_a_dead_endpoint_is_named(monkeypatch: pytest.MonkeyPatch, job: JobId) -> None:
    # given an address at which nothing listens
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws = Aws(boto3.Session("test", "test", region_name="eu-central-1"), attempts=1)
    store = s3_store(aws)

    with pytest.raises(Unavailable, match=r"nothing answers at http://127\.0\.0\.1:9"):
        store.put_result(done(job))


def test_missing_credentials_say_what_to_set(monkeypatch: pytest.MonkeyPatch, job: JobId) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws = Aws(boto3.Session(region_name="eu-central-1"))
    store = s3_store(aws)

    with pytest.raises(Unavailable, match="no AWS credentials: set AWS_ACCESS_KEY_ID"):
        store.put_result(done(job))
