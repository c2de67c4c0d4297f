"""The calls that launch, whole, so that they can be repeated; and how they stand in the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

Call = Literal["create_fleet", "run_instances"]

CALLS = {"create_fleet", "run_instances"}
# A request with three hundred types and subnets takes 30 KB.
LONGEST_TEXT = 200_000
MOST_IDS = 1000
MOST_ORDERS = 50


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


def encode(orders: Iterable[Order]) -> str:
    """Write orders for the journal; nobody repeats those whose outcome is known."""
    fields = [
        {
            "call": each.call,
            "request": each.request if each.ids is None else None,
            "token": each.token,
            "count": each.count,
            "at": each.at,
            "ids": each.ids,
        }
        for each in orders
    ]
    return json.dumps({"v": 1, "orders": fields})


def decode(text: str) -> list[Order]:
    """Return the orders in a journal, but for those that can't be read."""
    if not 0 < len(text) <= LONGEST_TEXT:
        return []
    try:
        fields = json.loads(text)
        listed = fields["orders"][-MOST_ORDERS:] if fields["v"] == 1 else []
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [order for each in listed if (order := _order(each)) is not None]


def _order(fields: Any) -> Order | None:
    try:
        ids = fields["ids"]
        order = Order(
            call=cast("Call", str(fields["call"])),
            request=dict(fields["request"] or {}),
            token=str(fields["token"]),
            count=int(fields["count"]),
            at=float(fields["at"]),
            ids=None if ids is None else tuple(str(each) for each in ids[:MOST_IDS]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    repeatable = order.ids is not None or order.request.get("ClientToken") == order.token
    sound = order.call in CALLS and 0 < order.count <= MOST_IDS and order.at - order.at == 0
    return order if sound and repeatable else None
