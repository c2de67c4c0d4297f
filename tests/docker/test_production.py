"""The web host as compose/production.yaml has it, with two web containers, over LocalStack."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from docker.models.containers import Container
from docker.models.images import Image

import laptop
import production
import proxied
from laptop import TAG
from production import WebHost
from proxied import run_in
from system import PHOTOGRAPHS, SAMPLES, labels, wait_for

pytestmark = pytest.mark.docker

MAX_BYTES = 3_000_000
SETTINGS = {
    "IMAGEFLEET_MAX_REQUEST_BYTES": str(MAX_BYTES),
    # An upload whose process is gone is gone on with sooner.
    "IMAGEFLEET_CLAIM_S": "5",
    # For longer than is waited to see a half of an upload.
    "IMAGEFLEET_STALL_S": "120",
    # One address sends all the requests of these tests.
    "IMAGEFLEET_PROXY_REQUESTS_PER_S": "1000",
}
TIERS = ("proxy", "web", "scaler")
SECURITY = (
    "Content-Security-Policy",
    "Referrer-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
)
SOON_S = 60
# More than either tier keeps in memory.
HALF_BYTES = 600_000
# Sends the web tier a part of a request, and waits until it is given up.
SEND = """
import socket, sys
with socket.create_connection(("127.0.0.1", 8080), timeout=120) as connection:
    connection.sendall(sys.argv[1].encode() + bytes(int(sys.argv[2])))
    connection.recv(1)
"""
# Prints the status of a call: the URL and the key are its arguments.
ASK = """
import sys, urllib.request as u
url, key = sys.argv[1:]
print(u.urlopen(u.Request(url, headers={"X-Api-Key": key}), timeout=9).status)
"""


@pytest.fixture(scope="module")
def host(
    images: Mapping[str, Image], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebHost]:
    """A running web host that all tests share."""
    assert set(images) >= {"web", "worker", "scaler"}
    proxied.require_nginx().close()
    production.build_proxy()
    with production.running(tmp_path_factory.mktemp("host"), settings=SETTINGS) as started:
        yield started


def test_a_photograph_goes_up_over_tls_and_its_label_comes_back(host: WebHost) -> None:
    with (SAMPLES / "chelsea.jpg").open("rb") as file:
        answer = host.ask("?wait=60", "POST", files={"file": file})

    assert answer.status_code == 200, answer.text
    assert answer.text.strip() == labels()["chelsea.jpg"]


def test_the_events_of_a_batch_come_through_to_their_end(host: WebHost) -> None:
    batch = uploaded(host, PHOTOGRAPHS)

    answer = host.ask(f"api/v1/batches/{batch}/events", stream=True)
    lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
    told = [line for line in lines if line.startswith(("event:", "data:"))]

    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert told.count("event: result") == len(PHOTOGRAPHS)
    assert json.loads(told[-1].removeprefix("data: "))["pending"] == 0


def test_a_request_that_waits_is_answered_when_the_result_is_there(host: WebHost) -> None:
    batch = uploaded(host, PHOTOGRAPHS)

    answer = host.ask(f"api/v1/batches/{batch}", params={"wait": 200})

    assert answer.json()["pending"] == 0


def test_one_variable_limits_the_body_for_the_proxy_and_the_web_tier(host: WebHost) -> None:
    over = host.ask("api/v1/upload", "POST", data=bytes(MAX_BYTES + 1))
    (web, *_) = host.service("web")

    assert over.status_code == 413
    assert over.headers["Content-Type"] == "application/problem+json"
    assert over.json()["code"] == "request_too_large"
    assert f"IMAGEFLEET_MAX_REQUEST_BYTES={MAX_BYTES}" in web.attrs["Config"]["Env"]


def test_nobody_uploads_or_sees_without_a_key_and_the_page_and_health_are_open(
    host: WebHost,
) -> None:
    stranger = {"Authorization": "Bearer imf_none"}

    refused = [
        host.ask("api/v1/batches", headers=stranger),
        host.ask("api/v1/upload", "POST", data=b"x", headers=stranger),
        host.ask("", "POST", data=b"x", headers=stranger),
    ]

    for answer in refused:
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"
        assert answer.raw.headers.getlist("WWW-Authenticate") == ['Bearer realm="imagefleet"']
    assert host.ask("", headers=stranger).ok
    assert host.ask("healthz", headers=stranger).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["", "static/page.js", "api/v1/batches", "api/v1/none", "metrics"])
def test_every_answer_has_each_security_header_once(host: WebHost, path: str) -> None:
    headers = host.ask(path).raw.headers

    assert {name: len(headers.getlist(name)) for name in SECURITY} == dict.fromkeys(SECURITY, 1)


@pytest.mark.parametrize("path", ["", "static/page.css", "static/page.js", "api/v1/openapi.json"])
def test_the_page_and_the_api_are_compressed(host: WebHost, path: str) -> None:
    assert host.ask(path).headers["Content-Encoding"] == "gzip"


def test_metrics_and_readiness_are_told_inside_alone(host: WebHost) -> None:
    (web, *_) = host.service("web")

    for path in ("metrics", "readyz"):
        assert host.ask(path).status_code == 404
        url = f"http://127.0.0.1:8080/{path}"
        assert run_in(web, "python", "-c", ASK, url, host.key).strip() == "200"


def test_plain_http_leads_to_tls(host: WebHost) -> None:
    answer = requests.get(f"{host.plain_url}api/v1/batches", allow_redirects=False, timeout=5)

    assert (answer.status_code, answer.headers["Location"]) == (
        308,
        "https://127.0.0.1/api/v1/batches",
    )


def test_proxy_and_web_are_healthy(host: WebHost) -> None:
    for container in (*host.service("proxy"), *host.service("web")):

        def healthy(container: Any = container) -> bool:
            container.reload()
            return bool(container.attrs["State"]["Health"]["Status"] == "healthy")

        wait_for(healthy, SOON_S)
        assert container.attrs["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_no_upload_is_lost_or_doubled_while_web_containers_restart(host: WebHost) -> None:
    batches: list[str] = []
    few, enough = PHOTOGRAPHS[:2], threading.Event()

    def go_on() -> None:
        while not enough.is_set():
            batches.append(uploaded(host, few))

    # given a client that uploads without a pause, and sends again what had no answer
    client = threading.Thread(target=go_on)
    client.start()
    try:
        # when one web container after the other restarts
        for web in host.service("web"):
            before = len(batches)
            web.restart(timeout=20)
            wait_for(lambda before=before: len(batches) > before, SOON_S)  # type: ignore[misc]
    finally:
        enough.set()
        client.join()

    # then each upload is one batch of its own, whose images all have their labels
    assert len(batches) == len(set(batches)) >= 2
    expected = {path.name: labels()[path.name] for path in few}
    for batch in batches:
        jobs = host.ask(f"api/v1/batches/{batch}", params={"wait": 60}).json()["jobs"]
        assert {job["name"]: job["label"] for job in jobs} == expected


def test_an_upload_on_its_way_lies_on_disk_and_under_no_name(host: WebHost) -> None:
    (proxy, *_), (web, *_) = host.service("proxy"), host.service("web")
    head = (
        "POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        f"Authorization: Bearer {host.key}\r\nContent-Length: {2 * HALF_BYTES}\r\n\r\n"
    )

    # when half of one is at the web tier itself, and half of another at the proxy
    web.exec_run(["python", "-c", SEND, head, str(HALF_BYTES)], detach=True)
    at_web = spooled(web)
    with host.connect() as client:
        client.sendall(head.encode() + bytes(HALF_BYTES))
        at_proxy = spooled(proxy)

    # then each is a file without a name, and in a place on disk
    assert all(file.endswith(" (deleted)") for file in at_web + at_proxy)
    for container in (web, proxy):
        mounts = {each["Destination"]: each["Type"] for each in container.attrs["Mounts"]}
        assert mounts["/var/tmp"] == "volume"


def spooled(container: Container) -> list[str]:
    """Return what a container's processes have open of its spool, once there is something."""
    seen: list[str] = []

    def some() -> bool:
        opened = run_in(container, "sh", "-c", "readlink /proc/[0-9]*/fd/* || true").splitlines()
        seen[:] = [each for each in opened if each.startswith("/var/tmp/")]
        return bool(seen)

    wait_for(some, SOON_S)
    return seen


@pytest.mark.parametrize("tier", TIERS)
def test_a_container_can_do_little(host: WebHost, tier: str) -> None:
    for container in host.every_container(tier):
        config, limits = container.attrs["Config"], container.attrs["HostConfig"]
        assert config["User"] == "10001:10001"
        assert limits["ReadonlyRootfs"]
        assert limits["CapDrop"] == ["ALL"]
        assert not limits["CapAdd"]
        assert not limits["Privileged"]
        assert limits["SecurityOpt"] == ["no-new-privileges:true"]
        assert limits["Memory"] > 0
        assert limits["PidsLimit"] > 0
        assert limits["NanoCpus"] > 0
        assert limits["LogConfig"] == {
            "Type": "local",
            "Config": {"max-size": "20m", "max-file": "5"},
        }
        assert config["StopTimeout"] >= 20
        written = [each["Destination"] for each in container.attrs["Mounts"] if each["RW"]]
        assert written == ([] if tier == "scaler" else ["/var/tmp"])
        assert "docker.sock" not in json.dumps(container.attrs["Mounts"])


@pytest.mark.parametrize("tier", TIERS)
def test_a_container_has_the_credentials_of_its_own_tier_and_no_others(
    host: WebHost, tier: str
) -> None:
    for container in host.every_container(tier):
        config = container.attrs["Config"]["Env"]
        folders = {
            Path(mount["Source"]).name
            for mount in container.attrs["Mounts"]
            if Path(mount["Source"]).parent.name == "roles"
        }
        assert folders == ({tier} if tier != "proxy" else set())
        assert not [each for each in config if each.startswith(("AWS_ACCESS", "AWS_SECRET"))]
        assert ("AWS_EC2_METADATA_DISABLED=true" in config) == (tier != "proxy")


def test_the_web_tier_signs_with_the_credentials_in_its_folder(host: WebHost) -> None:
    (web, *_) = host.service("web")
    who = "import boto3; print(boto3.Session().get_credentials().access_key)"

    assert run_in(web, "python", "-c", who).strip() == "insecure-emulator-only-web"


def test_only_the_proxy_is_published_and_it_reaches_nobody_but_the_web_tier(host: WebHost) -> None:
    published = {
        container.labels[laptop.SERVICE_LABEL]
        for container in host.containers()
        for bindings in container.attrs["NetworkSettings"]["Ports"].values()
        if bindings
    }
    networks = {
        service: {
            name.removeprefix(f"{host.project}_")
            for (container, *_) in [host.every_container(service)]
            for name in container.attrs["NetworkSettings"]["Networks"]
        }
        for service in TIERS
    }

    assert published == {"proxy"}
    assert networks == {
        "proxy": {"edge", "service"},
        "web": {"service", "aws"},
        "scaler": {"aws"},
    }
    (service,) = host.engine.networks.list(names=[f"{host.project}_service"])
    assert service.attrs["Internal"]


def test_the_web_tier_does_not_start_without_a_file_of_keys(host: WebHost, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"keys\.txt can't be read.*cannot start"):
        laptop.compose(
            *("run", "--rm", "--no-deps", "web"),
            project=host.project,
            files=production.FILES,
            environ={**host.environ, "IMAGEFLEET_SECRETS_DIR": str(tmp_path)},
        )


@pytest.mark.parametrize("needed", ["AWS_DEFAULT_REGION", "IMAGEFLEET_TAG"])
def test_what_has_no_default_is_asked_for(needed: str) -> None:
    laptop.require_compose().close()
    environ = {**production.ENVIRON, "IMAGEFLEET_TAG": TAG, needed: ""}

    with pytest.raises(AssertionError, match=f"required variable {needed} is missing a value"):
        laptop.compose("config", files=("compose/production.yaml",), environ=environ)


def test_the_logs_can_go_to_cloudwatch() -> None:
    laptop.require_compose().close()
    files = ("compose/production.yaml", "compose/production.awslogs.yaml")

    told = laptop.compose(
        "config", "--format", "json", files=files, environ=production.ENVIRON
    ).stdout

    for service in json.loads(told)["services"].values():
        assert service["logging"]["driver"] == "awslogs"
        assert service["logging"]["options"]["awslogs-region"] == "us-east-1"
        assert "max-file" not in service["logging"]["options"]


def test_the_scaler_launches_instances_and_has_no_engine() -> None:
    laptop.require_compose().close()

    told = laptop.compose(
        *("config", "--format", "json"),
        files=("compose/production.yaml",),
        environ=production.ENVIRON,
    ).stdout
    scaler = json.loads(told)["services"]["scaler"]

    assert scaler["environment"]["IMAGEFLEET_PROVIDER"] == "ec2"
    assert "volumes" not in scaler
    assert "AWS_ENDPOINT_URL" not in told
    assert "AWS_SECRET_ACCESS_KEY" not in told


def uploaded(host: WebHost, photographs: Sequence[Path]) -> str:
    """Upload photographs under one key until it is known that they were accepted."""
    key, batches = str(uuid4()), []

    def accepted() -> bool:
        files = [("file", (path.name, path.read_bytes())) for path in photographs]
        answer = host.ask("api/v1/upload", "POST", files=files, headers={"Idempotency-Key": key})
        if answer.ok:
            batches.append(str(answer.json()["batch"]))
            return True
        assert answer.status_code in {409, 502, 503, 504}, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        return False

    wait_for(accepted, SOON_S)
    return batches[0]
