"""EC2 on a laptop: the scaler's real provider, over instances that boot, work, and get lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

import ec2_laptop
from client import state, upload
from ec2_laptop import Ec2Laptop
from laptop import compose, require_compose
from system import labels, photographs, wait_for

pytestmark = pytest.mark.docker

# A launch, the boot of systemd, cloud-init, and the worker, on two cores that others use as well.
BOOT_S = 90


@pytest.fixture(scope="module")
def laptop() -> Iterator[Ec2Laptop]:
    """One system for all of these tests, which find it as the one before left it."""
    with ec2_laptop.running(
        IMAGEFLEET_MAX_WORKERS="2",
        IMAGEFLEET_WARM_POOL="1",
        IMAGEFLEET_WORKER_SETTINGS="IMAGEFLEET_VISIBILITY_S=5",
    ) as started:
        yield started


def test_compose_needs_no_settings_and_publishes_only_on_this_machine() -> None:
    require_compose().close()

    said = compose("config", "--format", "json", files=("compose/ec2.yaml",))

    services = json.loads(said.stdout)["services"]
    published = {
        name: [(port["host_ip"], port["published"]) for port in service["ports"]]
        for name, service in services.items()
        if "ports" in service
    }
    assert published == {"web": [("127.0.0.1", "8080")], "registry": [("127.0.0.1", "5000")]}
    assert said.stderr == ""


def test_photographs_are_answered_by_instances_that_are_launched_for_them(
    laptop: Ec2Laptop,
) -> None:
    batch = upload(laptop.url, photographs(50))["batch"]

    finish(laptop, batch)

    # the instances that EC2 knows are the machines that run
    launched = laptop.records()
    assert set(laptop.machines()) == {each for each, what in launched.items() if what == "running"}
    # and their workers had the credentials of their role, and none that anybody gave them
    some = laptop.working()[0]
    variables = laptop.engine.containers.get(f"{some}-worker").attrs["Config"]["Env"]
    assert not [each for each in variables if each.startswith("AWS_SECRET")]


def test_an_instance_leaves_in_time_once_it_has_a_spot_notice(laptop: Ec2Laptop) -> None:
    # given an instance at work
    batch = upload(laptop.url, photographs(5))["batch"]
    finish(laptop, batch)
    instance = laptop.working()[0]

    # when it is told that it will be interrupted
    noticed = time.monotonic()
    laptop.compose(
        "exec", "-T", "machines", "python", "-m", "imagefleet_machines",
        *("interrupt", instance, "--after", "60"),
    )  # fmt: skip

    # then it ends by itself before it is, and in good order
    wait_for(lambda: laptop.records().get(instance, "terminated") == "terminated", 60)
    assert time.monotonic() - noticed < 60
    assert f"{instance} why='it ended by itself, with status 0'" in laptop.said()


def test_an_instance_that_fails_as_it_boots_is_replaced(laptop: Ec2Laptop) -> None:
    # given nobody at work
    for machine in laptop.machines().values():
        machine.kill("SIGKILL")
    wait_for(lambda: not laptop.machines(), 30)

    # when the first that is launched breaks down before its worker has begun
    batch = upload(laptop.url, photographs(20))["batch"]
    wait_for(lambda: laptop.machines(), 30)
    broken = next(iter(laptop.machines()))
    laptop.machines()[broken].kill("SIGKILL")

    # then others answer
    finish(laptop, batch)
    assert laptop.records().get(broken, "terminated") == "terminated"
    assert broken not in laptop.machines("exited")


def test_nothing_is_lost_with_an_instance_that_is_lost_at_work(laptop: Ec2Laptop) -> None:
    batches = [upload(laptop.url, photographs(100))["batch"] for _ in range(3)]

    def done() -> int:
        return sum(state(laptop.url, batch)["done"] for batch in batches)

    # when one goes down with images in hand
    wait_for(lambda: done() >= 10, BOOT_S)
    lost = laptop.working()[0]
    laptop.machines()[lost].kill("SIGKILL")
    before = done()

    # then others do them, and neither its container nor its worker's is left
    for batch in batches:
        finish(laptop, batch)
    assert before < 300
    wait_for(lambda: lost not in laptop.records() or laptop.records()[lost] == "terminated", 30)
    wait_for(lambda: not [each for each in laptop.containers() if lost in (each.name or "")], 30)


def test_a_stopped_instance_starts_again_as_it_was(laptop: Ec2Laptop) -> None:
    # given a fleet at rest: nobody runs, and one instance is kept
    wait_for(lambda: not laptop.machines(), 150)
    wait_for(lambda: list(laptop.machines("exited")), 30)
    (warm,) = laptop.machines("exited")
    assert laptop.records()[warm] == "stopped"
    assert "running" not in laptop.records().values()

    # when there is work
    batch = upload(laptop.url, photographs(3))["batch"]
    finish(laptop, batch)

    # then that one does it, and cloud-init left alone what it did at the instance's first boot
    assert warm in laptop.working()
    done = laptop.inside(warm, "stat", "--format=%Y", "/var/lib/cloud/instance/sem/config_runcmd")
    started = laptop.machines()[warm].attrs["State"]["StartedAt"]
    assert float(done) < datetime.fromisoformat(started[:19] + "+00:00").timestamp()


def test_down_leaves_nothing_behind_while_machines_boot(laptop: Ec2Laptop) -> None:
    # given machines that have just begun to boot, as those at work were lost
    lost = laptop.machines()
    for machine in lost.values():
        machine.kill("SIGKILL")
    upload(laptop.url, photographs(100))
    wait_for(lambda: laptop.machines().keys() - lost.keys(), 30)

    ec2_laptop.down(laptop)

    # a worker that had just been made drains, and is gone with that
    wait_for(lambda: laptop.containers() == [], 60)
    assert laptop.engine.networks.list(filters={"name": laptop.project}) == []


def finish(laptop: Ec2Laptop, batch: str) -> None:
    """Wait for a batch and look whether each photograph got its label."""
    wait_for(lambda: state(laptop.url, batch)["pending"] == 0, BOOT_S)
    expected = labels()
    jobs = state(laptop.url, batch)["jobs"]
    assert [job["label"] for job in jobs] == [expected[job["name"]] for job in jobs]
