"""The app factory."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from imagefleet_core.queues import Queues
from imagefleet_core.store import Store
from imagefleet_web import problems, services
from imagefleet_web.blueprints import (
    batches,
    docs,
    fleet,
    health,
    jobs,
    metrics,
    page,
    plain,
    results,
    upload,
    uploads,
    usage,
)
from imagefleet_web.counting import request_metrics
from imagefleet_web.rights import access, cross_site
from imagefleet_web.serving import access_log, askers, headers
from imagefleet_web.settings import WebSettings


def create_app(settings: WebSettings, store: Store, queues: Queues) -> Flask:
    """Return the app; makes no call to AWS and starts no thread."""
    app = Flask("imagefleet_web")
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    if proxies := settings.trusted_proxies:
        # Of the host only the nearest proxy tells, in Host itself.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.url_map.merge_slashes = False  # or a redirect would repeat whatever host a client names
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's own provider
    services.attach(app, services.build(settings, store, queues))
    for module in (access_log, request_metrics, headers, problems, access, cross_site, askers):
        module.install(app)
    for module in (
        page,
        plain,
        upload,
        uploads,
        jobs,
        batches,
        results,
        health,
        metrics,
        docs,
        fleet,
        usage,
    ):
        app.register_blueprint(module.bp)
    return app
