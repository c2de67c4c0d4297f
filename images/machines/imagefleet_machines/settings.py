"""What the machines' keeper can be told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagefleet_core.settings import Settings, SettingsError, setting


@dataclass(frozen=True, kw_only=True)
class MachinesSettings(Settings):
    """The settings of the machines on a laptop."""

    machine_images: str = setting(
        "", "which container image an AMI is, as ami-0123abcd=image:tag with commas between"
    )
    machine_network: str = setting("bridge", "the network on which machines reach AWS")
    metadata_network: str = setting(
        "", "the network 169.254.169.0/24 on which machines reach their metadata"
    )
    metadata_host: str = setting(
        "169.254.169.254", "the address at which metadata is served to machines"
    )
    metadata_port: int = setting(
        80, "the port at which metadata is served to machines", at_least=1, at_most=65535
    )
    worker_memory_mb: int = setting(
        1024, "MiB that a machine's worker may use, in place of all that there are", at_least=256
    )
    machine_stop_s: int = setting(
        90, "seconds a machine may take to shut down", at_least=1, at_most=600
    )
    docker_compose_project: str = setting(
        "imagefleet", "the compose project whose `down` removes the machines"
    )
    docker_socket: str = setting(
        "/var/run/docker.sock", "the engine's socket on the host, which machines get to use"
    )
    registry: str = setting(
        "127.0.0.1:5000", "the registry that stands in for ECR, as the engine reaches it"
    )
    launch_template: str = setting("", "the launch template, <prefix>-worker unless given")
    look_s: float = setting(0.5, "seconds between two looks at EC2", at_least=0.05, at_most=60)
    spot_notice_s: float = setting(
        120, "seconds from the notice to an interruption of a spot instance", at_least=0
    )

    def __post_init__(self) -> None:
        """Check what a pattern of one variable can't say."""
        pairs = [pair.partition("=") for pair in _listed(self.machine_images)]
        if not all(re.fullmatch("ami-[0-9a-f]{8,17}", ami) and image for ami, _, image in pairs):
            raise SettingsError(
                [
                    f"IMAGEFLEET_MACHINE_IMAGES is {self.machine_images[:200]!r}: expected pairs "
                    "like ami-0123456789abcdef0=imagefleet-machine:latest"
                ]
            )

    @property
    def images(self) -> dict[str, str]:
        """The container image of each AMI."""
        pairs = [pair.partition("=") for pair in _listed(self.machine_images)]
        return {ami: image for ami, _, image in pairs}

    @property
    def template(self) -> str:
        """The name of the workers' launch template."""
        return self.launch_template or f"{self.prefix}-worker"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
