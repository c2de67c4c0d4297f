"""Makes the provider that the settings ask for; nothing else knows which one it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from imagefleet_scaler.providers.base import IDLE_EXIT, METRICS_PORT, Provider
from imagefleet_scaler.providers.journal import Journal, MemoryJournal
from imagefleet_scaler.settings import ScalerSettings

# The next turn tries again anyway; the second try is for a connection that was closed meanwhile.
EC2_ATTEMPTS = 2


def choose_provider(
    settings: ScalerSettings,
    environ: Mapping[str, str],
    stopping: Callable[[], bool],
    journal: Journal | None = None,
) -> Provider:
    """Return the provider; raises `ProviderError` if it can't work here at all.

    Args:
        settings: the scaler's own.
        environ: the scaler's environment, of which workers get what they need.
        stopping: whether the scaler is about to end.
        journal: where launches of instances are noted for the next scaler; nowhere unless given.
    """
    if settings.provider == "ec2":
        return _ec2(settings, journal or MemoryJournal())
    workers = {
        **environ,
        IDLE_EXIT: f"{settings.worker_idle_exit_s:g}",
        METRICS_PORT: f"{settings.worker_metrics_port}",
    }
    # Each provider is imported only where it is used: the Docker SDK alone takes 0.2 s.
    if settings.provider == "docker":
        from imagefleet_scaler.providers.container_spec import ContainerSpec
        from imagefleet_scaler.providers.docker import DockerProvider
        from imagefleet_scaler.providers.engine import connect

        spec = ContainerSpec(
            image=settings.worker_image,
            fleet=settings.prefix,
            network=settings.docker_network,
            environment=_ours(workers),
            memory_mb=settings.worker_memory_mb,
            cpus=settings.worker_cpus,
            compose_project=settings.docker_compose_project,
        )
        return DockerProvider(
            connect(environ),
            spec,
            retire_grace_s=settings.retire_grace_s,
            stopping=stopping,
            pull=settings.worker_pull,
        )

    from imagefleet_scaler.providers.process import ProcessProvider, fleet_tag

    return ProcessProvider(
        fleet=fleet_tag(settings.prefix, environ.get("AWS_ENDPOINT_URL", "")),
        command=[sys.executable, "-m", "imagefleet_worker"],
        environment={**workers, METRICS_PORT: "0"},  # they would all have the same one
        retire_grace_s=settings.retire_grace_s,
    )


def _ec2(settings: ScalerSettings, journal: Journal) -> Provider:
    """Return the provider whose workers get what they need from the launch template."""
    from imagefleet_core.aws import Aws
    from imagefleet_scaler.providers.ec2.provider import Ec2Provider
    from imagefleet_scaler.providers.ec2.spec import Ec2Spec

    spec = Ec2Spec(
        fleet=settings.prefix,
        template=settings.launch_template or f"{settings.prefix}-worker",
        types=settings.listed_instance_types,
        subnets=settings.listed_subnets,
        spot_percent=settings.spot_percent,
        warm_pool=settings.warm_pool,
        image_id=settings.image_id,
        by_run=settings.ec2_launch == "run",
    )
    return Ec2Provider(
        Aws(attempts=EC2_ATTEMPTS).ec2(),
        spec,
        journal=journal,
        retire_grace_s=settings.retire_grace_s,
    )


def _ours(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that mean something to a worker elsewhere: AWS's and our own."""
    return {
        name: value for name, value in environ.items() if name.startswith(("AWS_", "IMAGEFLEET_"))
    }
