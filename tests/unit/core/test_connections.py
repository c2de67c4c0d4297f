"""How S3 is reached: over TLS, through proxies, or not at all."""

from __future__ import annotations

import io
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

import s3_server
from certificate import write_pem
from imagefleet_core.aws import Aws
from imagefleet_core.errors import Misconfigured, Unavailable
from imagefleet_core.s3 import S3Store
from s3_server import REGION, S3Server

KEY = "a/0001-cat.jpg"


@pytest.fixture(autouse=True)
def _no_proxy_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the certificate of a server at 127.0.0.1 that signed itself."""
    return write_pem(tmp_path_factory.mktemp("tls") / "server.pem", "127.0.0.1")


@pytest.fixture
def secure_s3(aws: Aws, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with S3Server(tls) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("input", REGION)
        yield server


def connect() -> S3Store:
    session = boto3.Session("test", s3_server.SECRETS["test"], region_name=REGION)
    s3 = Aws(session, attempts=1).s3(1)
    return S3Store(s3, input_bucket="input", results_bucket="results")


def test_s3_is_used_over_tls(
    secure_s3: S3Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    store = connect()

    store.put_image(KEY, io.BytesIO(b"a cat"), "image/jpeg")
    assert store.get_image(KEY, max_bytes=5) == b"a cat"
    store.put_image(KEY, b"a dog", "image/jpeg")

    # a file is not read twice, to hash it, where TLS protects it
    hashes_told = [each["x-amz-content-sha256"] for each in secure_s3.seen]
    assert [told == "UNSIGNED-PAYLOAD" for told in hashes_told] == [True, False, False]
    assert secure_s3.connections == 1


def test_a_server_without_a_trusted_certificate_is_not_used(secure_s3: S3Server) -> None:
    with pytest.raises(Unavailable, match=r"SSL validation failed for https://127\.0\.0\.1"):
        connect().get_image(KEY, max_bytes=5)

    assert secure_s3.requests == []


def test_a_server_of_another_name_is_not_used(
    secure_s3: S3Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", secure_s3.url.replace("127.0.0.1", "localhost"))

    with pytest.raises(Unavailable, match=r"SSL validation failed .* not valid for"):
        connect().get_image(KEY, max_bytes=5)

    assert secure_s3.requests == []


@pytest.mark.usefixtures("secure_s3")
def test_a_missing_file_of_certificates_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "nowhere.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", str(missing))

    with pytest.raises(Misconfigured, match=f"reading the certificates in {missing}: .*No such"):
        connect().get_image(KEY, max_bytes=5)


class Proxy(socketserver.ThreadingTCPServer):
    """A forward proxy that keeps the heads of the requests it was sent."""

    daemon_threads = True

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.status = status
        self.heads: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Forwarding(socketserver.StreamRequestHandler):
    rbufsize = 0
    server: Proxy

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.read(1)
        self.server.heads.append(head.decode())
        method, target, _ = head.decode().split(" ", 2)
        if self.server.status != 200:
            self.wfile.write(f"HTTP/1.1 {self.server.status} No\r\n\r\n".encode())
            return
        where = target if method == "CONNECT" else target.split("/")[2]
        host, port = where.split(":")
        with socket.create_connection((host, int(port))) as far:
            if method == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far.sendall(head.replace(f"http://{where}".encode(), b""))
            _pump(self.connection, far)


def _pump(one: socket.socket, other: socket.socket) -> None:
    to = {one: other, other: one}
    while True:
        for source in select.select(list(to), [], [])[0]:
            if not (data := source.recv(65536)):
                return
            to[source].sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_proxy_is_used_where_the_environment_names_one(
    s3: S3Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@{proxy.address}")
    store = connect()

    store.put_image(KEY, b"a cat", "image/jpeg")

    (head,) = proxy.heads
    assert head.startswith(f"PUT {s3.url}/input/{KEY} HTTP/1.1\r\n")
    assert "proxy-authorization: Basic dXNlcjpwQHNz\r\n" in head  # user:p@ss
    assert s3.requests == [f"PUT /input/{KEY}"]


def test_tls_goes_through_a_proxy_unseen(
    secure_s3: S3Server, proxy: Proxy, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", proxy.address)  # as some leave out the scheme
    store = connect()

    store.put_image(KEY, b"a cat", "image/jpeg")
    assert store.get_image(KEY, max_bytes=5) == b"a cat"

    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {secure_s3.url.removeprefix('https://')} HTTP/1.")
    assert "authorization" not in head.lower()


def test_no_proxy_is_used_for_what_the_environment_excludes(
    s3: S3Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")

    connect().put_image(KEY, b"a cat", "image/jpeg")

    assert proxy.heads == []
    assert s3.requests == [f"PUT /input/{KEY}"]


def test_a_proxy_that_refuses_is_named_without_its_password(
    secure_s3: S3Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.status = 407
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@{proxy.address}")

    with pytest.raises(Unavailable, match=f"proxy .*{proxy.address} .* 407") as caught:
        connect().get_image(KEY, max_bytes=5)

    assert "secret" not in str(caught.value)
    assert secure_s3.requests == []


@pytest.mark.usefixtures("s3")
def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    with pytest.raises(Unavailable, match=r"proxy .*http://127\.0\.0\.1:9"):
        connect().get_image(KEY, max_bytes=5)


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("proxy_url", ["https://127.0.0.1:9", "socks5://127.0.0.1:9", "http://"])
def test_a_proxy_of_a_kind_we_cannot_use_is_named(
    proxy_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy_url)

    with pytest.raises(Misconfigured, match=f"HTTP_PROXY: {proxy_url}.* must be like http://host"):
        connect().get_image(KEY, max_bytes=5)
