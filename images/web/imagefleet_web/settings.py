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
    headers_s: float = setting(
        20,
        "seconds in which the headers of a request must be there",
        at_least=0.1,
        at_most=3600,
    )
    stall_s: float = setting(
        30,
        "seconds for which a client may send nothing of a body, or take nothing of an answer",
        at_least=0.1,
        at_most=3600,
    )
    min_upload_bytes_per_s: int = setting(
        4096,
        "bytes a second with which a body must come on average, after its first stall_s seconds",
        at_least=1,
    )
    aws_connections: int = setting(
        32, "calls to AWS of one process at once", at_least=1, at_most=1000
    )
    aws_timeout_s: float = setting(
        10,
        "seconds that AWS may be silent before a call is tried again, three times in all",
        at_least=0.1,
        at_most=60,
    )
    api_keys_file: str = setting(
        "", "a file of API keys, made with scripts/new-key; without it nobody needs one"
    )
    max_images_per_minute: int = setting(
        0, "images one client may upload in a minute to one process, 0 for any", at_least=0
    )
    max_images_per_day: int = setting(
        0,
        "images one client may upload in a day (UTC), 0 for any; the file of keys may tell others",
        at_least=0,
        at_most=999_999_999,
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
        100_000,
        "images waiting for a worker beyond which uploads are refused; one client alone may fill "
        "half of it",
        at_least=1,
    )
    reuse_results: bool = setting(
        True,
        "whether an image whose very bytes were answered before is answered the same at once",
    )
    form_life_s: int = setting(
        900,
        "seconds for which a form of POST /api/v1/uploads is good",
        at_least=1,
        at_most=3600,
    )
    public_s3_url: str = setting(
        "",
        "the origin at which clients reach S3 with such a form, where it is not the one used here",
        pattern=r"https?://[^/?#\s]+",
    )
    claim_s: float = setting(
        60,
        "seconds without progress after which an upload with an Idempotency-Key, or a callback, is "
        "taken over by another process",
        at_least=1,
        at_most=3600,
    )
    callback_secrets_file: str = setting(
        "",
        "a file of secrets to sign callbacks with, name:whsec_… or *:whsec_… a line; without it "
        "none are sent",
    )
    callback_networks: str = setting(
        "",
        "networks such as 10.0.0.0/8,fd00::/8 that are called back though they are not public",
    )
    callback_threads: int = setting(
        4, "callbacks that one process sends at once", at_least=1, at_most=64
    )
    max_callbacks: int = setting(
        1000, "callbacks of one client that one process has outstanding", at_least=1
    )
    max_files: int = setting(100, "files in one upload", at_least=1, at_most=9999)
    max_file_bytes: int = setting(20 * MIB, "bytes of one file", at_least=1)
    max_request_bytes: int = setting(500 * MIB, "bytes of one upload", at_least=1)
    max_pixels: int = setting(50_000_000, "pixels of one image, width times height", at_least=1)
    spool_dir: str = setting(
        "",
        "a folder for uploads on their way that memory is too small for; the system's for "
        "temporary files unless given",
    )
