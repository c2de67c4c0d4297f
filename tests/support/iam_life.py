"""A full life of a system, in which each of its parts has the credentials of its own role only.

What processes do by themselves they do here, too; what takes hours or a machine is done for them
with our own code, and what user data and Docker ask for with calls like theirs.
"""

from __future__ import annotations

import base64
import itertools
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from iam_account import AMI, PREFIX, TAG, GuardedAccount, Tier, outputs
from imagefleet_core import keys
from imagefleet_core.jobs import JobId, Request, Result, Status, new_batch_id
from imagefleet_core.sqs import SqsQueues
from imagefleet_scaler.providers.ec2 import tags
from imagefleet_scaler.providers.ec2.provider import Ec2Provider
from imagefleet_scaler.providers.ec2.spec import Ec2Spec
from imagefleet_scaler.providers.journal import MemoryJournal
from imagefleet_web.telling import leftovers
from imagefleet_web.telling.janitor import WORKER_CRASHED
from place import Place
from receiver import Receiver
from system import PHOTOGRAPHS, labels, photographs, wait_for
from web_process import WebProcess

SOON_S = 180
HOST_MARK: list[Any] = [{"Key": "imagefleet:host", "Value": PREFIX}]
EC2 = {"IMAGEFLEET_PROVIDER": "ec2", "IMAGEFLEET_TICK_S": "0.2", "IMAGEFLEET_MAX_WORKERS": "1"}
# More than a worker has done by the time that the last are uploaded, in so many rounds.
MANY, ROUNDS = 240, 3


def live(account: GuardedAccount, folder: Path) -> None:
    """Do all that the system ever does."""
    run_the_system(account, folder)
    plan(account)
    leave_queues(account.tiers["web"])
    for by_run in (False, True):
        scale(account.tiers["scaler"], by_run=by_run)
    be_the_machines(account)


def run_the_system(account: GuardedAccount, folder: Path) -> None:
    """Upload in every way; a scaler launches an instance, and a worker does the work on it."""
    place, tiers = account.place, account.tiers
    secret = folder / "callbacks.txt"
    secret.write_text("*:whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    settings = {
        "IMAGEFLEET_CALLBACK_SECRETS_FILE": str(secret),
        "IMAGEFLEET_CALLBACK_NETWORKS": "127.0.0.0/8",
        "IMAGEFLEET_REUSE_RESULTS": "true",
    }
    with (
        Receiver() as receiver,
        place.web(**tiers["web"].environ, **settings) as web,
        place.scaler(**tiers["scaler"].environ, **EC2),
    ):
        first = upload(web, PHOTOGRAPHS[:3], params={"callback_url": receiver.url()})
        wait_for(instances, SOON_S)
        (instance,) = instances()
        # Once told to stop, it gives back what it holds.
        told = {
            "IMAGEFLEET_WORKER_ID": instance,
            "IMAGEFLEET_DRAIN_S": "0",
            "IMAGEFLEET_THREADS": "1",
        }
        with place.worker(**tiers["worker"].environ, **told) as worker:
            assert found(web, first) == {path.name: labels()[path.name] for path in PHOTOGRAPHS[:3]}
            wait_for(lambda: receiver.received, SOON_S)
            use_the_api(web, first)
            bury(account, web)
            wait_for(lambda: web.get("api/v1/fleet").json()["workers"], SOON_S)
            stop_amid_work(web, worker)


def use_the_api(web: WebProcess, first: dict[str, Any]) -> None:
    """Use what else the API has."""
    assert web.get("readyz").ok
    twice = [upload(web, PHOTOGRAPHS[3:4], key="the-same")["batch"] for _ in range(2)]
    assert twice[0] == twice[1]
    known = upload(web, PHOTOGRAPHS[:1], params={"wait": SOON_S})
    assert known["jobs"][0]["label"] == labels()[PHOTOGRAPHS[0].name]

    wanted = {"files": [{"name": "direct.jpg", "type": "image/jpeg"}]}
    forms = web.request("POST", "api/v1/uploads", json=wanted).json()
    post = forms["uploads"][0]["post"]
    image = {"file": ("direct.jpg", PHOTOGRAPHS[4].read_bytes())}
    assert requests.post(post["url"], post["fields"], files=image, timeout=SOON_S).ok
    assert found(web, forms) == {"direct.jpg": labels()[PHOTOGRAPHS[4].name]}

    assert web.get(f"{first['jobs'][0]['url'][1:]}/image").content == PHOTOGRAPHS[0].read_bytes()
    assert web.get("api/v1/batches").json()["batches"]
    for batch in (first["batch"], forms["batch"]):
        assert web.request("DELETE", f"api/v1/batches/{batch}").ok


def bury(account: GuardedAccount, web: WebProcess) -> None:
    """Leave a client's image in the dead-letter queue, who asked another web process."""
    place = account.place
    job = leave_dead(place)
    upload(web, PHOTOGRAPHS[5:6])  # so that it looks for such
    wait_for(lambda: job in place.told(), SOON_S)
    result = place.store.get_result(job)
    assert result is not None
    assert result.status is Status.FAILED


def leave_dead(place: Place) -> JobId:
    """Put an image into the dead-letter queue."""
    job = JobId(new_batch_id(), 1)
    key = keys.input_key(job, "dead.jpg")
    place.store.put_image(key, PHOTOGRAPHS[0].read_bytes(), "image/jpeg")
    request = Request(job, key, "dead.jpg", place.replies_name, datetime.now(UTC))
    place.dead_letters.send([request.encode()])
    return job


def answer_dead(place: Place) -> JobId:
    """Store an image, and the answer that it has had after it was a dead letter."""
    job, now = JobId(new_batch_id(), 1), datetime.now(UTC)
    image = PHOTOGRAPHS[0].read_bytes()
    place.store.put_image(keys.input_key(job, "failed.jpg"), image, "image/jpeg")
    result = Result(
        job=job,
        name="failed.jpg",
        top=(),
        error=WORKER_CRASHED,
        model="",
        worker="web",
        submitted_at=now,
        started_at=now,
        finished_at=now,
    )
    place.store.put_result(result)
    return job


def stop_amid_work(web: WebProcess, worker: subprocess.Popen[bytes]) -> None:
    """Stop a worker that holds images."""
    # What stands behind a photograph's end makes it another one, of which there is no result yet.
    files = [
        (f"{n}.jpg", path.read_bytes() + bytes([n])) for n, path in enumerate(photographs(MANY))
    ]
    first, *_ = [upload(web, files[n::ROUNDS]) for n in range(ROUNDS)]
    wait_for(lambda: web.get(first["url"][1:]).json()["done"], SOON_S)
    worker.terminate()
    assert worker.wait(SOON_S) == 0


def plan(account: GuardedAccount) -> None:
    """Ask the scaler what it would do, until it says so."""
    command = [sys.executable, "-m", "imagefleet_scaler", "--dry-run"]
    environ = account.tiers["scaler"].environ | EC2 | {"IMAGEFLEET_MIN_WORKERS": "2"}
    environ = account.place.environment_of("plan", environ | {"IMAGEFLEET_MAX_WORKERS": "2"})
    said = account.place.folder / "plan.log"
    with said.open("wb") as log, subprocess.Popen(command, env=environ, stderr=log) as planning:
        try:
            wait_for(
                lambda: "would change" in said.read_text() or planning.poll() is not None, SOON_S
            )
        finally:
            planning.terminate()
    assert planning.returncode == 0, said.read_text()


def leave_queues(web: Tier) -> None:
    """Clear away after a web process that was killed."""
    queues = SqsQueues(web.our(lambda aws: aws.sqs(1)))
    name = f"{PREFIX}-replies-{new_batch_id()}"
    queues.create(name, retention_s=60, tags=leftovers.alive(0))
    leftovers.remove(queues, f"{PREFIX}-replies-", now=time.time() + 10 * leftovers.DEAD_AFTER_S)
    assert name not in queues.names(f"{PREFIX}-replies-")


def scale(scaler: Tier, *, by_run: bool) -> None:
    """Launch, stop, start and end instances, spot ones and others."""
    subnets = tuple(outputs()["WorkerSubnets"].split(","))
    types = ("c7i.large", "c6i.large")
    places: dict[str, Any] = {"subnets": subnets, "types": types, "by_run": by_run}
    fleet = provider(scaler, warm_pool=1, spot_percent=50, **places)
    fleet.sweep()
    workers = fleet.launch(4)
    assert len(workers) == 4
    fleet.list()
    fleet.last_words(workers[:1])
    fleet.retire(workers)
    assert len(instances("stopped")) == 1
    fleet.sweep()
    fleet.launch(2)
    assert not instances("stopped")
    rest = instances()
    fleet.list()
    fleet.retire(rest)
    provider(scaler, **places).sweep()
    assert not instances("running", "stopped")


def provider(scaler: Tier, **changes: Any) -> Ec2Provider:
    """Return a provider with the scaler's credentials."""
    spec = Ec2Spec(fleet=PREFIX, template=f"{PREFIX}-worker", image_id=AMI, **changes)
    ec2 = scaler.our(lambda aws: aws.ec2())
    ticks = itertools.count(0, 60)  # a minute between any two looks
    return Ec2Provider(
        ec2, spec, journal=MemoryJournal(), retire_grace_s=60, clock=lambda: next(ticks)
    )


def be_the_machines(account: GuardedAccount) -> None:
    """Ask for what user data and Docker ask for on a worker and on the web host."""
    host, worker = account.tiers["host"], account.tiers["worker"]
    for tier, images in ((host, ("web", "scaler", "proxy")), (worker, ("worker",))):
        _pull(tier, *images)
        _log(tier)
    ssm = host.client("ssm")
    secrets = ssm.get_parameters_by_path(Path=f"/{PREFIX}/web")["Parameters"]
    assert ssm.get_parameter(Name=secrets[0]["Name"], WithDecryption=True)["Parameter"]["Value"]
    machine = made(boto3.client("ec2"), [{"ResourceType": "instance", "Tags": HOST_MARK}])
    address = boto3.client("ec2").allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": HOST_MARK}]
    )
    host.client("ec2").associate_address(AllocationId=address["AllocationId"], InstanceId=machine)
    with pytest.raises(ClientError, match="cannot be signaled"):  # long since; but permitted
        host.client("cloudformation").signal_resource(
            StackName=account.stack_id,
            LogicalResourceId="WebHosts",
            UniqueId=machine,
            Status="SUCCESS",
        )


def made(ec2: Any, specifications: Sequence[Any], **changes: Any) -> str:
    """Launch one instance, and return its id."""
    launched = ec2.run_instances(
        **{"ImageId": AMI, "MinCount": 1, "MaxCount": 1, **changes},
        TagSpecifications=specifications,
    )
    return str(launched["Instances"][0]["InstanceId"])


def instances(*states: str) -> list[str]:
    """Return the ids of the fleet's instances, of those that run unless told otherwise."""
    found = boto3.client("ec2").describe_instances(
        Filters=[
            {"Name": f"tag:{tags.FLEET}", "Values": [PREFIX]},
            {"Name": "instance-state-name", "Values": list(states or ("pending", "running"))},
        ]
    )["Reservations"]
    return [each["InstanceId"] for group in found for each in group["Instances"]]


def upload(web: WebProcess, images: Any, **options: Any) -> dict[str, Any]:
    """Upload images, which has to be accepted."""
    answer = web.upload(images, **options)
    assert answer.ok, answer.text
    told: dict[str, Any] = answer.json()
    return told


def found(web: WebProcess, batch: dict[str, Any]) -> dict[str, str]:
    """Return the labels of a batch's images by their names, as soon as they have them."""
    url = f"api/v1/batches/{batch['batch']}"
    jobs = web.get(url, params={"wait": SOON_S}).json()["jobs"]
    return {each["name"]: each.get("label") for each in jobs}


def _pull(tier: Tier, *images: str) -> None:
    ecr = tier.client("ecr")
    assert ecr.get_authorization_token()["authorizationData"]
    for image in images:
        repository = f"{PREFIX}/imagefleet-{image}"
        ids = [{"imageTag": TAG}]
        assert ecr.batch_get_image(repositoryName=repository, imageIds=ids)["images"]
        digest = f"sha256:{image}"
        ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)


def _log(tier: Tier) -> None:
    logs = tier.client("logs")
    stream = {"logGroupName": PREFIX, "logStreamName": tier.name}
    logs.create_log_stream(**stream)
    event = {"timestamp": int(time.time() * 1000), "message": "ready"}
    logs.put_log_events(**stream, logEvents=[event])
