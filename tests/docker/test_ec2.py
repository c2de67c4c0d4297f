"""EC2 on a laptop: the scaler's real provider, over instances that boot, work, and get lost.

In the order of a fleet's life, as a launch takes its time: each test takes over what the one before
left running.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

import ec2_laptop
from client import state, upload
from ec2_laptop import Ec2Laptop
from laptop import SERVICE_LABEL, TAG, compose, require_compose
from system import labels, photographs, wait_for

pytestmark = pytest.mark.docker

# A launch, the boot of systemd, cloud-init, and the worker, on two cores that others use as well.
BOOT_S = 240
# All else that takes a second or two where nobody else does anything.
SOON_S = 120
# No idle instance leaves between two tests because its minute is over.
BILLED_S = "900"
NEXT = "test-next"
# What has no worker, and ends at once.
POWERS_OFF = """\
#cloud-config
runcmd:
  - [systemctl, poweroff]
"""
LAST_LINES = 60
# What compose itself started, machines and their workers apart.
SERVICES = {"ministack", "registry", "push", "setup", "machines", "web", "scaler"}


@pytest.fixture(scope="module")
def laptop() -> Iterator[Ec2Laptop]:
    """One system for all of these tests, which find it as the one before left it."""
    with ec2_laptop.running(
        IMAGEFLEET_MAX_WORKERS="2",
        IMAGEFLEET_EC2_LAUNCH="run",
        IMAGEFLEET_BILLED_S=BILLED_S,
        IMAGEFLEET_WORKER_SETTINGS="IMAGEFLEET_VISIBILITY_S=5",
    ) as started:
        yield started


@pytest.fixture(autouse=True)
def logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what those said who launch and boot, for the report of a test that fails."""
    yield
    started = request.node.funcargs.get("laptop")
    for service in ("scaler", "machines") if started else ():
        said = started.said(service).splitlines()[-LAST_LINES:]
        sys.stdout.write("\n".join([f"{service}:", *said, ""]))


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


def test_boots_that_fail_by_themselves_are_told_and_repeated_until_that_is_mended(
    laptop: Ec2Laptop,
) -> None:
    # given nobody at work, and a launch template whose instances end as soon as they are up
    laptop.lose_all()
    wait_for(lambda: set(laptop.records().values()) <= {"terminated"}, SOON_S)
    with laptop.booting(POWERS_OFF):
        laptop.again("scaler")  # which else looks at the template once a minute
        # when there is work
        batch = upload(laptop.url, photographs(20))["batch"]

        # then the scaler tries it a few times, and says why it waits
        wait_for(
            lambda: "launches came to nothing: the next is tried in" in laptop.said("scaler"),
            2 * BOOT_S,
        )
        broken = ended_by_themselves(laptop)
        assert len(broken) >= 2
        assert state(laptop.url, batch)["pending"] == 20

    # and when the template is mended, the images are answered, and nothing is left of those
    laptop.again("scaler")
    finish(laptop, batch)
    wait_for(lambda: not broken & {each.name for each in laptop.containers()}, SOON_S)
    # all of it with RunInstances, as the fixture has it until the upgrade
    assert laptop.fleets() == 0


def test_an_upgrade_in_the_middle_of_work_loses_no_image(laptop: Ec2Laptop) -> None:
    # given images that instances work on, and a release of which the scaler has not heard
    finish(laptop, upload(laptop.url, photographs(5))["batch"])
    laptop.compose("stop", "scaler")
    laptop.release(NEXT)
    with laptop.frozen():
        batches = [upload(laptop.url, photographs(100))["batch"] for _ in range(4)]
    wait_for(lambda: done(laptop, batches) >= 10, BOOT_S)
    assert laptop.versions() == {TAG}
    before = done(laptop, batches)

    # when web tier and scaler are replaced, which has the scaler replace the workers
    laptop.again("web", "scaler", IMAGEFLEET_EC2_LAUNCH="fleet")

    # then every image has its label
    for batch in batches:
        finish(laptop, batch)
    assert before < 400
    # and in the end all that work are new ones
    wait_for(lambda: TAG not in laptop.versions(), BOOT_S)
    finish(laptop, upload(laptop.url, photographs(5))["batch"])
    assert laptop.versions() == {NEXT}
    assert laptop.fleets() > 0


def test_an_instance_leaves_in_time_once_it_has_a_spot_notice(laptop: Ec2Laptop) -> None:
    # given an instance at work
    batch = upload(laptop.url, photographs(5))["batch"]
    finish(laptop, batch)
    instance = laptop.working()[0]

    # when it is told that it will be interrupted
    noticed = time.monotonic()
    laptop.compose(
        "exec", "-T", "machines", "python", "-m", "imagefleet_machines",
        *("interrupt", instance, "--after", str(SOON_S)),
    )  # fmt: skip

    # then it ends by itself before it is, and in good order
    wait_for(lambda: laptop.records().get(instance, "terminated") == "terminated", SOON_S)
    assert time.monotonic() - noticed < SOON_S
    assert instance in ended_by_themselves(laptop)


def test_an_instance_that_is_lost_as_it_boots_is_replaced(laptop: Ec2Laptop) -> None:
    # given nobody at work
    laptop.lose_all()

    # when the first that is launched breaks down before its worker has begun
    batch = upload(laptop.url, photographs(20))["batch"]
    wait_for(lambda: laptop.machines(), BOOT_S)
    broken = next(iter(laptop.machines()))
    laptop.machines()[broken].kill("SIGKILL")

    # then others answer
    finish(laptop, batch)
    assert laptop.records().get(broken, "terminated") == "terminated"
    assert broken not in laptop.machines("exited")


def test_nothing_is_lost_with_an_instance_that_is_lost_at_work(laptop: Ec2Laptop) -> None:
    with laptop.frozen():
        batches = [upload(laptop.url, photographs(100))["batch"] for _ in range(3)]

    # when one goes down with images in hand
    wait_for(lambda: done(laptop, batches) >= 10, BOOT_S)
    lost = laptop.working()[0]
    laptop.machines()[lost].kill("SIGKILL")
    before = done(laptop, batches)

    # then others do them, and neither its container nor its worker's is left
    for batch in batches:
        finish(laptop, batch)
    assert before < 300
    wait_for(lambda: lost not in laptop.records() or laptop.records()[lost] == "terminated", SOON_S)
    wait_for(
        lambda: not [each for each in laptop.containers() if lost in (each.name or "")], SOON_S
    )


def test_a_stopped_instance_starts_again_as_it_was(laptop: Ec2Laptop) -> None:
    # given a fleet at rest, whose time is taken for paid: nobody runs, and one instance is kept
    laptop.again("scaler", IMAGEFLEET_WARM_POOL="1", IMAGEFLEET_BILLED_S="1")
    wait_for(lambda: sorted(set(laptop.records().values()) - {"terminated"}) == ["stopped"], SOON_S)
    wait_for(lambda: not laptop.machines() and len(laptop.machines("exited")) == 1, SOON_S)
    (warm,) = laptop.machines("exited")
    assert laptop.records()[warm] == "stopped"

    # when there is work
    batch = upload(laptop.url, photographs(100))["batch"]

    # then that one does it, and cloud-init left alone what it did at the instance's first boot
    wait_for(lambda: warm in laptop.working(), BOOT_S)
    with laptop.frozen():  # so that it is not at rest again before anybody has looked
        first = laptop.inside(
            warm, "stat", "--format=%Y", "/var/lib/cloud/instance/sem/config_runcmd"
        )
        started = laptop.machines()[warm].attrs["State"]["StartedAt"]
    assert float(first) < datetime.fromisoformat(started[:19] + "+00:00").timestamp()
    finish(laptop, batch)


def test_after_the_last_image_every_instance_is_terminated_and_nothing_is_left_of_it(
    laptop: Ec2Laptop,
) -> None:
    # given an instance that has worked, or is kept in the warm pool
    assert {"running", "stopped"} & set(laptop.records().values())

    # when nothing is left to do, and none is to be kept
    laptop.again("scaler", IMAGEFLEET_WARM_POOL="0")

    # then none is
    wait_for(lambda: set(laptop.records().values()) <= {"terminated"}, SOON_S)
    wait_for(lambda: services(laptop) == SERVICES, SOON_S)


def test_down_leaves_nothing_behind_while_machines_boot(laptop: Ec2Laptop) -> None:
    # given machines that have just begun to boot, as those at work were lost
    lost = laptop.machines()
    laptop.lose_all()
    upload(laptop.url, photographs(100))
    wait_for(lambda: laptop.machines().keys() - lost.keys(), SOON_S)

    ec2_laptop.down(laptop)

    # a worker that had just been made drains, and is gone with that
    wait_for(lambda: laptop.containers() == [], SOON_S)
    assert laptop.engine.networks.list(filters={"name": laptop.project}) == []


def ended_by_themselves(laptop: Ec2Laptop) -> set[str]:
    """Return the instances that powered off in good order, as far as that was seen."""
    return set(re.findall(r"(i-\w+) why='it ended by itself, with status 0'", laptop.said()))


def done(laptop: Ec2Laptop, batches: list[str]) -> int:
    """Return how many images of some batches are answered."""
    return sum(state(laptop.url, batch)["done"] for batch in batches)


def services(laptop: Ec2Laptop) -> set[str]:
    """Return whose containers are there, ended ones too."""
    return {each.labels[SERVICE_LABEL] for each in laptop.containers()}


def finish(laptop: Ec2Laptop, batch: str) -> None:
    """Wait for a batch and look whether each photograph got its label."""
    wait_for(lambda: state(laptop.url, batch)["pending"] == 0, BOOT_S)
    expected = labels()
    jobs = state(laptop.url, batch)["jobs"]
    assert [job["label"] for job in jobs] == [expected[job["name"]] for job in jobs]
