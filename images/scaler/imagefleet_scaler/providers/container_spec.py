"""What a worker's container is like, and the labels it is found by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FLEET_LABEL = "imagefleet.fleet"
NETWORK_LABEL = "imagefleet.network"
WORKER_LABEL = "imagefleet.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What every worker's container is like.

    Attributes:
        fleet: the prefix of all names; with `network` it tells whose containers these are.
        network: where the workers find the queues and the store.
        environment: all of a worker's variables but its id.
        memory_mb: 0 for no limit; `cpus` likewise.
        compose_project: whose `docker compose down` removes the containers; empty for nobody's.
    """

    image: str
    fleet: str
    network: str
    environment: Mapping[str, str]
    memory_mb: int = 0
    cpus: float = 0
    compose_project: str = ""
    command: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """What marks a container as one of this fleet."""
        return {FLEET_LABEL: self.fleet, NETWORK_LABEL: self.network}

    @property
    def compose_labels(self) -> dict[str, str]:
        """What makes `docker compose` count a container to its service `worker`.

        Compose overlooks containers without a config hash, leaves one-off containers alone on
        `down`, and warns about those without a number; the values of hash and number are free.
        """
        if not self.compose_project:
            return {}
        return {
            "com.docker.compose.project": self.compose_project,
            "com.docker.compose.service": "worker",
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.config-hash": "started-by-the-scaler",
            "com.docker.compose.container-number": "1",
        }
