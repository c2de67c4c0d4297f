"""What a machine's container is like, and the labels that it is found by.

What images/ami/Dockerfile asks of whoever runs a machine stands at its head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The instance that a container is.
MACHINE_LABEL = "imagefleet.instance"
# The machine that a container was started in; set by that machine's own `docker`.
INSIDE_LABEL = "imagefleet.machine"
COMPOSE_PROJECT = "com.docker.compose.project"
ENGINE_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """What every machine is like.

    Attributes:
        network: on which it reaches AWS and, for its packages, Debian.
        metadata_network: on which it reaches its metadata; empty for none.
        compose_project: whose `docker compose down` removes it.
        docker_socket: the engine's socket on the host.
        registry: where the engine pulls what ECR would have.
        worker_memory_mb: that its worker may use, in place of all that the laptop has.
    """

    network: str
    compose_project: str
    metadata_network: str = ""
    docker_socket: str = ENGINE_SOCKET
    registry: str = ""
    worker_memory_mb: int = 1024

    def options(self, instance: str) -> dict[str, Any]:
        """Return what the engine is told when it makes an instance's container."""
        return {
            "name": instance,
            "hostname": instance,
            "labels": {MACHINE_LABEL: instance, **self._compose_labels()},
            "environment": {
                "IMAGEFLEET_MACHINE_CONTAINER": instance,
                "IMAGEFLEET_MACHINE_COMPOSE_PROJECT": self.compose_project,
                "IMAGEFLEET_MACHINE_REGISTRY": self.registry,
                "IMAGEFLEET_MACHINE_MEMORY": f"{self.worker_memory_mb}m",
            },
            "network": self.network,
            "volumes": {self.docker_socket: {"bind": ENGINE_SOCKET, "mode": "rw"}},
            "tty": True,
            # For systemd's mounts, which AppArmor forbids by default.
            "cap_add": ["SYS_ADMIN"],
            "security_opt": ["apparmor=unconfined"],
            "tmpfs": {"/run": "", "/run/lock": "", "/tmp": ""},  # noqa: S108  # a mount
        }

    def _compose_labels(self) -> dict[str, str]:
        """Return what makes compose count it to its service `machine`, and take it down.

        Compose overlooks containers without a config hash, leaves one-off containers alone on
        `down`, and warns about those without a number; the values of hash and number are free.
        """
        return {
            COMPOSE_PROJECT: self.compose_project,
            "com.docker.compose.service": "machine",
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.config-hash": "booted-by-machines",
            "com.docker.compose.container-number": "1",
        }
