"""The web tier's settings."""

from __future__ import annotations

from dataclasses import dataclass

from imagefleet_core.settings import Settings, setting

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class WebSettings(Settings):
    """What the web tier needs to know."""

    host: str = setting("127.0.0.1", "the address to listen at; 0.0.0.0 inside a container")
    port: int = setting(
        8080, "the port to listen at, 0 for any free one", at_least=0, at_most=65535
    )
    processes: int = setting(1, "server processes", at_least=1, at_most=64)
    max_waiting: int = setting(
        1000, "requests of one process that wait for results at once", at_least=1, at_most=20_000
    )
    max_wait_s: float = setting(300, "seconds one request waits at most", at_least=0, at_most=3600)
    drain_s: int = setting(
        8, "seconds that running requests get when the server stops", at_least=0, at_most=3600
    )
    aws_connections: int = setting(
        32, "calls to AWS of one process at once", at_least=1, at_most=1000
    )
    api_keys_file: str = setting(
        "", "a file of API keys, made with scripts/new-key; without it nobody needs one"
    )
    max_images_per_minute: int = setting(
        0, "images one client may upload in a minute to one process, 0 for any", at_least=0
    )
    max_uploads_at_once: int = setting(
        0, "uploads of one client that one process receives at once, 0 for any", at_least=0
    )
    trusted_proxies: int = setting(
        0,
        "proxies in front, each adding the client's address to X-Forwarded-For",
        at_least=0,
        at_most=10,
    )
    max_backlog: int = setting(
        100_000, "images waiting for a worker beyond which uploads are refused", at_least=1
    )
    claim_s: float = setting(
        60,
        "seconds without progress after which an upload with an Idempotency-Key is taken over",
        at_least=1,
        at_most=3600,
    )
    max_files: int = setting(100, "files in one upload", at_least=1, at_most=9999)
    max_file_bytes: int = setting(20 * MIB, "bytes of one file", at_least=1)
    max_request_bytes: int = setting(500 * MIB, "bytes of one upload", at_least=1)
    max_pixels: int = setting(50_000_000, "pixels of one image, width times height", at_least=1)
