"""The app against its own description: what that allows is served, and all else is refused.

Schemathesis makes the requests: examples, boundary cases of each parameter, random ones, right and
wrong, and chains of them from an upload on. They are always the same, so that a failure stays.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case as AnyCase
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from imagefleet_web import problems
from imagefleet_web.keys import make
from imagefleet_web.openapi import parts
from imagefleet_web.openapi.document import describe
from web_tier import CHELSEA, COFFEE, Web, World

Case = AnyCase[Any]

KEY, LINE = make("alice")
KEY_PATTERN = r"[!-~]([ -~]{0,253}[!-~])?"
HEADERS = {"Authorization": f"Bearer {KEY}"}
BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CHAINS = settings(BOUNDED, max_examples=15, stateful_step_count=6)
# What a request that is well formed may meet all the same, since no schema can tell.
UNFORESEEABLE = {
    kind.code for kind in (problems.BAD_CURSOR, problems.DELETED, problems.NO_CALLBACKS)
}
CONFIG = {
    "generation": {"with-security-parameters": False, "database": "none"},
    # A list that is too long is too large.
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
    # Its stream has no end, and nothing changes here after the first event.
    "operations": [{"include-operation-id": "fleet_events", "max-stream-events": 1}],
}


class System:
    """A web process with keys, and a worker that has finished an image once it is queued.

    So whatever is asked afterwards has the same answer each time, as chains of calls need it.
    """

    def __init__(self) -> None:
        self.world = World()
        self._queue, self.world.requests.send = self.world.requests.send, self._work  # type: ignore[method-assign]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys:
            keys.write(LINE)
            keys.flush()
            self.web = Web(self.world, api_keys_file=keys.name, max_files=3, max_wait_s=0.1)

    def upload(self, *names: str) -> Any:
        """Upload images and return the answer."""
        files = [(name, CHELSEA) for name in names]
        return self.web.upload(*files, headers=HEADERS).json

    def _work(self, bodies: Sequence[str]) -> None:
        self._queue(bodies)
        self.world.finish(self.world.take(len(bodies)))
        self.web.listen()


def described(system: System) -> OpenApiSchema:
    """Return the app's description, with examples that are there: all kinds of jobs and batches."""
    finished = system.upload("1.jpg", "broken.jpg", "measured.jpg")
    deleted = system.upload("1.jpg")
    system.web.request("DELETE", deleted["url"], headers=HEADERS)
    document = describe(system.web.app)
    there = {
        "batch_id": [finished["batch"], deleted["batch"]],
        "job_id": [*(job["id"] for job in finished["jobs"]), deleted["jobs"][0]["id"]],
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                if examples := there.get(parameter["name"]):
                    parameter["examples"] = {str(i): {"value": e} for i, e in enumerate(examples)}
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
    schema.app = system.web.app
    return schema


for kind in (*parts.IMAGE_KINDS, parts.OCTETS):  # judged by their bytes, so any picture will do
    schemathesis.openapi.media_type(kind, st.sampled_from([CHELSEA, COFFEE]))
SYSTEM = System()
SCHEMA = described(SYSTEM)


@pytest.fixture(scope="module", autouse=True)
def _stopped_at_the_end() -> Iterator[None]:
    yield
    SYSTEM.web.services.close()


def validate(case: Case, response: Response) -> None:
    """Run all of schemathesis' checks over an answer."""
    kind = response.headers.get("content-type", [""])[0]
    code = response.json()["code"] if kind == problems.MEDIA_TYPE else ""
    if b"Leave callback_url out" in response.content:  # in plain text, which tells no code
        code = problems.NO_CALLBACKS.code
    unforeseen = [positive_data_acceptance] if code in UNFORESEEABLE else []
    not_in_time = [not_a_server_error] if response.status_code == 504 else []
    excluded: list[CheckFunction] = [*unforeseen, *not_in_time]
    case.validate_response(response, headers=HEADERS, excluded_checks=excluded)


def keep_apart(case: Case) -> None:
    """Let no upload have the idempotency key of another, which would be refused, and rightly."""
    headers: dict[str, str] = dict(case.headers or {})
    if re.fullmatch(KEY_PATTERN, headers.get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = str(uuid4())


@SCHEMA.parametrize()
@BOUNDED
def test_every_call_keeps_to_its_description(case: Case) -> None:
    keep_apart(case)
    validate(case, case.call(headers=HEADERS))


def test_every_chain_of_calls_from_an_upload_on_keeps_to_its_description() -> None:
    # A form that is never used leaves a batch without an end.
    chained = SCHEMA.exclude(operation_id="presigned_uploads")

    class Chain(chained.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": HEADERS}

        def before_call(self, case: Case) -> None:
            keep_apart(case)

        def validate_response(self, response: Response, case: Case, **_: Any) -> None:
            validate(case, response)

    Chain.run(settings=CHAINS)
