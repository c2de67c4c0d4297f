"""The whole system as containers over LocalStack, with real photographs."""

from __future__ import annotations

import pytest
import requests
from docker.models.containers import Container

import laptop as laptop_system
from client import state, upload
from laptop import Laptop
from system import SAMPLES, labels, photographs, wait_for

pytestmark = pytest.mark.docker

# Most takes a second or two; four workers that begin at once on two cores others use, a minute.
SOON_S = 240


def test_a_photograph_of_a_cat_is_a_cat(laptop: Laptop) -> None:
    with (SAMPLES / "chelsea.jpg").open("rb") as file:
        answer = requests.post(laptop.url, files={"file": file}, timeout=60)

    assert answer.status_code == 200
    assert answer.text.strip() == labels()["chelsea.jpg"]


def test_a_hundred_photographs_go_from_zero_workers_to_some_and_back(laptop: Laptop) -> None:
    # given a system at rest
    wait_for(lambda: not laptop.service("worker"), SOON_S)

    # when a hundred are uploaded at once
    files = photographs(100)
    batch = upload(laptop.url, files)["batch"]
    wait_for(lambda: laptop.service("worker"), SOON_S)
    wait_for(lambda: state(laptop.url, batch)["pending"] == 0, SOON_S)

    # then each has its own result, the right one, and it lies in the results bucket
    jobs, expected = state(laptop.url, batch)["jobs"], labels()
    assert [job["name"] for job in jobs] == [path.name for path in files]
    assert [job["label"] for job in jobs] == [expected[path.name] for path in files]
    stored = laptop.aws().client("s3").list_objects_v2(Bucket="imagefleet-results", Prefix=batch)
    assert stored["KeyCount"] == 100

    # and the fleet is back at zero, with no message left
    wait_for(lambda: not laptop.service("worker"), SOON_S)
    sqs = laptop.aws().client("sqs")
    for queue in ("imagefleet-requests", "imagefleet-requests-dead"):
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert counts["ApproximateNumberOfMessages"] == "0", queue
        assert counts["ApproximateNumberOfMessagesNotVisible"] == "0", queue


def test_no_image_is_lost_when_a_worker_is_killed(laptop: Laptop) -> None:
    batches = [upload(laptop.url, photographs(100))["batch"] for _ in range(4)]

    def done() -> int:
        return sum(state(laptop.url, batch)["done"] for batch in batches)

    # when a worker dies with images in its hands
    wait_for(lambda: done() >= 10 and laptop.service("worker"), SOON_S)
    laptop.service("worker")[0].kill("SIGKILL")
    before = done()

    # then they are done by others once they are visible again
    wait_for(lambda: done() == 400, SOON_S)
    assert before < 400
    expected = labels()
    for batch in batches:
        jobs = state(laptop.url, batch)["jobs"]
        assert [job["label"] for job in jobs] == [expected[job["name"]] for job in jobs]


def test_every_container_is_healthy_and_can_do_little(laptop: Laptop) -> None:
    for service in ("web", "scaler"):
        (container,) = laptop.service(service)
        wait_for(lambda each=container: _health(each) == "healthy", SOON_S)  # type: ignore[misc]
        host = container.attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"] > 0


def test_nothing_is_published_beyond_this_machine(laptop: Laptop) -> None:
    bound = [
        binding["HostIp"]
        for container in laptop.containers()
        for bindings in container.attrs["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]

    # the web, and the emulator for these tests
    assert bound == ["127.0.0.1"] * 2


def test_without_the_tests_override_only_the_web_is_published() -> None:
    laptop_system.require_compose().close()

    services = laptop_system.resolved()["services"]

    published = {
        name: [(port["host_ip"], port["published"]) for port in service["ports"]]
        for name, service in services.items()
        if "ports" in service
    }
    assert published == {"web": [("127.0.0.1", "8080")]}


def test_compose_needs_no_settings_of_the_user() -> None:
    laptop_system.require_compose().close()

    checked = laptop_system.compose("config", "--quiet", files=("compose.yaml",))

    assert checked.stderr == ""


@pytest.mark.usefixtures("images")
def test_down_leaves_nothing_behind_after_the_scaler_was_killed() -> None:
    with laptop_system.running() as doomed:
        # given workers whose scaler is gone
        upload(doomed.url, photographs(100))
        wait_for(lambda: doomed.service("worker"), SOON_S)
        doomed.service("scaler")[0].kill("SIGKILL")
        assert doomed.service("worker")

        doomed.down()

        assert doomed.containers() == []
        assert doomed.engine.networks.list(filters={"name": doomed.project}) == []


def _health(container: Container) -> str:
    container.reload()
    health: str = container.attrs["State"]["Health"]["Status"]
    return health
