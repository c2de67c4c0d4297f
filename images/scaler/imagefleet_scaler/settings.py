"""What the scaler can be told."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from imagefleet_core.settings import Settings, SettingsError, setting
from imagefleet_scaler.policy import PolicyConfig
from imagefleet_scaler.providers.ec2.prices import usual_price

# Of each provider: the usual seconds from a launch to a worker at work, and the seconds that are
# billed at least. EC2's: docs/evaluation.md.
USUAL = {"process": (1, 0), "docker": (1, 0), "ec2": (40, 60)}
# The age of the lease is told in whole seconds.
SHORTEST_LEASE_S = 5
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_FleetLaunchTemplateConfigRequest.html
MOST_PLACES = 300


@dataclass(frozen=True, kw_only=True)
class ScalerSettings(Settings):
    """The settings of the scaler."""

    provider: str = setting("process", "where workers run", one_of=("process", "docker", "ec2"))
    min_workers: int = setting(0, "workers kept while nothing waits", at_least=0, at_most=1000)
    max_workers: int = setting(20, "most workers there may be", at_least=1, at_most=1000)
    target_s: float = setting(
        10, "seconds in which a backlog should be answered, once workers are up", at_least=0.1
    )
    service_s: float = setting(
        0.1, "seconds of a worker's time an image takes, until measured", at_least=0.001
    )
    worker_slots: int = setting(
        1, "images that one worker works on at once", at_least=1, at_most=1000
    )
    usual_boot_s: float = setting(
        0,
        "seconds from a launch to a worker at work, until measured; 0 for the provider's usual"
        " ones",
        at_least=0,
    )
    scale_in_after_s: float = setting(
        15, "seconds fewer must have been needed before idle workers go", at_least=0
    )
    billed_s: float = setting(
        0,
        "seconds that a worker is billed for at least, for which idle ones stay; 0 for the"
        " provider's usual ones",
        at_least=0,
    )
    counts_lag_s: float = setting(
        60,
        "seconds for which SQS's counts may be wrong; 0 with an emulator, whose are exact",
        at_least=0,
    )
    max_launches_per_minute: int = setting(
        0, "workers launched in a minute at most, 0 for any number", at_least=0
    )
    worker_lifetime_s: float = setting(
        0, "seconds after which a worker is replaced, 0 for never", at_least=0
    )
    max_usd_per_hour: float = setting(
        0, "US dollars an hour that the fleet may cost, 0 for any", at_least=0
    )
    max_usd_per_day: float = setting(
        0, "US dollars a day (UTC) that the fleet may cost, 0 for any", at_least=0
    )
    lease_s: float = setting(
        10,
        "seconds after which another scaler takes over from one that died; 0 if this is the"
        " only one",
        at_least=0,
        at_most=300,
    )
    tick_s: float = setting(2, "seconds between two looks", at_least=0.1, at_most=60)
    boot_s: float = setting(
        120,
        "seconds until a worker's first report is overdue; three usual boots at least",
        at_least=1,
    )
    lost_after_s: float = setting(60, "seconds of silence that make a worker lost", at_least=5)
    retire_grace_s: float = setting(
        60, "seconds a retired worker may take before it is killed", at_least=0
    )
    heartbeat_file: str = setting(
        "", "file touched while all is well, one in the temporary folder unless given"
    )
    metrics_port: int = setting(
        0, "where Prometheus finds the scaler's metrics, 0 for nowhere", at_least=0, at_most=65535
    )
    metrics_host: str = setting(
        "127.0.0.1", "the address to tell metrics at, workers too; 0.0.0.0 inside a container"
    )
    worker_metrics_port: int = setting(
        0,
        "where Prometheus finds each worker's metrics, 0 for nowhere; not for processes",
        at_least=0,
        at_most=65535,
    )
    worker_usd_per_hour: float = setting(
        0,
        "US dollars a worker costs an hour; 0 for no cost to be told, with ec2 for the price of"
        " the types if that is known",
        at_least=0,
        at_most=10_000,
    )
    worker_idle_exit_s: float = setting(
        600, "seconds after which an idle worker ends itself, 0 for never", at_least=0
    )
    worker_image: str = setting("imagefleet-worker:latest", "docker: the workers' image")
    worker_memory_mb: int = setting(
        1024, "docker: MiB a worker may use, 0 for no limit", at_least=0
    )
    worker_cpus: float = setting(0, "docker: CPUs a worker may use, 0 for no limit", at_least=0)
    docker_network: str = setting("bridge", "docker: the network that workers join")
    docker_compose_project: str = setting(
        "", "docker: the compose project whose `down` removes the workers, if any"
    )
    worker_pull: bool = setting(
        False, "docker: whether to pull the workers' image where it is missing"
    )
    launch_template: str = setting("", "ec2: the launch template, <prefix>-worker unless given")
    instance_types: str = setting(
        "",
        "ec2: types of instances with commas between, the preferred ones first; the launch"
        " template's own if empty",
    )
    subnets: str = setting(
        "",
        "ec2: subnets that instances may run in, with commas between; the launch template's own"
        " if empty",
    )
    spot_percent: float = setting(
        0,
        "ec2: how many of a hundred instances are spot instances, if there are any",
        at_least=0,
        at_most=100,
    )
    warm_pool: int = setting(
        0,
        "ec2: instances that are kept stopped, to be there sooner; their disks cost money",
        at_least=0,
        at_most=1000,
    )
    ec2_launch: str = setting(
        "fleet",
        "ec2: what launches instances; CreateFleet, or RunInstances for accounts and emulators"
        " where that is not to be had",
        one_of=("fleet", "run"),
    )
    image_id: str = setting(
        "", "ec2: an AMI in place of the launch template's own", pattern="ami-[0-9a-z]+"
    )

    def __post_init__(self) -> None:
        """Check what two variables must agree on."""
        problems = []
        if self.min_workers > self.max_workers:
            problems.append(
                f"IMAGEFLEET_MIN_WORKERS is {self.min_workers}: expected at most "
                f"IMAGEFLEET_MAX_WORKERS, {self.max_workers}"
            )
        if 0 < self.lease_s < SHORTEST_LEASE_S:
            problems.append(
                f"IMAGEFLEET_LEASE_S is {self.lease_s:g}: expected 0 or at least {SHORTEST_LEASE_S}"
            )
        if (self.max_usd_per_hour or self.max_usd_per_day) and not self.usd_per_hour:
            problems.append(
                "IMAGEFLEET_WORKER_USD_PER_HOUR is not set: a cap on money needs to know what a "
                "worker costs"
            )
        problems += self._problems_of_places()
        if problems:
            raise SettingsError(problems)

    def _problems_of_places(self) -> list[str]:
        problems = []
        types, subnets = self.listed_instance_types, self.listed_subnets
        if not all(re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", each) for each in types):
            problems.append(
                f"IMAGEFLEET_INSTANCE_TYPES is {self.instance_types[:100]!r}: expected types like "
                "c7i.large,c6i.large"
            )
        if not all(re.fullmatch(r"subnet-[0-9a-f]+", each) for each in subnets):
            problems.append(
                f"IMAGEFLEET_SUBNETS is {self.subnets[:100]!r}: expected ids like "
                "subnet-0a1b2c3d,subnet-4e5f6a7b"
            )
        if len(types or ("",)) * len(subnets or ("",)) > MOST_PLACES:
            problems.append(
                f"IMAGEFLEET_INSTANCE_TYPES has {len(types)} and IMAGEFLEET_SUBNETS {len(subnets)}"
                f": expected at most {MOST_PLACES} pairs of them"
            )
        return problems

    @property
    def usd_per_hour(self) -> float:
        """What a worker costs, by default what AWS charges for its type; 0 for no cost to tell."""
        if self.worker_usd_per_hour or self.provider != "ec2":
            return self.worker_usd_per_hour
        return usual_price(self.listed_instance_types)

    @property
    def listed_instance_types(self) -> tuple[str, ...]:
        """The instance types, the preferred ones first."""
        return _listed(self.instance_types)

    @property
    def listed_subnets(self) -> tuple[str, ...]:
        """The subnets that instances may run in."""
        return _listed(self.subnets)

    @property
    def heartbeat(self) -> Path:
        """The heartbeat's file, the same for this process and for its health check."""
        return Path(self.heartbeat_file or Path(tempfile.gettempdir(), "imagefleet-scaler.alive"))

    @property
    def heartbeat_s(self) -> float:
        """How old the heartbeat may be: a few turns, and a slow answer within them."""
        return 30 + 3 * self.tick_s

    @property
    def policy(self) -> PolicyConfig:
        """What the policy needs of these."""
        boot_s, billed_s = USUAL[self.provider]
        return PolicyConfig(
            min_workers=self.min_workers,
            max_workers=self.max_workers,
            target_s=self.target_s,
            service_s=self.service_s,
            boot_s=self.usual_boot_s or boot_s,
            slots=self.worker_slots,
            scale_in_after_s=self.scale_in_after_s,
            counts_lag_s=self.counts_lag_s,
            billed_s=self.billed_s or billed_s,
            launches_a_minute=self.max_launches_per_minute,
            lifetime_s=self.worker_lifetime_s,
            worker_usd_per_hour=self.usd_per_hour,
            max_usd_per_hour=self.max_usd_per_hour,
            max_usd_per_day=self.max_usd_per_day,
        )


def _listed(text: str) -> tuple[str, ...]:
    """Return what stands between commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
