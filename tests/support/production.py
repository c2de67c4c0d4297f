"""The web host as compose/production.yaml has it, over an emulator, for tests to use and hurt."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests
import urllib3
from docker.models.containers import Container

import laptop
import proxied
from certificate import write_certificate
from imagefleet_scripts.emulator import free_port
from imagefleet_web import keys
from laptop import Laptop
from system import wait_for

FILES = (
    "compose/production.yaml",
    "compose/production.roles.yaml",
    "tests/docker/production.override.yaml",
)
ENVIRON = {"AWS_DEFAULT_REGION": "us-east-1", "IMAGEFLEET_ENV_FILE": "production.env.example"}
READY_S = 240
TIMEOUT_S = 120


@dataclass(frozen=True)
class WebHost(Laptop):
    """A running web host.

    Attributes:
        plain_url: where plain HTTP is spoken; `url` is over TLS.
        authority: the file with the certificate that the proxy shows.
        key: a key of the API.
    """

    plain_url: str
    authority: Path
    key: str

    def ask(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        """Send a request with a key and return the answer."""
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return requests.request(
            method,
            self.url + path,
            headers=headers,
            verify=str(self.authority),
            timeout=TIMEOUT_S,
            allow_redirects=False,
            **options,
        )

    def connect(self) -> ssl.SSLSocket:
        """Open a connection over TLS."""
        context = ssl.create_default_context(cafile=self.authority)
        address = urlsplit(self.url)
        connection = socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S)
        return context.wrap_socket(connection, server_hostname="localhost")

    def compose(self, *arguments: str) -> None:
        """Run `docker compose` on it."""
        laptop.compose(*arguments, project=self.project, files=FILES, environ=self.environ)

    def every_container(self, service: str) -> list[Container]:
        """Return the containers of a service, ended ones too."""
        label = f"{laptop.SERVICE_LABEL}={service}"
        return [each for each in self.containers() if label in _labels(each)]

    def down(self) -> None:
        """Run `docker compose down`."""
        self.compose("down", "--timeout", "2", "--volumes")


def build_proxy() -> None:
    """Build the proxy's image, which must be there before a proxy is run by itself."""
    laptop.compose("build", "proxy", files=FILES, environ=ENVIRON)


@contextmanager
def running(folder: Path, *, settings: Mapping[str, str]) -> Iterator[WebHost]:
    """Run the web host until it is ready, its secrets in `folder`; take it down in the end."""
    write_certificate(folder / "tls")
    key = write_key(folder / "web")
    plain, tls = free_port(), free_port()
    environ = {
        **ENVIRON,
        "IMAGEFLEET_ADDRESS": "127.0.0.1",
        "IMAGEFLEET_HTTP_PORT": str(plain),
        "IMAGEFLEET_HTTPS_PORT": str(tls),
        "IMAGEFLEET_TLS_DIR": str(folder / "tls"),
        "IMAGEFLEET_ACME_DIR": str(folder / "acme"),
        "IMAGEFLEET_SECRETS_DIR": str(folder / "web"),
        "IMAGEFLEET_CREDENTIALS_DIR": str(write_roles(folder / "roles")),
        "IMAGEFLEET_ENV_FILE": str(write_settings(folder, settings)),
        **settings,
    }
    host = WebHost(
        url=f"https://127.0.0.1:{tls}/",
        plain_url=f"http://127.0.0.1:{plain}/",
        localstack_host="",
        project=f"imagefleet-test-{uuid4().hex[:8]}",
        environ=environ,
        engine=proxied.require_nginx(),
        authority=folder / "tls/fullchain.pem",
        key=key,
    )
    with closing(host.engine):
        try:
            host.compose("up", "--detach", "--scale", "web=2")
            wait_for(lambda: _serves(host), READY_S)
            yield host
        finally:
            host.down()


def write_key(folder: Path) -> str:
    """Write a file of keys as the web tier's user can read it, and return the key."""
    key, line = keys.make("tester")
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "keys.txt").write_text(f"{line}\n")
    (folder / "keys.txt").chmod(0o644)
    return key


def write_roles(folder: Path) -> Path:
    """Write credentials for each tier, as the host writes those of their roles; return where."""
    end = datetime.now(UTC) + timedelta(hours=1)
    for tier in ("web", "scaler"):
        place = folder / tier
        place.mkdir(parents=True)
        (place / "config").write_text(
            "[default]\ncredential_process = cat /run/credentials/role.json\n"
        )
        role = {
            "Version": 1,
            "AccessKeyId": f"insecure-emulator-only-{tier}",
            "SecretAccessKey": "insecure-emulator-only",
            "Expiration": end.isoformat(),
        }
        (place / "role.json").write_text(json.dumps(role))
        for file in (folder, place, *place.iterdir()):
            file.chmod(0o755 if file.is_dir() else 0o644)
    return folder


def write_settings(folder: Path, settings: Mapping[str, str]) -> Path:
    """Write an env file and return it."""
    file = folder / "production.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return file


def _serves(host: WebHost) -> bool:
    try:
        return host.ask("healthz").ok
    except (requests.RequestException, urllib3.exceptions.HTTPError):
        return False


def _labels(container: Container) -> set[str]:
    return {f"{name}={value}" for name, value in container.labels.items()}
