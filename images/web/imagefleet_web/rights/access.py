"""Who may ask for what: API keys, and whose the batches are.

Everything needs a key but what is named here, so that no later route is open by mistake.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import structlog
from flask import Flask, g, request

from imagefleet_core.errors import DecodeError
from imagefleet_core.jobs import JobId
from imagefleet_web import images, problems, services
from imagefleet_web.ids import made_at
from imagefleet_web.problems import Problem
from imagefleet_web.rights import owners
from imagefleet_web.telling import results

# The page shows nothing but a form for the key until it has one, and the API's description is the
# same for all.
OPEN = {
    "docs.openapi",
    "docs.readable",
    "health.healthz",
    "health.readyz",
    "page.index",
    "static",
}


def install(app: Flask) -> None:
    """Guard the routes of `app`, if its settings name a file of keys."""
    app.before_request(_check)


def owner() -> str | None:
    """Return whose key came with the current request, None where there are no keys."""
    name: str | None = g.get("owner")
    return name


def client() -> str:
    """Return whom the current request counts for: its key's owner, else its address."""
    return owner() or _network(request.remote_addr or "")


def _check() -> None:
    keys = services.current().keys
    if keys is None or request.endpoint is None or request.endpoint in OPEN:
        return
    name = keys.name_of(_presented())
    if name is None:
        raise Problem(
            problems.UNAUTHORIZED,
            "A key is needed, and none that is valid came with the request. "
            "Send it as the header Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": 'Bearer realm="imagefleet"'},
        )
    g.owner = name
    structlog.contextvars.bind_contextvars(client=name)
    _check_owner(name)


def _presented() -> str:
    """Return the key that came with the request; never from the URL, which is logged."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("X-Api-Key", "").strip()


def _check_owner(name: str) -> None:
    """Raise what the view would for a batch that isn't there; of malformed ids it tells itself."""
    asked = request.view_args or {}
    batch = asked.get("batch_id", "")
    if made_at(batch) and not owners.may_see(name, batch):
        raise results.no_batch(batch)
    with suppress(DecodeError):
        job = JobId.parse(asked.get("job_id", ""))
        if not owners.may_see(name, job.batch):
            of_image = request.endpoint == "jobs.job_image"
            raise images.no_image(job) if of_image else results.no_job(job)


def _network(address: str) -> str:
    """Return what is most likely one client: an address, of IPv6 the network of one site."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # such as that of a Unix socket
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped:  # as a socket for both kinds has them
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
