"""The HTTP server: gunicorn, set up in code, with a thread for each request.

There are more threads than may wait for results (see `seats`), and more than may ask AWS for
anything (see `askers`): so whatever AWS does, `/healthz` is answered. Slow clients hold a thread,
too, though not for long (see `clients`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from imagefleet_web import services
from imagefleet_web.counting.shared_figures import SharedFigures
from imagefleet_web.services import Services
from imagefleet_web.serving import threads
from imagefleet_web.serving.clients import ClientWorker
from imagefleet_web.settings import WebSettings
from imagefleet_web.telling.siblings import Sockets

log = structlog.get_logger()

# Connections that are kept without a thread, for their clients' next requests.
IDLE_CONNECTIONS = 1024
# Longer than nginx and AWS's load balancers keep theirs (60 s), so that it is they who close one.
KEEPALIVE_S = 75
BACKLOG = 2048
# What the master grants a worker beyond `drain_s`, to take down what it has.
CLOSE_S = 1


class Server(BaseApplication):
    """Serves the app that `make_app` returns, which each process calls for itself."""

    def __init__(
        self, settings: WebSettings, listener: socket.socket, make_app: Callable[[], Flask]
    ) -> None:
        self._settings = settings
        self._make_app = make_app
        self._figures = SharedFigures()
        self._sockets = Sockets(settings.processes)
        # gunicorn closes the descriptor that it is given, and listens at a copy.
        self._fd = listener.detach()
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up."""
        most = threads.in_all(self._settings)
        options = {
            "bind": f"fd://{self._fd}",
            "backlog": BACKLOG,
            "workers": self._settings.processes,
            "worker_class": Worker,
            "threads": most,
            "worker_connections": most + IDLE_CONNECTIONS,
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": self._settings.drain_s + CLOSE_S,
            "control_socket_disable": True,
            "logger_class": Logs,
            "loglevel": "warning",  # of its own life we tell what matters ourselves
            "when_ready": _when_ready,
            "pre_fork": self._pre_fork,
            "post_fork": self._post_fork,
            "post_worker_init": self._post_worker_init,
            "worker_exit": _worker_exit,
            "child_exit": self._child_exit,
            "on_exit": self._on_exit,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the app of this process."""
        return self._make_app()

    def _pre_fork(self, _arbiter: Arbiter, worker: Worker) -> None:
        worker.place = self._figures.take_place()

    def _post_fork(self, _arbiter: Arbiter, worker: Worker) -> None:
        # A worker stops waiting before its master stops waiting for it.
        worker.cfg.set("graceful_timeout", worker.cfg.graceful_timeout - CLOSE_S)
        if worker.place is not None:
            self._figures.join(worker.place)

    def _post_worker_init(self, worker: Worker) -> None:
        if worker.place is not None:
            _services(worker).metrics.gather_from(self._figures.folder)
            if ears := self._sockets.of(worker.place):
                _services(worker).siblings.join(ears)
        _services(worker).background.start()

    def _child_exit(self, _arbiter: Arbiter, worker: Worker) -> None:
        if worker.place is not None:
            self._figures.leave_place(worker.place)

    def _on_exit(self, _arbiter: Arbiter) -> None:
        self._figures.remove()
        self._sockets.close()


class Worker(ClientWorker):
    """A server process that lets waiting requests go when it stops.

    Attributes:
        place: where it keeps its figures among the server's processes, None for itself alone.
    """

    place: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: take no more, answer those who wait, give the others time to finish."""
        super().handle_exit(sig, frame)
        # Not from within the signal handler, as it takes a lock.
        self.method_queue.defer(self._let_go)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on Ctrl-C just as otherwise."""
        self.handle_exit(sig, frame)

    def _let_go(self) -> None:
        if self.booted:
            _services(self).let_go()


class Logs(Logger):
    """Sends gunicorn's own lines the way of all others."""

    def setup(self, cfg: Config) -> None:
        """Leave the output to the root logger."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises OSError if it can't."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _services(worker: ThreadWorker) -> Services:
    return services.of(cast(Flask, worker.wsgi))


def _when_ready(arbiter: Arbiter) -> None:
    host, port = arbiter.LISTENERS[0].getsockname()[:2]
    log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/")


def _worker_exit(_arbiter: Arbiter, worker: Worker) -> None:
    if worker.booted:
        _services(worker).close()
        log.info("stopped")
