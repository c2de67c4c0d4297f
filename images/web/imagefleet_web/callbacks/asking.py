"""The query `callback_url` of an upload, judged before a byte of its images is read."""

from __future__ import annotations

from flask import request

from imagefleet_web import problems
from imagefleet_web.callbacks import urls
from imagefleet_web.callbacks.order import Callback, NoCallback
from imagefleet_web.callbacks.service import Callbacks
from imagefleet_web.callbacks.urls import BadUrl, Target
from imagefleet_web.problems import Problem
from imagefleet_web.rights import access

QUERY = "callback_url"
# When to ask again for one more; most are heard within seconds.
RETRY_AFTER_S = 60


def asked_callback(callbacks: Callbacks | None) -> NoCallback:
    """Return what the current request wants to be told.

    A name's addresses are looked up when it is called, since they may be others by then.

    Raises:
        Problem: there are no callbacks here, or not for the client, or not at that URL; or it has
            too many outstanding.
    """
    asked, owner = request.args.getlist(QUERY), access.owner()
    if not asked:
        return NoCallback()
    if callbacks is None or not callbacks.secrets.of(owner):
        raise Problem(
            problems.NO_CALLBACKS,
            f"No callbacks are sent {'' if callbacks is None else 'to you '}here. "
            f"Leave {QUERY} out; `wait` or the batch's events tell when it is finished.",
        )
    if len(asked) > 1:
        raise _refused("there must be one only")
    (url,) = asked
    _check(url, callbacks)
    if not callbacks.keeper.has_room(owner, url):
        raise Problem(
            problems.TOO_MANY_REQUESTS,
            f"Too many callbacks are outstanding. Try again in {RETRY_AFTER_S} s.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    return Callback(callbacks.keeper, url, owner)


def _check(url: str, callbacks: Callbacks) -> Target:
    try:
        target = urls.parse(url)
    except BadUrl as error:
        raise _refused(str(error)) from error
    if target.address is not None and not callbacks.addresses.permits(target.address):
        raise _refused(f"no callback may go to {target.host}")
    return target


def _refused(reason: str) -> Problem:
    return Problem(problems.BAD_CALLBACK_URL, f"The {QUERY} can't be called: {reason}.")
