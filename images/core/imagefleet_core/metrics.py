"""A registry's metrics over HTTP, for tiers that have no server of their own.

Imported only where metrics are asked for: `prometheus_client` takes 10 ms and a megabyte.
"""

from __future__ import annotations

import socket
import sys
import threading
from http.server import HTTPServer
from socketserver import TCPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, MetricsHandler

# A client that neither sends nor takes a byte for so long is cut off, as the next one waits.
STALL_S = 2.0

log = structlog.get_logger()


class Endpoint(HTTPServer):
    """Answers one scrape after the other, at any path.

    Args:
        port: 0 for any free one.

    Raises:
        OSError: it can't listen there.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        handler = MetricsHandler.factory(registry)
        handler.timeout = STALL_S  # type: ignore[attr-defined]  # of any handler
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Listen, without asking DNS for this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, *_: Any) -> None:
        """Say what went wrong with one client, and go on."""
        error = sys.exception()
        if not isinstance(error, OSError):  # which is a client that left
            log.error("metrics could not be told", exc_info=error)


def serve(registry: CollectorRegistry, host: str, port: int) -> Endpoint | None:
    """Tell metrics from a thread that doesn't keep the process from ending.

    Nothing is served, and that is said, where it can't listen: the work is worth more than its
    figures.
    """
    try:
        endpoint = Endpoint(registry, host, port)
    except OSError as error:
        log.error("metrics are not served", host=host, port=port, reason=error.strerror)  # noqa: TRY400
        return None
    threading.Thread(target=endpoint.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics are served", host=host, port=endpoint.server_port)
    return endpoint
