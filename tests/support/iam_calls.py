"""What a call to AWS needs to be allowed, by the service authorization reference.

https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fault_proxy import Call
from iam_policy import Asked

REGION, ACCOUNT = "us-east-1", "000000000000"

_S3 = {
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "PutObject": "PutObject",
    "DeleteObject": "DeleteObject",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "DeleteBucket": "DeleteBucket",
}
_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]*/([^/]+)/")
_FORM_FIELD = re.compile(
    rb'name="([^"]+)"(?:; filename="[^"]*")?\r\n(?:[^\r]+\r\n)*\r\n([^\r]*)\r\n'
)


@dataclass(frozen=True)
class Signature:
    """Who signed a call, for which service."""

    access_key: str
    service: str


def signature(call: Call) -> Signature:
    """Return a call's signature; of an unsigned one it is empty."""
    if found := _CREDENTIAL.search(call.headers.get("Authorization", "")):
        return Signature(found[1], found[2])
    # A form of ours that somebody uploads with: its signer's permissions count.
    if found := _CREDENTIAL.match(f"Credential={_form(call).get('x-amz-credential', '')}"):
        return Signature(found[1], found[2])
    return Signature("", "")


def needed(call: Call, service: str) -> list[Asked]:
    """Return what a call of any service but EC2 needs."""
    match service:
        case "s3":
            return _of_s3(call)
        case "sqs":
            return _of_sqs(call.name, json.loads(call.body))
        case _:
            return _of_host(service, call)


def listing(call: Call) -> Asked:
    """Return what is needed to hear that there is no such object."""
    bucket = urlsplit(call.path).path.lstrip("/").partition("/")[0]
    return Asked("s3:ListBucket", f"arn:aws:s3:::{bucket}")


def arn(service: str, resource: str) -> str:
    """Return the ARN of something in the emulator's account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def action_of(call: Call) -> str:
    """Return the name of a call in one of AWS's two other protocols."""
    target = call.headers.get("X-Amz-Target", "")
    return target.rpartition(".")[2] or parameters(call).get("Action", "")


def parameters(call: Call) -> dict[str, str]:
    """Return the parameters of a call in the query protocol."""
    return {name: values[-1] for name, values in parse_qs(call.body.decode("latin-1")).items()}


def _of_s3(call: Call) -> list[Asked]:
    bucket, _, key = unquote(urlsplit(call.path).path).lstrip("/").partition("/")
    if form := _form(call):
        return [Asked("s3:PutObject", f"arn:aws:s3:::{bucket}/{form['key']}")]
    if call.name == "DeleteObjects":
        objects = re.findall(r"<Key>(.*?)</Key>(<VersionId>)?", call.body.decode())
        return [
            Asked(f"s3:DeleteObject{'Version' * bool(version)}", f"arn:aws:s3:::{bucket}/{key}")
            for key, version in objects
        ]
    name = _S3[call.name or f"{call.method.capitalize()}Bucket"]
    return [Asked(f"s3:{name}", f"arn:aws:s3:::{bucket}/{key}".removesuffix("/"))]


def _of_sqs(name: str, asked: dict[str, Any]) -> list[Asked]:
    queue = str(asked.get("QueueUrl", asked.get("QueueName", ""))).rpartition("/")[2]
    where = arn("sqs", queue) if queue else "*"
    names = [name.removesuffix("Batch"), *(["TagQueue"] if asked.get("tags") else [])]
    return [Asked(f"sqs:{each}", where) for each in names]


def _of_host(service: str, call: Call) -> list[Asked]:
    """Return what calls need that machines make beside their containers, or whoever deploys."""
    name = action_of(call)
    if name == "GetCallerIdentity":  # needs no permission
        return []
    asked = json.loads(call.body) if call.headers.get("X-Amz-Target") else parameters(call)
    where = ["*"]
    match service:
        case "ssm":
            paths = asked.get("Names") or [asked.get("Path") or asked["Name"]]
            where = [arn("ssm", f"parameter/{path.strip('/')}") for path in paths]
        case "ecr" if "repositoryName" in asked:
            where = [arn("ecr", f"repository/{asked['repositoryName']}")]
        case "logs":
            stream = f"log-stream:{asked['logStreamName']}"
            where = [arn("logs", f"log-group:{asked['logGroupName']}:{stream}")]
        case "sts" if "RoleArn" in asked:
            where = [asked["RoleArn"]]
        case "autoscaling":
            group = asked["AutoScalingGroupName"]
            where = [arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{group}")]
        case "cloudformation":
            # Known by a name, its own ARN, or that of a change set.
            stack = asked.get("StackName") or asked["ChangeSetName"]
            known = stack.startswith("arn:")
            where = [stack if known else arn("cloudformation", f"stack/{stack}/*")]
    namespace = {"monitoring": "cloudwatch"}.get(service, service)
    return [Asked(f"{namespace}:{name}", each) for each in where]


def _form(call: Call) -> dict[str, str]:
    """Return the fields of a form with a file; nothing where there is none."""
    if not call.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return {}
    return {
        name.decode().lower(): value.decode("utf-8", "replace")
        for name, value in _FORM_FIELD.findall(call.body)
    }
