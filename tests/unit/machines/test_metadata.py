"""Instance metadata, as a machine asks for it over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest

from clock import Clock
from imagefleet_machines.imds.metadata import Metadata
from imagefleet_machines.imds.server import TOKEN, TTL, MetadataServer
from imagefleet_machines.imds.tokens import Tokens, ttl
from imagefleet_machines.notices import Notices
from imagefleet_machines.records import Template
from imagefleet_worker.ec2.instance_metadata import Notices as WorkersNotices
from memory_machines import MemoryCredentials, MemoryRecords

USER_DATA = b"#cloud-config\nruncmd: [[true]]\n"
# For answers of a thread of this process, which may pause.
PATIENT_S = 30


class Asker:
    """A machine that asks, and the system that knows or doesn't know it."""

    def __init__(self, folder: Path, records: MemoryRecords) -> None:
        self.records = records
        self.records.templates["3"] = Template(user_data=USER_DATA, profile_arn="worker")
        self.instance = records.launch(
            version="3", zone="us-east-1a", type="c7i.large", tags={"Name": "one of us"}
        )
        self.known = True
        self.notices = Notices(folder)
        metadata = Metadata(records.instances.get, records, MemoryCredentials(), self.notices)
        self.server = MetadataServer(
            metadata, lambda _address: self.instance if self.known else None,
            host="127.0.0.1", port=0,
        )  # fmt: skip

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        connection = HTTPConnection("127.0.0.1", self.server.server_port, timeout=PATIENT_S)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, str]:
        """Ask with a token."""
        _, token = self.ask("PUT", "/latest/api/token", {TTL: "60"})
        return self.ask("GET", path, {TOKEN: token})


@pytest.fixture
def asker(tmp_path: Path, records: MemoryRecords) -> Iterator[Asker]:
    asker = Asker(tmp_path, records)
    with asker.server.running():
        yield asker


def test_a_machine_learns_who_it_is(asker: Asker) -> None:
    assert asker.get("/latest/meta-data/instance-id") == (200, asker.instance)
    assert asker.get("/2021-03-23/meta-data/placement/region") == (200, "us-east-1")
    assert asker.get("/latest/meta-data/tags/instance/Name") == (200, "one of us")
    document = json.loads(asker.get("/latest/dynamic/instance-identity/document")[1])
    assert document["instanceId"] == asker.instance
    assert document["privateIp"] == "127.0.0.1"


def test_a_machine_gets_the_user_data_that_it_was_launched_with(asker: Asker) -> None:
    # given a newer version of the launch template
    asker.records.templates["4"] = Template(user_data=b"other")

    assert asker.get("/latest/user-data") == (200, USER_DATA.decode())


def test_all_that_is_listed_is_there(asker: Asker) -> None:
    asker.notices.give(asker.instance, 60)

    def walk(path: str) -> Iterator[str]:
        status, text = asker.get(path)
        assert status == 200, path
        for name in text.split("\n"):
            if name.endswith("/"):
                yield from walk(path + name)
            else:
                yield path + name

    found = [*walk("/latest/meta-data/"), *walk("/latest/dynamic/")]

    assert "/latest/meta-data/spot/instance-action" in found
    assert "/latest/dynamic/instance-identity/document" in found
    assert [path for path in found if asker.get(path)[0] != 200] == []


def test_the_roles_credentials_are_its_instances_own(asker: Asker) -> None:
    _, role = asker.get("/latest/meta-data/iam/security-credentials/")

    _, document = asker.get(f"/latest/meta-data/iam/security-credentials/{role}")

    assert document == f"worker for {asker.instance}"


def test_nothing_is_told_without_a_token(asker: Asker) -> None:
    for headers in ({}, {TOKEN: "made-up"}, {TOKEN: ""}):
        assert asker.ask("GET", "/latest/user-data", headers) == (401, "")


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "soon", "1.5", "９"])
def test_a_token_is_for_a_time_that_ec2_would_give(seconds: str) -> None:
    assert ttl(seconds) is None


def test_a_token_is_not_given_to_strangers_nor_through_proxies(asker: Asker) -> None:
    forwarded = {TTL: "60", "X-Forwarded-For": "192.0.2.1"}
    assert asker.ask("PUT", "/latest/api/token", forwarded)[0] == 403
    assert asker.ask("PUT", "/latest/api/token", {TTL: "x"})[0] == 400
    asker.known = False
    assert asker.ask("PUT", "/latest/api/token", {TTL: "60"})[0] == 403


def test_a_token_ends_and_is_of_use_at_one_address_only() -> None:
    clock = Clock()
    tokens = Tokens(clock)
    token = tokens.give("i-1", "169.254.169.7", 60)
    assert tokens.instance(token, "169.254.169.7") == "i-1"
    assert tokens.instance(token, "169.254.169.8") is None

    clock.now += 61

    assert tokens.instance(token, "169.254.169.7") is None


@pytest.mark.parametrize(
    "path", ["/latest/meta-data/no-such", "/latest/", "/latest/secrets", "/latest/user-data/x"]
)
def test_what_is_not_there_is_not_found(asker: Asker, path: str) -> None:
    status = asker.get(path)[0]

    assert status == (200 if path == "/latest/" else 404)


def test_metadata_that_nobody_can_look_up_are_not_there_yet(asker: Asker) -> None:
    asker.records.templates.clear()

    assert asker.get("/latest/user-data") == (503, "")


def test_the_worker_understands_a_spot_notice(asker: Asker) -> None:
    reasons: list[str] = []
    url = f"http://127.0.0.1:{asker.server.server_port}"
    worker = WorkersNotices(url, reasons.append, timeout_s=PATIENT_S)
    worker.turn()
    assert reasons == []

    at = asker.notices.give(asker.instance, 120)
    worker.turn()

    assert reasons == [f"spot interruption: terminate at {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"]
    assert at > datetime.now(UTC)
