"""A call that launches, whole, so that it can be repeated; and how it stands in the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

Call = Literal["create_fleet", "run_instances"]

CALLS = {"create_fleet", "run_instances"}
# A request with a hundred types and subnets takes 10 KB.
LONGEST_TEXT = 100_000
MOST_IDS = 1000


@dataclass(frozen=True, slots=True)
class Order:
    """One call; AWS carries it out once, however often it is made with the same token.

    Attributes:
        call: boto3's name of it.
        request: its parameters, of which the token is one.
        count: the instances asked for.
        at: when, in Unix seconds.
        ids: what it launched; None while that is not known.
    """

    call: Call
    request: Mapping[str, Any]
    token: str
    count: int
    at: float
    ids: tuple[str, ...] | None = None

    def encode(self) -> str:
        """Write it for the journal."""
        fields = {
            "call": self.call,
            "request": self.request,
            "token": self.token,
            "count": self.count,
            "at": self.at,
            "ids": self.ids,
        }
        return json.dumps({"v": 1, **fields})


def decode(text: str) -> Order | None:
    """Return the order in a journal; None if there is none that can be read."""
    if len(text) > LONGEST_TEXT:
        return None
    try:
        fields = json.loads(text)
        ids = fields["ids"]
        order = Order(
            call=cast("Call", str(fields["call"])),
            request=dict(fields["request"]),
            token=str(fields["token"]),
            count=int(fields["count"]),
            at=float(fields["at"]),
            ids=None if ids is None else tuple(str(each) for each in ids[:MOST_IDS]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    known = fields.get("v") == 1 and order.call in CALLS
    sound = order.request.get("ClientToken") == order.token and 0 < order.count <= MOST_IDS
    return order if known and sound and order.at - order.at == 0 else None
