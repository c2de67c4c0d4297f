"""Takes the whole system away from AWS, with everything that costs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imagefleet_core.aws import error_code
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.sqs import SqsQueues
from imagefleet_scripts.bake_ami import images, waiting
from imagefleet_scripts.bake_ami.machine import BAKE_TAG
from imagefleet_scripts.deploy import machines
from imagefleet_scripts.deploy.account import Account
from imagefleet_scripts.deploy.cli import Wrong, parser, run, say
from imagefleet_scripts.deploy.release import stored_secrets
from imagefleet_scripts.deploy.stacks import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

HELP = """\
Takes Imagefleet away from AWS: the web host, then all instances that the scaler launched, network,
roles, image repositories, machine images that were baked, logs, alarms, keys and certificates; then
buckets with all images and results, and queues, unless --keep-data. It asks before. Broken off, do
it again.
"""
_NO_BUCKET = {"NoSuchBucket", "404"}
_AT_ONCE = 10  # of SSM parameters
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
VERSIONS_AT_ONCE = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    return run("destroy", _options(arguments), destroy)


def destroy(account: Account, options: argparse.Namespace) -> None:
    """Remove everything, the scaler first, which would launch again what is terminated."""
    data = Stack(account.cloudformation, account.data_stack, say=say)
    fleet = Stack(account.cloudformation, account.fleet_stack, say=say)
    suffix = data.parameters().get("BucketSuffix", account.usual_suffix)
    buckets = [f"{account.prefix}-{name}{suffix}" for name in ("input", "results")]
    if not options.yes:
        _ask(account, [] if options.keep_data else buckets)

    # A deployment that was broken off goes on in CloudFormation, and launches what is ended here.
    # A deletion launches nobody, and may itself wait for the workers' network interfaces to go.
    fleet.settled(deleting=True)
    say("the web host")
    if group := fleet.resource("WebHosts"):
        _empty_group(account, group)
    machines.end_all(account.ec2, machines.HOST_TAG, account.prefix, say)
    say("the workers")
    machines.end_all(account.ec2, machines.WORKER_TAG, account.prefix, say)
    machines.end_all(account.ec2, BAKE_TAG, account.prefix, say)
    fleet.delete()
    images.remove_all(account.ec2, account.prefix, say)
    queues = SqsQueues(account.aws.sqs(connections=1))
    for name in queues.names(f"{account.prefix}-replies-"):
        queues.remove(name)
    _forget_secrets(account)
    if options.keep_data:
        say(f"kept: {account.data_stack}, with {' and '.join(buckets)}")
    else:
        for bucket in buckets:
            _remove_bucket(account, bucket)
        # It alone knows the buckets' names: so last, for whoever is interrupted.
        if not data.delete():
            say(f"no {account.data_stack}: only buckets that end in {suffix} were looked for")
    _look_again(account)


def _ask(account: Account, buckets: Sequence[str]) -> None:
    say(f"this removes {account.prefix} from account {account.id} in {account.region}")
    if buckets:
        say(f"all that lies in {' and '.join(buckets)} is lost")
    if not sys.stdin.isatty():
        raise Wrong("nobody is there to be asked: give --yes")
    if input(f"to go on, type {account.prefix}: ").strip() != account.prefix:
        raise Wrong("nothing was removed")


def _empty_group(account: Account, group: str) -> None:
    try:
        account.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0
        )
    except ClientError as error:
        # A stack that was broken off had none, has lost it, or is just losing it.
        if not any(words in str(error) for words in ("not found", "pending delete")):
            raise


def _forget_secrets(account: Account) -> None:
    names = [f"{account.secrets_path}/{name}" for name in stored_secrets(account)]
    for start in range(0, len(names), _AT_ONCE):
        account.client("ssm").delete_parameters(Names=names[start : start + _AT_ONCE])


def _remove_bucket(account: Account, bucket: str) -> None:
    """Delete a bucket with all that is in it, of every version; if it isn't there, no error."""
    s3 = account.aws.s3(connections=1)
    count = 0
    try:
        while objects := _first_versions(s3, bucket):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for failed in answer.get("Errors", ()):
                raise ImagefleetError(f"{bucket}/{failed.get('Key')}: {failed.get('Message')}")
            count += len(objects)
        s3.delete_bucket(Bucket=bucket)
    except ClientError as error:
        if error_code(error) in _NO_BUCKET:
            return
        raise
    say(f"  {bucket}: {count:,} objects, and the bucket")


def _first_versions(s3: S3Client, bucket: str) -> list[ObjectIdentifierTypeDef]:
    """Return what a bucket has first, markers of deletion too; nothing once it is empty.

    Without versions each object has one, `null`. Nobody says where a listing goes on after a
    version that was deleted meanwhile, so each begins anew.
    """
    page = s3.list_object_versions(Bucket=bucket, MaxKeys=VERSIONS_AT_ONCE)
    found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _look_again(account: Account) -> None:
    """Say that all is gone, once that is so of what costs most.

    Raises:
        ImagefleetError: machine images or snapshots are left.
    """
    _until_images_are_gone(account)
    found = account.ec2.describe_volumes(
        Filters=[{"Name": "tag:imagefleet:system", "Values": [account.prefix]}]
    )
    volumes = [each["VolumeId"] for each in found["Volumes"]]
    but = f", but for volumes, which go within minutes or by hand: {', '.join(volumes)}"
    say(f"{account.prefix} is gone{but if volumes else ''}")


def _until_images_are_gone(account: Account) -> None:
    """Return once none is listed, as EC2 may name what is gone for a moment."""
    seen: list[str] = []

    def gone() -> bool | None:
        seen[:] = images.left(account.ec2, account.prefix)
        return None if seen else True

    try:
        waiting.until(gone, waiting.LAG_S, "")
    except ImagefleetError:
        raise ImagefleetError(
            f"machine images or snapshots are left, and cost: {', '.join(seen)}; destroy again"
        ) from None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser("destroy", HELP)
    made.add_argument("--yes", action="store_true", help="don't ask")
    made.add_argument(
        "--keep-data", action="store_true", help="leave buckets and queues with all that is in them"
    )
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
