"""The usual way of taking uploads, as a baseline: Flask and boto3, and nothing else.

Stores the file, queues a message, answers 202. No keys, no limits, no look at what the file is,
nobody is told of a result. Serves until it's killed.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.config import Config
from flask import Flask, request
from gunicorn.app.base import BaseApplication
from werkzeug.utils import secure_filename

THREADS = 32


def make_app(prefix: str) -> Flask:
    """Return the app over the buckets and queues with this prefix."""
    app = Flask("bare")
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS)
    s3, sqs = boto3.client("s3", config=config), boto3.client("sqs", config=config)
    queue = sqs.get_queue_url(QueueName=f"{prefix}-requests")["QueueUrl"]

    @app.post("/api/v1/upload")
    def upload() -> tuple[dict[str, str], int]:
        (file,) = request.files.values()
        job, name = str(uuid.uuid4()), secure_filename(file.filename or "image")
        key = f"{job}/{name}"
        s3.put_object(
            Bucket=f"{prefix}-input", Key=key, Body=file.stream, ContentType=file.mimetype
        )
        message = json.dumps({"job": job, "key": key, "name": name})
        sqs.send_message(QueueUrl=queue, MessageBody=message)
        return {"job": job}, 202

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


class Server(BaseApplication):
    """Gunicorn with a process and its threads, as for the web tier."""

    def __init__(self, prefix: str, port: int) -> None:
        self._prefix, self._port = prefix, port
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up."""
        options = {
            "bind": f"127.0.0.1:{self._port}",
            "worker_class": "gthread",
            "threads": THREADS,
            "keepalive": 75,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the app."""
        return make_app(self._prefix)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="Take uploads the usual way.")
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    Server(options.prefix, options.port).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
