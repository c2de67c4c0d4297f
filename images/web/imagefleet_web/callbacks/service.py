"""The parts that callbacks take in one process."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from imagefleet_core.store import Store
from imagefleet_web.callbacks.addresses import Addresses, parse_networks
from imagefleet_web.callbacks.delivery import Delivery
from imagefleet_web.callbacks.keeper import Keeper
from imagefleet_web.callbacks.lanes import Lanes
from imagefleet_web.callbacks.note import Notes
from imagefleet_web.callbacks.secrets import Secrets
from imagefleet_web.callbacks.sender import Sender
from imagefleet_web.settings import WebSettings
from imagefleet_web.telling.hub import Hub
from imagefleet_web.telling.results import Results


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What may be called, with which secrets, and who sees to it."""

    addresses: Addresses
    secrets: Secrets
    keeper: Keeper


def build(
    settings: WebSettings, store: Store, pool: Executor, hub: Hub, results: Results, process: str
) -> Callbacks | None:
    """Put the parts together, None where callbacks are off; makes no call and starts no thread.

    Raises:
        SecretsError: the file of secrets can't be used.
        NetworksError: the setting that names networks can't be read.
    """
    addresses = Addresses(parse_networks(settings.callback_networks))
    if not settings.callback_secrets_file:
        return None
    secrets = Secrets(Path(settings.callback_secrets_file))
    keeper = Keeper(
        Notes(store, pool),
        results,
        Delivery(results, secrets, Sender(addresses)),
        Lanes(settings.callback_threads),
        holder=process,
        hold_s=settings.claim_s,
        most_of_one=settings.max_callbacks,
    )
    hub.attend(keeper.hear)
    return Callbacks(addresses, secrets, keeper)
