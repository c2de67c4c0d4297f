"""Machines of images/ami: real systemd and cloud-init, a worker's own user data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

import docker
import pytest

import docker_engine
import machine
from machine import Machine

# One process, as each boot wants a core; and each image is built once.
pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("machine")]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """The engine, with what stands in for the worker's image."""
    with closing(docker_engine.require_engine()) as client:
        machine.build_worker(client)
        yield client


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient) -> Mapping[str, str]:
    """The images that machines are launched from."""
    return {target: machine.build(target) for target in ("plain", "baked")}


@pytest.fixture(scope="module")
def baked(engine: docker.DockerClient, images: Mapping[str, str]) -> Iterator[Machine]:
    """A machine whose worker is at work."""
    with machine.launched(engine, images["baked"], machine.user_data()) as launched:
        launched.wait_for_worker()
        yield launched


def test_a_worker_runs_as_user_data_say(baked: Machine) -> None:
    worker = baked.wait_for_worker()

    host = worker.attrs["HostConfig"]
    assert host["NetworkMode"] == f"container:{baked.container.id}"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    told = dict(each.split("=", 1) for each in worker.attrs["Config"]["Env"])
    assert told["IMAGEFLEET_WORKER_ID"] == machine.INSTANCE
    assert told["IMAGEFLEET_TARGET_S"] == "5"  # of the settings
    assert told["AWS_DEFAULT_REGION"] == "eu-central-1"


def test_cloud_init_is_the_real_one_and_content(baked: Machine) -> None:
    status = baked.runs(f"timeout {machine.BOOTED_S:g} cloud-init status --wait --long")

    assert "status: done" in status
    assert "errors: []" in status
    assert baked.runs("cloud-init query platform").strip() == "ec2"
    assert (
        baked.runs(f"timeout {machine.BOOTED_S:g} systemctl is-system-running --wait").strip()
        == "running"
    )


def test_user_data_fits_cloud_inits_schema(baked: Machine) -> None:
    said = baked.runs("cloud-init schema --system")

    assert "Valid schema user-data" in said, said


def test_a_baked_machine_installs_nothing(baked: Machine) -> None:
    assert baked.runs("ls /var/lib/apt/lists /var/log/apt").split() == [
        "/var/lib/apt/lists:",
        "/var/log/apt:",
    ]


def test_provisioning_again_changes_nothing(baked: Machine) -> None:
    said = baked.runs("/usr/local/lib/imagefleet/provision --keep-identity 2>&1").splitlines()

    assert said == ["provision: everything is installed", "provision: done"]
    assert baked.runs("cat /var/lib/cloud/data/instance-id").strip() == machine.INSTANCE


def test_provisioning_pulls_the_workers_image_where_that_is_asked_for(
    baked: Machine, engine: docker.DockerClient
) -> None:
    with machine.registry_with_worker(engine) as image:
        assert not engine.images.list(name=image)

        said = baked.runs(
            f"/usr/local/lib/imagefleet/provision --keep-identity --image {image} 2>&1"
        ).splitlines()

        assert said[1] == f"provision: pulling {image}"
        assert said[-1] == "provision: done"
        # and it is the worker's, which a worker's service finds without a pull
        assert engine.images.get(image).id == engine.images.get(machine.WORKER_IMAGE).id
        assert "[]" not in baked.runs(f"docker image inspect {image}")


def test_provisioning_fails_with_an_image_that_can_not_be_had(baked: Machine) -> None:
    said = baked.runs(
        "/usr/local/lib/imagefleet/provision --keep-identity --image localhost:9/x:1 2>&1;"
        " echo status $?"
    )

    assert "provision: pulling localhost:9/x:1" in said
    assert "done" not in said
    assert said.splitlines()[-1] != "status 0"


def test_no_token_of_a_registry_stays_in_a_machine_image(baked: Machine) -> None:
    # given a token of before, and what tells whether a pull leaves another one
    baked.runs("mkdir -p ~root/.ecr ~root/programs && touch ~root/.ecr/cache.json")
    docker = '#!/bin/sh\necho "cache disabled: $AWS_ECR_DISABLE_CACHE"\n'
    baked.runs(f"printf '{docker}' >~root/programs/docker; chmod +x ~root/programs/docker")

    said = baked.runs(
        "PATH=~root/programs:$PATH; /usr/local/lib/imagefleet/provision --keep-identity --image x:1"
    )

    assert "cache disabled: true" in said
    assert ".ecr" not in baked.runs("ls -A ~root").split()


def test_no_timer_updates_a_machine_at_work(baked: Machine) -> None:
    waiting = baked.runs("systemctl list-units --type=timer --state=active --plain --no-legend")

    assert "imagefleet-watchdog.timer" in waiting
    assert "apt-daily" not in waiting
    # not even until user data are read: a first boot enables what is only disabled
    assert baked.runs("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer").split() == [
        "masked",
        "masked",
    ]


def test_a_machine_sees_no_containers_but_its_own(
    baked: Machine, engine: docker.DockerClient
) -> None:
    worker = baked.wait_for_worker()

    assert len(engine.containers.list()) > 1
    assert worker.id
    assert baked.runs("docker ps --quiet --no-trunc").split() == [worker.id]
    assert baked.runs("docker ps --quiet --no-trunc --filter name=^worker$").split() == [worker.id]


def test_a_machine_that_is_stopped_lets_its_worker_drain_and_starts_again(baked: Machine) -> None:
    # when it is stopped, the worker is first
    worker = baked.wait_for_worker()
    baked.container.stop(timeout=90)
    assert baked.wait_for_end() == 0
    worker.reload()
    assert worker.status == "exited"
    assert b"drained" in worker.logs()

    # and started again, it works again, without a first boot's work
    baked.container.start()
    again = baked.wait_for_worker()
    assert again.id != worker.id
    assert baked.runs("ls /var/lib/cloud/instances").split() == [machine.INSTANCE]


def test_a_machine_ends_with_its_worker(
    engine: docker.DockerClient, images: Mapping[str, str]
) -> None:
    with machine.launched(engine, images["baked"], machine.user_data()) as launched:
        launched.wait_for_worker().exec_run(["touch", "/tmp/over"])

        assert launched.wait_for_end() == 0
        assert "Powering off" in launched.console()


def test_a_worker_that_fails_is_started_again_and_ends_its_machine_the_third_time(
    engine: docker.DockerClient, images: Mapping[str, str]
) -> None:
    text = machine.user_data({"RestartSec=5": "RestartSec=100ms"})
    with machine.launched(engine, images["baked"], text) as launched:
        # given two that were killed, as by a lack of memory
        worker = launched.wait_for_worker()
        for _ in range(2):
            worker.kill()
            worker = launched.wait_for_worker(after=worker)

        worker.kill()

        assert launched.wait_for_end() == 0
        assert "Powering off" in launched.console()


def test_a_machine_on_which_no_worker_comes_up_ends_itself(
    engine: docker.DockerClient, images: Mapping[str, str]
) -> None:
    # given a worker's service that hangs, and a watchdog that waits for seconds only
    text = machine.user_data(
        {
            "ExecStart=/usr/local/sbin/imagefleet-worker": "ExecStart=/bin/sleep infinity",
            "OnBootSec=10min": "OnBootSec=1s",
            "sleep 20": "sleep 0.1",
        }
    )
    with machine.launched(engine, images["baked"], text) as launched:
        assert launched.wait_for_end() == 0
        assert launched.worker() is None


def test_a_plain_machine_installs_what_it_lacks(
    engine: docker.DockerClient, images: Mapping[str, str]
) -> None:
    with machine.launched(engine, images["plain"], machine.user_data()) as launched:
        launched.wait_for_worker()

        packages = (machine.ROOT / "images/ami/packages").read_text().splitlines()[-1].split()
        there = launched.runs(
            f"dpkg-query --show --showformat '${{Package}} ' {' '.join(packages)}"
        )
        assert set(there.split()) == set(packages)


def test_the_web_hosts_user_data_boot_a_machine(
    engine: docker.DockerClient, images: Mapping[str, str]
) -> None:
    # given the web host's own, of which nothing is installed, and nothing started but the boot
    text = machine.user_data({"apt-get": "true", "--now, ": ""}, template="WebHostTemplate")
    with machine.launched(engine, images["plain"], text) as launched:
        launched.wait_for_boot()

        # then cloud-init is content with them
        status = launched.runs("cloud-init status --long")
        assert "status: done" in status
        assert "errors: []" in status
        assert "Valid schema user-data" in launched.runs("cloud-init schema --system 2>&1")
        # and so are systemd and the shell with what they have written
        units = launched.runs("cd /etc/systemd/system && echo imagefleet*").split()
        assert len(units) == 7
        assert launched.runs(f"systemd-analyze verify {' '.join(units)} 2>&1") == ""
        scripts = "/usr/local/sbin/imagefleet-*"
        assert launched.runs(f"for each in {scripts}; do sh -n $each 2>&1; done") == ""
        enabled = launched.runs("systemctl list-unit-files --state=enabled imagefleet*")
        assert {line.split()[0] for line in enabled.splitlines() if "imagefleet" in line} == {
            "imagefleet.service",
            *(each for each in units if each.endswith(".timer")),
        }
