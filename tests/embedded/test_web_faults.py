"""Whatever AWS does to the web tier: a client gets all of it or a clear answer, and in time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from fault_kinds import (
    S3,
    SQS,
    Denied,
    Fault,
    Hold,
    InternalError,
    Reset,
    Short,
    SlowDown,
    Throttled,
    Unanswered,
)
from fault_proxy import FaultProxy
from imagefleet_core.jobs import JobId, Request, Status
from imagefleet_core.settings import Settings
from place import Place, apply, place_at, place_on
from system import PHOTOGRAPHS, wait_for
from web_process import WebProcess
from web_tier import result_of

pytestmark = pytest.mark.embedded

IMAGES = 4
# For how long AWS may be silent, and within what an upload is answered then: each call is tried
# three times, with up to 1 and 2 s between, and deleting what was stored is waited for 2 s; the
# rest is for slow machines.
SILENT_S = 0.75
ANSWERED_S = 3 * SILENT_S + 3 + 2 + 60
CLAIM_S = 2
DEADLINE_S = 120

PUT, GET, LIST = frozenset({"PutObject"}), frozenset({"GetObject"}), frozenset({"ListObjectsV2"})
SEND = frozenset({"SendMessageBatch"})


def web_of(
    place: Place, proxy: FaultProxy | None = None, **settings: str
) -> AbstractContextManager[WebProcess]:
    """Run a web process that loses patience with its AWS soon."""
    endpoint = proxy.url if proxy else ""
    return place.web(
        endpoint=endpoint,
        IMAGEFLEET_AWS_TIMEOUT_S=str(SILENT_S),
        IMAGEFLEET_CLAIM_S=str(CLAIM_S),
        **settings,
    )


@dataclass(frozen=True)
class Hurt:
    """A web process whose AWS is a fault proxy."""

    place: Place
    proxy: FaultProxy
    web: WebProcess


@pytest.fixture(scope="module")
def running(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hurt]:
    """A web process that lives through all the faults of this module, one after the other."""
    with (
        FaultProxy(ministack) as proxy,
        place_on(ministack, tmp_path_factory.mktemp("faults")) as place,
        # with a connection for each image that is stored at once, so that none holds up another
        web_of(place, proxy, IMAGEFLEET_AWS_CONNECTIONS=str(2 * len(AT_S3) * IMAGES)) as web,
    ):
        yield Hurt(place, proxy, web)
        assert web.stop() == 0
        assert unexpected(web) == []


@pytest.fixture
def hurt(running: Hurt) -> Iterator[Hurt]:
    yield running
    running.proxy.relent()


def unexpected(web: WebProcess) -> list[dict[str, object]]:
    """Return what a web process says only of its own faults."""
    return [line for line in web.lines() if line["level"] == "error" or "exception" in line]


def photographs(name: str) -> list[tuple[str, bytes]]:
    """Return some photographs with a name in theirs, by which faults find them."""
    return [(f"{name}-{i}.jpg", path.read_bytes()) for i, path in enumerate(PHOTOGRAPHS[:IMAGES])]


def check_refused(answer: requests.Response) -> None:
    """Check that a client was told to come again, and in time."""
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.elapsed.total_seconds() < ANSWERED_S


def upload_until_accepted(web: WebProcess, files: list[tuple[str, bytes]], key: str) -> str:
    """Upload again with a key as clients do; return the batch."""
    answers: list[requests.Response] = []

    def accepted() -> bool:
        answers.append(web.upload(files, key=key))
        assert answers[-1].status_code in {202, 409, 503}, answers[-1].text
        return answers[-1].status_code == 202

    wait_for(accepted, DEADLINE_S)
    return str(answers[-1].json()["batch"])


def told(web: WebProcess) -> set[str]:
    """Return the batches that the API knows of."""
    return {each["batch"] for each in web.get("api/v1/batches?limit=100").json()["batches"]}


# Uploads

AT_S3: dict[str, Fault] = {
    "slows down": SlowDown(),
    "slows down amid the images": SlowDown(after=2),
    "has internal errors": InternalError(),
    "stores what it says it did not": InternalError(done=True),
    "permits nothing": Denied(),
    "resets connections": Reset(),
    "does not answer": Unanswered(),
    "is silent, and stores it later": Hold(seconds=3 * SILENT_S),
}


def test_an_upload_that_s3_fails_amid_leaves_nothing(hurt: Hurt) -> None:
    place, web = hurt.place, hurt.web
    before, names = place.stored(), {case: f"f{i}x" for i, case in enumerate(AT_S3)}
    injected = {
        case: hurt.proxy.inject(replace(fault, calls=PUT, where=f"-{names[case]}-"))
        for case, fault in AT_S3.items()
    }

    # given an upload with and one without a key for each of the faults, all at once
    def upload(case: str, key: str) -> requests.Response:
        return web.upload(photographs(names[case]), key=key)

    keys = {case: str(uuid4()) for case in AT_S3}
    with ThreadPoolExecutor(2 * len(AT_S3)) as pool:
        asked = [(case, key) for case in AT_S3 for key in (keys[case], "")]
        answers = list(pool.map(lambda each: upload(*each), asked))

    # then all of them are told so
    for answer in answers:
        check_refused(answer)
    assert {case for case, each in injected.items() if each.count == 0} == set()

    # and when S3 is well again, the same keys are taken in, each once
    hurt.proxy.relent()
    accepted = {upload_until_accepted(web, photographs(names[case]), keys[case]) for case in AT_S3}
    assert len(accepted) == len(AT_S3)
    queued = Counter(request.job.batch for request in place.queued())
    assert queued == Counter(dict.fromkeys(accepted, IMAGES))

    # and of the others nothing is left, nor ever told
    wait_for(lambda: place.stored() - before == accepted, DEADLINE_S)
    assert told(web) >= accepted
    assert told(web) <= accepted | before


# And whether it takes the messages nevertheless.
AT_SQS: dict[str, tuple[Fault, bool]] = {
    "throttles": (Throttled(calls=SEND), False),
    "has internal errors": (InternalError(calls=SEND, done=True), True),
    "permits nothing": (Denied(calls=SEND), False),
    "resets connections amid its answer": (Reset(calls=SEND), True),
    "does not answer": (Unanswered(calls=SEND), True),
    "is silent, and takes them later": (Hold(calls=SEND, seconds=1.5 * SILENT_S), True),
}


@pytest.mark.parametrize(("fault", "taken"), AT_SQS.values(), ids=AT_SQS)
def test_an_upload_that_sqs_fails_leaves_nothing(hurt: Hurt, fault: Fault, taken: bool) -> None:
    place, web, key = hurt.place, hurt.web, str(uuid4())
    before = place.stored()
    injected = hurt.proxy.inject(replace(fault, where=place.settings.requests_queue))

    # given an upload with and one without a key
    with ThreadPoolExecutor(2) as pool:
        keys = key, ""
        answers = list(pool.map(lambda key: web.upload(photographs("sqs"), key=key), keys))
    for answer in answers:
        check_refused(answer)
    assert injected.count > 0

    # then the key is taken in once SQS is well again, and nothing is left of the others
    hurt.proxy.relent()
    batch = upload_until_accepted(web, photographs("sqs"), key)
    wait_for(lambda: place.stored() - before == {batch}, DEADLINE_S)
    queued: dict[JobId, Request] = {}
    times: Counter[str] = Counter()

    def all_came() -> bool:
        for request in place.queued():
            queued[request.job] = request
            times[request.job.batch] += 1
        return len(queued) == IMAGES * (3 if taken else 1)

    wait_for(all_came, DEADLINE_S)
    assert times[batch] == IMAGES

    # and what SQS has of them is no upload, whatever comes of it
    for request in queued.values():
        if request.job.batch != batch:
            check_told_to_nobody(hurt, request)
    assert told(web) <= {batch} | before


def check_told_to_nobody(hurt: Hurt, request: Request) -> None:
    """Check that what a worker makes of a request for an image that is gone, or was, is not told.

    A failure is not even kept.
    """
    done = result_of(request)
    failed = result_of(replace(request, name="broken.jpg"))
    assert (done.status, failed.status) == (Status.DONE, Status.FAILED)
    assert not hurt.place.store.put_result(failed)
    hurt.place.store.put_result(done)
    assert hurt.web.get(f"api/v1/jobs/{request.job}").status_code == 410


AT_NOTES: dict[str, Fault] = {
    "are written and not answered": Unanswered(calls=PUT),
    "are silent": Hold(calls=PUT, seconds=3 * SILENT_S),
}


@pytest.mark.parametrize("fault", AT_NOTES.values(), ids=AT_NOTES)
def test_a_key_that_cannot_be_noted_keeps_only_its_own_upload_back(
    hurt: Hurt, fault: Fault
) -> None:
    place, web, key = hurt.place, hurt.web, str(uuid4())
    before = place.stored()
    injected = hurt.proxy.inject(replace(fault, where="/idempotency/"))

    check_refused(web.upload(photographs("noted"), key=key))
    assert injected.count > 0
    other = web.upload(photographs("noted"))
    assert other.status_code == 202

    hurt.proxy.relent()
    accepted = {upload_until_accepted(web, photographs("noted"), key), other.json()["batch"]}
    wait_for(lambda: place.stored() - before == accepted, DEADLINE_S)
    ours = Counter(each.job.batch for each in place.queued() if each.job.batch in accepted)
    assert ours == dict.fromkeys(accepted, IMAGES)  # and not what was held for an earlier test


def test_nothing_is_left_of_an_upload_amid_which_aws_is_gone(hurt: Hurt) -> None:
    place, web = hurt.place, hurt.web
    before = place.stored()

    # given an upload of which some images are stored when nothing answers any more
    hurt.proxy.inject(Hold(calls=PUT, seconds=3 * SILENT_S, after=2))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(web.upload, photographs("gone"))
        wait_for(lambda: place.stored() - before, DEADLINE_S)
        hurt.proxy.refuse()
        try:
            check_refused(asked.result())
            assert place.stored() - before
        finally:
            hurt.proxy.relent()
            hurt.proxy.accept()

    # then those are gone once it answers again
    wait_for(lambda: place.stored() == before, DEADLINE_S)
    assert place.queued() == []
    check_works(place, web)


def check_works(place: Place, web: WebProcess) -> None:
    """Check that an image gets its label."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(web.upload, photographs("works")[:1], f"?wait={DEADLINE_S}")
        place.play(1)
        answer = asked.result()
    assert (answer.status_code, answer.text) == (200, "works-0.jpg 1\n")


# Reading

READS = {
    "job": "api/v1/jobs/{batch}-0001",
    "image": "api/v1/jobs/{batch}-0001/image",
    "batch": "api/v1/batches/{batch}",
    "events": "api/v1/batches/{batch}/events",
    "table": "api/v1/batches/{batch}/results.csv",
    "lines": "api/v1/batches/{batch}/results.jsonl",
}
STREAMED = {"table", "lines"}
AT_READS: dict[str, Fault] = {
    "slow down": SlowDown(calls=GET | LIST),
    "have internal errors": InternalError(calls=GET),
    "are not permitted": Denied(calls=GET | LIST),
    "are reset amid their bodies": Reset(calls=GET),
    "end too early": Short(calls=GET),
    "are not answered": Unanswered(calls=GET | LIST),
    "are silent": Hold(calls=GET, seconds=3 * SILENT_S),
    "lists are reset": Reset(calls=LIST),
}


def finished(place: Place) -> str:
    """Make a batch all of whose results are stored, and known to nobody; return it."""
    jobs = place.submit_files((name, content, "") for name, content in photographs("read"))
    for request in place.queued():
        place.store.put_result(result_of(request))
    return jobs[0].batch


def outcome(web: WebProcess, path: str) -> str:
    """Return what became of a question: `whole`, `cut`, `refused` or something else."""
    began = time.monotonic()
    try:
        answer = web.get(path)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        return "cut" if time.monotonic() - began < 2 * ANSWERED_S else "cut late"
    if answer.status_code != 503:
        complete = answer.content.count(b"read-") >= IMAGES or answer.content[:2] == b"\xff\xd8"
        return "whole" if answer.ok and complete else f"{answer.status_code}: {answer.text[:200]}"
    check_refused(answer)
    return "refused"


def test_what_cannot_be_read_is_refused_or_cut_and_never_told_as_whole(hurt: Hurt) -> None:
    # given a batch for each fault and question
    asked = [(case, read) for case in AT_READS for read in READS]
    batches = {each: finished(hurt.place) for each in asked}
    injected = {
        (case, read): hurt.proxy.inject(replace(AT_READS[case], where=batches[case, read]))
        for case, read in asked
    }

    def ask(each: tuple[str, str]) -> str:
        return outcome(hurt.web, READS[each[1]].format(batch=batches[each]))

    found: dict[tuple[str, str], str] = {}
    with ThreadPoolExecutor(len(asked)) as pool:
        for some in (False, True):  # what is silent holds up the others
            group = [each for each in asked if isinstance(AT_READS[each[0]], Hold) is some]
            found |= zip(group, pool.map(ask, group), strict=True)

    # then what was not told whole is refused; only what is sent while it is read can be cut
    hit = {each for each in asked if injected[each].count > 0}
    wrong = {each: found[each] for each in hit if found[each] != "refused"}
    cut = {each for each, became in wrong.items() if became == "cut" and each[1] in STREAMED}
    assert {each: wrong[each] for each in wrong.keys() - cut} == {}
    assert {case for case, _ in hit} == AT_READS.keys()

    # and it is there once S3 is well again
    hurt.proxy.relent()
    for each in asked:
        path = READS[each[1]].format(batch=batches[each])
        assert outcome(hurt.web, path) == "whole", each


AT_DELETIONS: dict[str, Fault] = {
    "are not marked": SlowDown(calls=PUT),
    "are marked and not answered": Unanswered(calls=PUT),
    "are done and not answered": Unanswered(calls={"DeleteObjects"}),
    "are lost between lists": Reset(calls=LIST, after=3),
}


def test_a_deletion_that_fails_is_refused_and_may_be_asked_for_again(hurt: Hurt) -> None:
    batches = {case: finished(hurt.place) for case in AT_DELETIONS}
    jobs = {case: f"api/v1/jobs/{batch}-0001" for case, batch in batches.items()}
    for case, fault in AT_DELETIONS.items():
        # an answer to DeleteObjects is about a bucket and no batch
        where = "" if "DeleteObjects" in fault.calls else batches[case]
        hurt.proxy.inject(replace(fault, where=where))

    def delete(case: str) -> requests.Response:
        return hurt.web.request("DELETE", f"api/v1/batches/{batches[case]}")

    with ThreadPoolExecutor(len(batches)) as pool:
        for answer in pool.map(delete, AT_DELETIONS):
            check_refused(answer)

    # then nothing is told of what is marked, and the rest goes when it is asked for again
    hurt.proxy.relent()
    assert hurt.web.get(jobs["are done and not answered"]).status_code == 410
    assert hurt.web.get(jobs["are not marked"]).status_code == 200
    for case in AT_DELETIONS:
        assert delete(case).status_code == 204
        assert hurt.web.get(jobs[case]).status_code == 410
    assert hurt.place.stored().isdisjoint(batches.values())


def test_a_list_that_cannot_be_had_is_refused(hurt: Hurt) -> None:
    for fault in (SlowDown(calls=LIST), Reset(calls=LIST)):
        hurt.proxy.inject(fault)
        check_refused(hurt.web.get("api/v1/batches"))
        hurt.proxy.relent()
    assert hurt.web.get("api/v1/batches").ok


# Nothing there, nothing allowed


@dataclass(frozen=True)
class Told:
    """What `/readyz` says."""

    store: str = ""
    queue: str = ""


def ready(web: WebProcess) -> Told:
    """Return why a web process could not serve; nothing if it could."""
    answer = web.get("readyz")
    assert answer.status_code in {200, 503}, answer.text
    return Told(**answer.json().get("faults", {}))


def check_said_once(web: WebProcess) -> None:
    """Check that work in the background has told of its troubles, of each in a line."""
    said = Counter(str(line["turn"]) for line in web.events("turn failed"))
    over = Counter(str(line["turn"]) for line in web.events("turn works again"))
    assert said
    assert all(count <= 1 + over[turn] for turn, count in said.items()), said
    assert unexpected(web) == []


def test_a_process_that_starts_without_aws_says_so_and_serves_once_it_is_there(
    place: Place,
) -> None:
    with FaultProxy(place.endpoint) as proxy:
        proxy.refuse()
        with web_of(place, proxy) as web:
            # given nothing that answers
            nothing = f"nothing answers at {proxy.url}"
            told = ready(web)
            assert (nothing in told.store, nothing in told.queue) == (True, True), told
            check_refused(web.upload(photographs("early")))
            assert web.get("healthz").ok
            check_said_once(web)

            # then it serves once something does
            proxy.accept()
            wait_for(lambda: ready(web) == Told(), DEADLINE_S)
            check_works(place, web)
            check_said_once(web)


def test_a_silent_aws_is_told_of_and_holds_up_neither_clients_nor_the_end(place: Place) -> None:
    with (
        FaultProxy(place.endpoint) as proxy,
        web_of(place, proxy) as web,
        ThreadPoolExecutor(8) as pool,
    ):
        assert ready(web) == Told()
        proxy.silence(DEADLINE_S)
        asked = [pool.submit(web.upload, photographs(f"silent{i}")) for i in range(8)]
        wait_for(lambda: ready(web) != Told(), DEADLINE_S)

        # those who hear nothing are told so, even as the process ends
        assert web.stop() == 0
        for each in asked:
            check_refused(each.result())
        assert unexpected(web) == []


def test_missing_buckets_and_queues_are_named_until_they_are_there(
    ministack: str, place: Place, tmp_path: Path
) -> None:
    settings = Settings(prefix=f"{place.settings.prefix}-later")
    with (
        place_at(place.environment, tmp_path, settings) as later,
        web_of(later) as web,
    ):
        # given nothing of it
        told = ready(web)
        assert "the bucket does not exist: apply infra/data.yaml first" in told.store
        assert f"no queue is called {settings.requests_queue}" in told.queue
        check_refused(web.upload(photographs("missing")))
        check_refused(web.upload(photographs("missing"), key="missing"))

        # then it serves once all is made
        apply(place.environment, settings)
        wait_for(lambda: ready(web) == Told(), DEADLINE_S)
        check_works(later, web)

        # and says so when the queue is gone, and only that
        before = later.stored()
        later.queues.remove(settings.requests_queue)
        wait_for(lambda: ready(web) != Told(), DEADLINE_S)
        assert ready(web).store == ""
        check_refused(web.upload(photographs("missing")))
        wait_for(lambda: later.stored() == before, DEADLINE_S)

        later.queues.create(settings.requests_queue, retention_s=3600, tags={})
        wait_for(lambda: ready(web) == Told(), DEADLINE_S)
        check_works(later, web)
        assert unexpected(web) == []


def test_credentials_that_are_no_good_are_told_of(hurt: Hurt) -> None:
    every = S3 | SQS | {"DeleteObjects", "CreateQueue", "TagQueue", "ListQueues"}
    hurt.proxy.inject(Denied(calls=every, code="InvalidAccessKeyId"))

    wait_for(lambda: ready(hurt.web) != Told(), DEADLINE_S)
    told = ready(hurt.web)
    assert "AWS does not know these credentials" in told.queue
    assert "the credentials do not permit HeadBucket" in told.store  # a HEAD has no body
    check_refused(hurt.web.upload(photographs("denied")))

    hurt.proxy.relent()
    wait_for(lambda: ready(hurt.web) == Told(), DEADLINE_S)
    check_works(hurt.place, hurt.web)
