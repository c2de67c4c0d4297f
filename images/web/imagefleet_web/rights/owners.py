"""Whose a batch is, told by its id alone.

A UUIDv7 has 74 bits that are left to chance. Of a batch that was uploaded with an API key, the
last 32 of them are a hash of the key's name. So the id, which names the objects in S3, says whose
it is: no object has to be written, kept true or read for that, and a foreign id is told from an
own one without asking whether there is such a batch.
"""

from __future__ import annotations

from hashlib import sha256

from imagefleet_core.jobs import new_batch_id

_DIGITS = 8


def tag(owner: str) -> str:
    """Return what the ids of an owner's batches end with."""
    return sha256(f"imagefleet owner {owner}".encode()).hexdigest()[:_DIGITS]


def new_batch(owner: str | None) -> str:
    """Return the id of a new batch, of nobody in particular where there are no keys."""
    batch = new_batch_id()
    return batch if owner is None else batch[:-_DIGITS] + tag(owner)


def may_see(owner: str | None, batch: str) -> bool:
    """Whether a batch is the owner's; where there are no keys, everything is everybody's."""
    return owner is None or batch.endswith(tag(owner))
