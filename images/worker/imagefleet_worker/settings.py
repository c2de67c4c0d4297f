"""What the worker can be told."""

from __future__ import annotations

import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from imagefleet_core.settings import Settings, setting
from imagefleet_worker.memory import MIB


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(Settings):
    """The settings of one worker process."""

    worker_id: str = setting(
        "",
        "names this worker in results and reports, unless given by host and process",
        pattern=r"[A-Za-z0-9._-]{1,80}",
    )
    processor: str = setting(
        "",
        "the class that works on images, as package.module:Class; the classifier unless given",
        pattern=r"[A-Za-z_][\w.]*:[A-Za-z_]\w*",
    )
    runtime: str = setting("openvino", "what runs the network", one_of=("openvino", "torch"))
    model_dir: str = setting("", "folder of the exported network, the package's own unless given")
    model_cache: str = setting("", "folder of the compiled network, if one is kept")
    precision: str = setting(
        "f32",
        "what OpenVINO computes in; native is what the CPU does fastest, where answers differ",
        one_of=("f32", "native"),
    )
    threads: int = setting(
        0, "threads of the network, 0 for as many as this process has CPUs", at_least=0
    )
    io_threads: int = setting(
        8, "images that are fetched, and results that are stored, at once", at_least=1, at_most=64
    )
    decoders: int = setting(
        0, "images decoded at once, 0 for as many as this process has CPUs", at_least=0, at_most=256
    )
    max_in_flight: int = setting(
        200, "images held at once; fewer, if they take longer than a second", at_least=2
    )
    max_batch: int = setting(4, "images processed at once", at_least=1, at_most=256)
    max_file_bytes: int = setting(20 * MIB, "bytes of one image file", at_least=1)
    max_pixels: int = setting(50_000_000, "pixels of one image, width times height", at_least=1)
    decode_limit_s: float = setting(30, "seconds that decoding one image may take", at_least=1)
    memory_mb: int = setting(
        0,
        "MiB for files and pixels in memory, 0 for half of what there is, but at most 1024",
        at_least=0,
    )
    process_limit_s: float = setting(
        60, "seconds that processing one batch may take", at_least=1, at_most=120
    )
    receive_wait_s: int = setting(
        5, "seconds a long poll waits; a stop may take as long", at_least=0, at_most=20
    )
    visibility_s: int = setting(
        60, "seconds a message stays hidden; extended while held", at_least=3, at_most=3600
    )
    drain_s: float = setting(25, "seconds a stop may take to finish what is held", at_least=0)
    idle_exit_s: float = setting(
        0, "seconds without work after which the worker ends, 0 for never", at_least=0
    )
    instance_metadata: str = setting(
        "", "where to watch for the end of this EC2 instance; http://169.254.169.254 on EC2"
    )
    heartbeat_file: str = setting(
        "", "file touched while all is well, one in the temporary folder unless given"
    )
    metrics_port: int = setting(
        0, "where Prometheus finds this worker's metrics, 0 for nowhere", at_least=0, at_most=65535
    )
    metrics_host: str = setting(
        "127.0.0.1", "the address to tell metrics at; 0.0.0.0 inside a container"
    )

    @property
    def worker(self) -> str:
        """The worker's name: what its provider calls it, or host and process."""
        return self.worker_id or f"{socket.gethostname()}-{os.getpid()}"

    @property
    def heartbeat(self) -> Path:
        """The heartbeat's file, the same for this process and for its health check."""
        if self.heartbeat_file:
            return Path(self.heartbeat_file)
        name = "-".join(("imagefleet-worker", self.worker_id)).strip("-")
        return Path(tempfile.gettempdir(), f"{name}.alive")
