"""The proxy in front of containers that tell what reached them, for tests to ask and hurt."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import requests
from docker.errors import ImageNotFound
from docker.models.containers import Container
from docker.models.networks import Network

import docker_engine
import echo_web
from conditions import skip_or_fail
from system import wait_for

ROOT = Path(__file__).parents[2]
NGINX_IMAGE = os.environ.get("NGINX_IMAGE", "nginx:1.29-alpine")
READY_S = 240
TIMEOUT_S = 120
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Proxied:
    """A proxy that listens, and who is behind it.

    Attributes:
        certificate: the folder of its certificate, None where it speaks plain HTTP.
        behind: the containers that it may pass requests on to.
    """

    proxy: Container
    behind: list[Container]
    certificate: Path | None
    network: Network

    @property
    def plain_address(self) -> tuple[str, int]:
        """Where it speaks HTTP."""
        return self._published(8080)

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes requests."""
        return self._published(8443) if self.certificate else self.plain_address

    @property
    def url(self) -> str:
        """The origin of its requests, with a slash."""
        host, port = self.address
        return f"http{'s' if self.certificate else ''}://{host}:{port}/"

    def ask(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        """Send a request and return the answer, wherever it leads."""
        verify = str(self.certificate / "fullchain.pem") if self.certificate else True
        return requests.request(
            method,
            self.url + path,
            verify=verify,
            timeout=TIMEOUT_S,
            allow_redirects=False,
            **options,
        )

    def echoed(self, path: str = "echo", method: str = "GET", **options: Any) -> dict[str, Any]:
        """Return what reached the web tier of a request, its headers by name in lower case."""
        answer = self.ask(path, method, **options)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        names = [name.lower() for name, _ in told["headers"]]
        assert len(names) == len(set(names)), told
        return {**told, "headers": {name.lower(): value for name, value in told["headers"]}}

    def connect(self, **options: Any) -> socket.socket:
        """Open a connection, over TLS where it speaks that."""
        connection = socket.create_connection(self.address, timeout=TIMEOUT_S)
        if not self.certificate:
            return connection
        context = ssl.create_default_context(cafile=self.certificate / "fullchain.pem")
        context.set_alpn_protocols(options.get("protocols", ["http/1.1"]))
        return context.wrap_socket(connection, server_hostname="localhost")

    def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes and return the status, headers and body of what comes back until its end."""
        with self.connect() as connection:
            connection.sendall(request)
            return answer_of(connection)

    def one_more_behind(self) -> None:
        """Start another container behind, at an address that nobody had before."""
        self.behind.append(_echo(self.network))

    def heard(self) -> list[str]:
        """Return what those behind have told so far: each request, and that it was answered.

        The engine passes it on a moment after it was told.
        """
        return [line for each in self.behind for line in each.logs().decode().splitlines()]

    def logged(self) -> list[dict[str, Any]]:
        """Return the lines of the access log; each must be an object."""
        lines = self.proxy.logs(stdout=True, stderr=False).decode().splitlines()
        return [json.loads(line) for line in lines]

    def configuration(self) -> str:
        """Return the configuration that is in effect."""
        return run_in(self.proxy, "nginx", "-e", "stderr", "-c", "/tmp/nginx/nginx.conf", "-T")

    def _published(self, port: int) -> tuple[str, int]:
        (binding,) = self.proxy.attrs["NetworkSettings"]["Ports"][f"{port}/tcp"]
        return "127.0.0.1", int(binding["HostPort"])


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read an answer up to the end of its connection, or of its body where that was told."""
    data = b""
    while not _whole(data) and (more := connection.recv(65536)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    names = [line.partition(": ")[0].lower() for line in lines]
    assert len(names) == len(set(names)), head
    headers = dict(zip(names, [line.partition(": ")[2] for line in lines], strict=True))
    return int(first.split()[1]), headers, body


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if end and line.startswith(b"content-length: "):
            return len(body) >= int(line[16:])
    return False


def require_nginx() -> docker.DockerClient:
    """Return a client of the engine here; skip the test where it, or nginx's image, is missing."""
    engine = docker_engine.require_engine()
    try:
        engine.images.get(NGINX_IMAGE)
    except ImageNotFound:
        engine.close()
        skip_or_fail("DOCKER", f"the engine here has no image {NGINX_IMAGE}")
    return engine


@contextmanager
def running(
    engine: docker.DockerClient,
    image: str,
    settings: Mapping[str, str],
    *,
    certificate: Path | None = None,
    challenges: Path | None = None,
    behind: int = 1,
    spool: str = "64m",
) -> Iterator[Proxied]:
    """Run a proxy as compose does, with `behind` containers called `web`; remove all in the end."""
    name = f"imagefleet-proxy-test-{uuid4().hex[:8]}"
    network = engine.networks.create(name)
    started: list[Container] = []
    echoes: list[Container] = []
    try:
        echoes.extend(_echo(network) for _ in range(behind))
        mounted = {certificate: "tls", challenges: "acme"}
        proxy = engine.containers.create(
            image,
            name=name,
            environment={"IMAGEFLEET_TLS": "true" if certificate else "false", **settings},
            ports={"8080/tcp": ("127.0.0.1", 0), "8443/tcp": ("127.0.0.1", 0)},
            volumes={
                str(folder): {"bind": f"/etc/imagefleet/{where}", "mode": "ro"}
                for folder, where in mounted.items()
                if folder
            },
            network=name,
            read_only=True,
            tmpfs={"/tmp": "size=16m", "/var/tmp": f"size={spool}"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            init=True,
        )
        started.append(proxy)
        proxy.start()
        proxy.reload()
        proxied = Proxied(proxy, echoes, certificate, network)
        wait_for(lambda: _answers(proxied), READY_S)
        yield proxied
    finally:
        for container in (*started, *echoes):
            container.remove(force=True, v=True)
        network.remove()


def run_in(container: Container, *command: str) -> str:
    """Run a command in a container and return what it printed; it must go well."""
    status, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    assert status == 0, output.decode()
    return output.decode()


def _echo(network: Network) -> Container:
    script, engine = Path(echo_web.__file__), network.client
    assert engine
    container = engine.containers.create(
        docker_engine.IMAGE,
        ["python", "-u", "/echo.py"],
        volumes={str(script): {"bind": "/echo.py", "mode": "ro"}},
        # Its first process would not hear SIGTERM otherwise.
        init=True,
        network=network.name,
    )
    network.disconnect(container)
    network.connect(container, aliases=["web"])
    container.start()
    return container


def _answers(proxied: Proxied) -> bool:
    proxied.proxy.reload()
    logs = proxied.proxy.logs().decode()
    assert proxied.proxy.status == "running", logs
    try:
        return proxied.ask("ready").ok
    except requests.RequestException:
        return False
