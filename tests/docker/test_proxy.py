"""What nginx does with requests, in front of containers that tell what reached them."""

from __future__ import annotations

import json
import signal
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from cryptography import x509
from docker.errors import ContainerError

import laptop
import production
import proxied as proxy_system
from certificate import write_certificate
from imagefleet_web import problems
from imagefleet_web.problems import Kind
from imagefleet_web.settings import WebSettings
from laptop import TAG
from proxied import PROBLEM, Proxied, answer_of
from system import wait_for

pytestmark = pytest.mark.docker

IMAGE = f"imagefleet-proxy:{TAG}"
MAX_BYTES = 1_000_000
KEY = {"Authorization": "Bearer imf_secret-key"}
SOON_S = 60
# As in images/proxy/nginx.conf.template, `resolver`.
REMEMBERED_S = 2.0
# Where Docker's own networks are.
PRIVATE = "172.16.0.0/12,192.168.0.0/16,10.0.0.0/8"
# One address sends all the requests of these tests.
MANY = {"IMAGEFLEET_PROXY_REQUESTS_PER_S": "1000", "IMAGEFLEET_PROXY_BURST": "1000"}
RELEASE = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/release', timeout=5)"
UPLOAD = (
    b"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    b"Content-Length: 900000\r\n"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    with closing(proxy_system.require_nginx()) as client:
        laptop.require_compose().close()
        production.build_proxy()
        yield client


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy") / "tls"
    write_certificate(folder)
    return folder


@pytest.fixture(scope="module")
def challenges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy") / "acme"
    answers = folder / ".well-known/acme-challenge"
    answers.mkdir(parents=True)
    (answers / "token").write_text("answer")
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def proxied(engine: docker.DockerClient, certificate: Path, challenges: Path) -> Iterator[Proxied]:
    """A proxy with a certificate, in front of two; who hurts them runs one of its own."""
    settings = {**MANY, "IMAGEFLEET_MAX_REQUEST_BYTES": str(MAX_BYTES)}
    with proxy_system.running(
        engine, IMAGE, settings, certificate=certificate, challenges=challenges, behind=2
    ) as started:
        yield started


def test_a_request_arrives_as_it_was_sent(proxied: Proxied) -> None:
    sent = {"Idempotency-Key": "a-key", "Prefer": "wait=5", "Last-Event-ID": "0.2", **KEY}

    told = proxied.echoed("api/v1/x%2Fy?wait=5&a=%20b", "DELETE", headers=sent)

    assert told["method"] == "DELETE"
    assert told["path"] == "/api/v1/x%2Fy?wait=5&a=%20b"
    assert {name.lower(): value for name, value in sent.items()}.items() <= told["headers"].items()
    assert told["headers"]["host"] == "{}:{}".format(*proxied.address)
    assert told["headers"]["x-forwarded-proto"] == "https"


def test_what_a_stranger_says_of_the_clients_address_is_not_believed(proxied: Proxied) -> None:
    true = proxied.echoed()["headers"]["x-forwarded-for"]
    forged = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
    }

    headers = proxied.echoed(headers=forged)["headers"]

    assert headers["x-forwarded-for"] == true
    assert headers["x-forwarded-proto"] == "https"
    assert not {
        name for name in headers if name.startswith(("x-forwarded", "x-real", "forwarded"))
    } - {
        "x-forwarded-for",
        "x-forwarded-proto",
    }
    wait_for(lambda: any(line["path"] == "/echo" for line in proxied.logged()), SOON_S)
    assert {line["client"] for line in proxied.logged() if line["path"] == "/echo"} == {true}


def test_behind_a_load_balancer_its_word_counts_and_no_other(
    engine: docker.DockerClient,
) -> None:
    trusting = {
        **MANY,
        "IMAGEFLEET_LOAD_BALANCER_NETWORKS": "172.16.0.0/12,192.168.0.0/16,10.0.0.0/8",
    }
    # as a balancer passes it on that appends the address to what a client made up
    headers = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7", "X-Forwarded-Proto": "https"}

    with proxy_system.running(engine, IMAGE, trusting) as balanced:
        told = balanced.echoed(headers=headers)["headers"]
        answer = balanced.ask("echo", headers=headers)
        bare = balanced.ask("echo")

    assert told["x-forwarded-for"] == "203.0.113.7"
    assert told["x-forwarded-proto"] == "https"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in bare.headers


def test_the_proxy_and_the_web_tier_have_the_same_limits(
    proxied: Proxied, engine: docker.DockerClient
) -> None:
    defaults = WebSettings()
    with proxy_system.running(engine, IMAGE, MANY) as plain:
        configuration = plain.configuration()

    for route in (" = / ", " = /api/v1/upload "):
        block = configuration.split(f"location{route}")[1].split("}")[0]
        assert f"client_max_body_size {defaults.max_request_bytes};" in block
    assert f"client_header_timeout {defaults.headers_s}s;" in configuration
    assert f"client_body_timeout {defaults.stall_s}s;" in configuration
    # Whoever waits for as long as he may is not cut off at nginx's own 60 s.
    assert f"proxy_read_timeout {defaults.max_wait_s + 60}s;" in configuration
    assert "proxy_read_timeout 60s" not in configuration
    assert f"client_max_body_size {MAX_BYTES};" in proxied.configuration()


@pytest.mark.parametrize(("path", "limit"), [("", MAX_BYTES), ("api/v1/upload", MAX_BYTES)])
def test_a_body_over_the_limit_is_refused_and_told_the_limit(
    proxied: Proxied, path: str, limit: int
) -> None:
    answer = proxied.ask(path, "POST", data=bytes(limit + 1), headers=KEY)
    just = proxied.ask(path, "POST", data=bytes(limit), headers=KEY)

    check(answer, problems.REQUEST_TOO_LARGE)
    assert answer.json()["detail"] == f"At most {limit} bytes are accepted in one request."
    assert just.json()["bytes"] == limit


def test_a_body_of_unknown_length_has_the_same_limit(proxied: Proxied) -> None:
    pieces = iter([bytes(600_000), bytes(600_000)])

    answer = proxied.ask("api/v1/upload", "POST", data=pieces, headers=KEY)

    check(answer, problems.REQUEST_TOO_LARGE)


def test_only_calls_that_take_images_take_large_bodies(engine: docker.DockerClient) -> None:
    with proxy_system.running(engine, IMAGE, MANY) as plain:
        refused = plain.ask("api/v1/uploads", "POST", data=bytes(4 * 1024 * 1024 + 1))
        taken = plain.ask("api/v1/upload", "POST", data=bytes(5 * 1024 * 1024), headers=KEY)

    check(refused, problems.REQUEST_TOO_LARGE)
    assert taken.json()["bytes"] == 5 * 1024 * 1024


def test_a_slow_upload_reaches_the_web_tier_when_it_is_whole(proxied: Proxied) -> None:
    path = "/api/v1/upload?slow"
    request = (
        UPLOAD.replace(b"/api/v1/upload", path.encode()) + b"Authorization: Bearer key\r\n\r\n"
    )
    with proxied.connect() as client:
        # given a client of whose body two thirds are there
        client.sendall(request + bytes(600_000))
        wait_for(lambda: spooled(proxied) > 500_000, SOON_S)
        assert f"POST {path}" not in proxied.heard()

        # when the rest comes
        client.sendall(bytes(300_000))
        status, _, body = answer_of(client)

    assert (status, json.loads(body)["bytes"]) == (200, 900_000)
    wait_for(lambda: f"POST {path}" in proxied.heard(), SOON_S)
    assert proxied.heard().count(f"POST {path}") == 1


def test_a_stranger_is_refused_before_anything_of_the_upload_is_sent(proxied: Proxied) -> None:
    with proxied.connect() as client:
        client.sendall(UPLOAD + b"\r\n")
        status, headers, body = answer_of(client)

    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    check_document(headers, json.loads(body), problems.UNAUTHORIZED)


def test_the_page_needs_no_key(proxied: Proxied) -> None:
    assert proxied.echoed("")["method"] == "GET"


def test_a_slow_reader_holds_nobody_behind(proxied: Proxied) -> None:
    with proxied.connect() as client:
        # when a client asks for 30 MB and takes none of them
        client.sendall(b"GET /huge.jpg?slow HTTP/1.1\r\nHost: localhost\r\n\r\n")

        wait_for(lambda: "answered /huge.jpg?slow" in proxied.heard(), SOON_S)


def test_events_arrive_one_by_one(proxied: Proxied) -> None:
    answer = proxied.ask("events", stream=True, headers={"Accept-Encoding": "gzip"})
    lines = answer.iter_lines(chunk_size=1)

    # the second is sent only after the first was heard
    assert next(lines) == b"data: first"
    for each in proxied.behind:
        proxy_system.run_in(each, "python", "-c", RELEASE)
    assert [line for line in lines if line] == [b"data: second"]
    assert "Content-Encoding" not in answer.headers


def test_an_answer_that_breaks_off_is_seen_to(proxied: Proxied) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        proxied.ask("cut")


@pytest.mark.parametrize(
    ("path", "smaller"),
    [("large.json", True), ("large.csv", True), ("large.js", True), ("large.jpg", False)],
)
def test_what_shrinks_is_compressed(proxied: Proxied, path: str, smaller: bool) -> None:
    answer = proxied.ask(path, headers={"Accept-Encoding": "gzip"})
    plain = proxied.ask(path, headers={"Accept-Encoding": "identity"})

    assert answer.headers.get("Content-Encoding") == ("gzip" if smaller else None)
    assert "Content-Encoding" not in plain.headers
    assert answer.content == plain.content


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/readyz", "//metrics", "/%6detrics", "/x/../metrics", "/metrics?x", "/-/key"],
)
def test_what_is_for_those_inside_is_not_there_for_others(proxied: Proxied, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    status, headers, body = proxied.raw(request.encode())

    assert status == 404
    check_document(headers, json.loads(body), problems.NOT_FOUND)
    assert f"GET {path}" not in proxied.heard()


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", problems.MALFORMED_REQUEST),
        (b"no request at all\r\n\r\n", problems.MALFORMED_REQUEST),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", problems.URI_TOO_LONG),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
            problems.HEADERS_TOO_LARGE,
        ),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", problems.METHOD_NOT_ALLOWED),
    ],
    ids=["two hosts", "no http", "long url", "long header", "trace"],
)
def test_what_nginx_itself_refuses_is_a_problem_document(
    proxied: Proxied, request_: bytes, kind: Kind
) -> None:
    status, headers, body = proxied.raw(request_)

    assert status == kind.status
    check_document(headers, json.loads(body), kind)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 502, 503, 504])
def test_errors_of_the_web_tier_pass_unchanged(proxied: Proxied, status: int) -> None:
    answer = proxied.ask(f"status/{status}")

    assert answer.status_code == status
    assert answer.json() == {"code": "of the web tier"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_post_that_was_sent_is_never_sent_again(proxied: Proxied) -> None:
    lost = proxied.ask("die?once", "POST", data=b"x")
    proxied.ask("die?again")

    # while a GET is tried at the other one, too
    wait_for(lambda: proxied.heard().count("GET /die?again") == 2, SOON_S)
    assert lost.status_code == 502
    assert proxied.heard().count("POST /die?once") == 1


def test_plain_http_leads_to_tls(proxied: Proxied) -> None:
    host, port = proxied.plain_address

    asked = requests.post(
        f"http://{host}:{port}/api/v1/upload?wait=5", timeout=5, allow_redirects=False
    )

    assert asked.status_code == 308
    assert asked.headers["Location"] == "https://127.0.0.1/api/v1/upload?wait=5"


def test_the_answers_of_an_acme_client_are_served_over_plain_http(proxied: Proxied) -> None:
    host, port = proxied.plain_address

    answer = requests.get(f"http://{host}:{port}/.well-known/acme-challenge/token", timeout=5)

    assert answer.text == "answer"


def test_modern_clients_get_http_2_and_old_protocols_are_refused(proxied: Proxied) -> None:
    with proxied.connect(protocols=["h2", "http/1.1"]) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.version() == "TLSv1.3"
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in proxied.configuration()


def test_headers_tell_browsers_to_keep_to_tls_and_no_version(proxied: Proxied) -> None:
    for path in ("echo", "metrics", "status/500"):
        headers = proxied.ask(path).raw.headers
        assert headers.getlist("Strict-Transport-Security") == ["max-age=31536000"]
        assert headers.getlist("Server") == ["nginx"]
        assert headers.getlist("X-Content-Type-Options") == ["nosniff"]


def test_the_log_has_a_line_for_each_request_and_neither_queries_nor_keys(
    proxied: Proxied,
) -> None:
    proxied.ask("die?callback_url=secret-query", headers=KEY)
    proxied.ask("logged?callback_url=secret-query", headers=KEY)
    wait_for(lambda: any(line["path"] == "/logged" for line in proxied.logged()), SOON_S)

    (line,) = [line for line in proxied.logged() if line["path"] == "/logged"]
    assert (line["tier"], line["method"], line["status"]) == ("proxy", "GET", 200)
    assert (line["tls"], line["web_status"]) == ("TLSv1.3", "200")
    everything = proxied.proxy.logs().decode()
    assert "secret" not in everything


def test_a_renewed_certificate_is_read_without_a_restart(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    folder = tmp_path / "tls"
    old = write_certificate(folder)
    with proxy_system.running(engine, IMAGE, MANY, certificate=folder) as renewed:
        assert shown_serial(renewed) == old

        new = write_certificate(folder)
        renewed.proxy.kill(signal.SIGHUP)

        wait_for(lambda: shown_serial(renewed) == new, SOON_S)


def test_one_address_has_limits(engine: docker.DockerClient) -> None:
    few = {"IMAGEFLEET_PROXY_REQUESTS_PER_S": "1", "IMAGEFLEET_PROXY_BURST": "3"}
    with proxy_system.running(engine, IMAGE, few) as limited:
        answers = [limited.ask("echo") for _ in range(30)]

    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) < 30
    check(refused[0], problems.TOO_MANY_REQUESTS)
    assert refused[0].headers["Retry-After"] == "1"


def test_a_full_spool_refuses_the_upload_and_nothing_else(engine: docker.DockerClient) -> None:
    with proxy_system.running(engine, IMAGE, MANY, spool="2m") as full:
        refused = full.ask("api/v1/upload", "POST", data=bytes(4 * 1024 * 1024), headers=KEY)
        check(refused, problems.BUSY)
        assert refused.headers["Retry-After"] == "5"
        assert full.ask("echo").ok

        # and there is room again once its connection is closed
        small = bytes(1024 * 1024)
        wait_for(lambda: full.ask("api/v1/upload", "POST", data=small, headers=KEY).ok, SOON_S)


def test_while_the_web_tier_is_down_everybody_is_told_and_then_served(
    engine: docker.DockerClient,
) -> None:
    with proxy_system.running(engine, IMAGE, MANY) as hurt:
        # given another one, which is found, nobody notices that the first one goes
        hurt.one_more_behind()
        wait_for(lambda: hurt.ask("echo").ok and "GET /echo" in last_heard(hurt), SOON_S)
        remembered_until = time.monotonic() + REMEMBERED_S  # by each of the proxy's processes
        wait_for(lambda: hurt.ask("echo").ok and time.monotonic() > remembered_until, SOON_S)
        hurt.behind[0].stop(timeout=5)
        assert {hurt.ask("echo").status_code for _ in range(10)} == {200}

        # when that one goes too, at once and for uploads as well
        hurt.behind[1].stop(timeout=5)
        for method, path in (("GET", "echo"), ("POST", "api/v1/upload")):
            answer = hurt.ask(path, method)
            # 504 as long as Docker's DNS may still name them
            assert answer.status_code in {502, 504}
            assert answer.headers["Retry-After"] == "5"
            assert answer.headers["Content-Type"] == PROBLEM
            assert answer.json()["code"] in {"no_answer", "no_answer_in_time"}

        # then it is found again by itself
        hurt.behind[0].start()
        wait_for(lambda: hurt.ask("echo").ok, SOON_S)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "/etc/imagefleet/tls/fullchain.pem is missing"),
        ({"IMAGEFLEET_TLS": "maybe"}, "IMAGEFLEET_TLS is 'maybe': expected true or false"),
        (
            {"IMAGEFLEET_TLS": "false", "IMAGEFLEET_MAX_REQUEST_BYTES": "1g"},
            "IMAGEFLEET_MAX_REQUEST_BYTES is '1g': expected a number",
        ),
        (
            {"IMAGEFLEET_TLS": "false", "IMAGEFLEET_LOAD_BALANCER_NETWORKS": "my-network;"},
            "IMAGEFLEET_LOAD_BALANCER_NETWORKS is 'my-network;': expected networks",
        ),
    ],
    ids=["no certificate", "no choice", "no number", "no networks"],
)
def test_a_wrong_setting_is_named(
    engine: docker.DockerClient, settings: Mapping[str, str], told: str
) -> None:
    with pytest.raises(ContainerError) as refused:
        engine.containers.run(IMAGE, ["--check"], environment=dict(settings), remove=True)

    assert refused.value.exit_status == 2
    assert told in str(refused.value)


def check(answer: requests.Response, kind: Kind) -> None:
    """Fail unless an answer is a problem document of a kind."""
    assert answer.status_code == kind.status, answer.text
    check_document(answer.headers, answer.json(), kind)


def check_document(headers: Mapping[str, str], document: dict[str, Any], kind: Kind) -> None:
    """Fail unless a document has the shape that the web tier gives it."""
    assert document == {
        "type": f"urn:imagefleet:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": document["detail"],
        "code": kind.code,
    }
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["content-type"] == PROBLEM
    assert lower["cache-control"] == "no-store"
    assert lower["x-content-type-options"] == "nosniff"


def last_heard(proxied: Proxied) -> list[str]:
    """Return what the last one behind has told so far."""
    return proxied.behind[-1].logs().decode().splitlines()


def spooled(proxied: Proxied) -> int:
    """Return how many bytes the proxy has set aside; the files have no name any more."""
    told = proxy_system.run_in(proxied.proxy, "df", "-k", "/var/tmp")
    return int(told.splitlines()[-1].split()[2]) * 1024


def shown_serial(proxied: Proxied) -> int:
    """Return the serial number of the certificate that clients are shown."""
    shown = ssl.get_server_certificate(proxied.address)
    return x509.load_pem_x509_certificate(shown.encode()).serial_number
