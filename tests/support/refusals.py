"""What AWS refuses of a resource that linters and emulators take.

Three sources: the schemas by which CloudFormation looks at resources first (cfn-lint brings them),
the models of the calls that it then makes (botocore brings those), and what only the services'
documentation says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
import jsonschema  # type: ignore[import-untyped]
import regex  # type: ignore[import-untyped]
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

# The calls that CloudFormation makes a resource by, whose parameters have its properties' names.
CALLS = {
    "AWS::AutoScaling::AutoScalingGroup": [
        ("autoscaling", "CreateAutoScalingGroup"),
        ("autoscaling", "EnableMetricsCollection"),
    ],
    "AWS::Budgets::Budget": [("budgets", "CreateBudget")],
    "AWS::CloudWatch::Alarm": [("cloudwatch", "PutMetricAlarm")],
    "AWS::EC2::EIP": [("ec2", "AllocateAddress")],
    "AWS::EC2::LaunchTemplate": [("ec2", "CreateLaunchTemplate")],
    "AWS::EC2::VPCEndpoint": [("ec2", "CreateVpcEndpoint")],
    "AWS::ECR::Repository": [("ecr", "CreateRepository"), ("ecr", "PutImageTagMutability")],
    "AWS::ElasticLoadBalancingV2::Listener": [("elbv2", "CreateListener")],
    "AWS::ElasticLoadBalancingV2::LoadBalancer": [
        ("elbv2", "CreateLoadBalancer"),
        ("elbv2", "ModifyLoadBalancerAttributes"),
    ],
    "AWS::ElasticLoadBalancingV2::TargetGroup": [
        ("elbv2", "CreateTargetGroup"),
        ("elbv2", "ModifyTargetGroupAttributes"),
    ],
    "AWS::IAM::InstanceProfile": [("iam", "CreateInstanceProfile")],
    "AWS::IAM::Policy": [("iam", "PutRolePolicy")],
    "AWS::IAM::Role": [("iam", "CreateRole")],
    "AWS::Logs::LogGroup": [("logs", "CreateLogGroup"), ("logs", "PutRetentionPolicy")],
    "AWS::Logs::MetricFilter": [("logs", "PutMetricFilter")],
    "AWS::SNS::Topic": [("sns", "CreateTopic")],
}
# Properties that a call has under another name.
_OTHER_NAMES = {
    "Attributes": ["LoadBalancerAttributes", "TargetGroupAttributes"],
    "lifecyclePolicyText": ["LifecyclePolicy"],
}
_EC2_TEXT = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}"
_TAG = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]"
# What no model says, by type and property; each has to match as a whole.
TEXTS = {
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html
    ("AWS::EC2::SecurityGroup", "GroupDescription"): _EC2_TEXT,
    ("AWS::EC2::SecurityGroup", "Description"): _EC2_TEXT,
    ("AWS::EC2::SecurityGroupIngress", "Description"): _EC2_TEXT,
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html
    ("AWS::EC2::LaunchTemplate", "LaunchTemplateName"): r"[a-zA-Z0-9().\-/_]{3,128}",
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", "Name"): r"(?!internal-)(?!-)[a-zA-Z0-9-]{1,32}",
    ("AWS::ElasticLoadBalancingV2::TargetGroup", "Name"): r"(?!-)[a-zA-Z0-9-]{1,32}",
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    ("AWS::CloudWatch::Alarm", "AlarmName"): r"[\x20-\x7e]{1,255}",
    # https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
    ("AWS::SNS::Topic", "TopicName"): r"[A-Za-z0-9_-]{1,256}",
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    ("AWS::SQS::Queue", "QueueName"): r"[A-Za-z0-9_-]{1,80}",
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_sid.html
    ("AWS::IAM::Policy", "Sid"): "[A-Za-z0-9]+",
    ("AWS::IAM::Role", "Sid"): "[A-Za-z0-9]+",
}


def refused(kind: str, properties: Mapping[str, Any]) -> list[str]:
    """Return what AWS would refuse of a resource, with the place of each; nothing if it is well."""
    return [
        *_by_schema(kind, properties),
        *_by_calls(kind, properties),
        *_by_text(kind, properties),
    ]


def schema(kind: str) -> Any:
    """Return the schema of a type of resource, as CloudFormation's registry has it."""
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema


# --- CloudFormation's schemas ---------------------------------------------------------------------


def _by_schema(kind: str, properties: Mapping[str, Any]) -> Iterator[str]:
    for error in _Validator(schema(kind)).iter_errors(properties):
        yield f"{error.json_path}: {error.message[:200]}"


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    if _scalar(instance) and not regex.search(_of_python(pattern), _text(instance)):
        yield jsonschema.ValidationError(f"{instance!r} is not like {pattern}")


def _length(_: Any, limit: int, instance: Any, about: Any) -> Iterator[Any]:
    least, most = about.get("minLength", 0), about.get("maxLength", float("inf"))
    if _scalar(instance) and not least <= len(_text(instance)) <= most:
        yield jsonschema.ValidationError(f"{instance!r} is not {least} to {most} long")


def _size(_: Any, limit: float, instance: Any, about: Any) -> Iterator[Any]:
    least, most = about.get("minimum", -float("inf")), about.get("maximum", float("inf"))
    if _number(instance) and not least <= float(instance) <= most:
        yield jsonschema.ValidationError(f"{instance!r} is not {least} to {most}")


def _enum(_: Any, values: list[Any], instance: Any, __: Any) -> Iterator[Any]:
    if _scalar(instance) and _text(instance) not in map(_text, values):
        yield jsonschema.ValidationError(f"{instance!r} is none of {values}")


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any, form: str = r"-?\d+(\.\d+)?") -> bool:
    return _scalar(value) and regex.fullmatch(form, _text(value)) is not None


def _integer(value: Any) -> bool:
    return _number(value, r"-?\d+")


# CloudFormation takes "8" for 8 and 8 for "8", and a parameter's value is text in any case.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft7Validator,
    {
        "pattern": _pattern,
        "minLength": _length,
        "maxLength": _length,
        "minimum": _size,
        "maximum": _size,
        "enum": _enum,
    },
    type_checker=jsonschema.Draft7Validator.TYPE_CHECKER.redefine_many(
        {
            "string": lambda _, value: _scalar(value),
            "integer": lambda _, value: _integer(value),
            "number": lambda _, value: _number(value),
            "boolean": lambda _, value: _text(value) in ("true", "false"),
        }
    ),
)


# --- the calls that CloudFormation makes ----------------------------------------------------------


def _by_calls(kind: str, properties: Mapping[str, Any]) -> Iterator[str]:
    for service, call in CALLS.get(kind, ()):
        yield from _of_shape(_input(service, call), properties, call)
    for policy in properties.get("Policies", ()):  # of a role
        yield from _by_calls("AWS::IAM::Policy", policy)


@cache
def _input(service: str, call: str) -> Any:
    return boto3.client(service, "us-east-1").meta.service_model.operation_model(call).input_shape  # type: ignore[call-overload]


def _of_shape(shape: Any, value: Any, place: str) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, member in shape.members.items():
            for each in _named(value, name):
                yield from _of_shape(member, each, f"{place}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for each in value:
            yield from _of_shape(shape.member, each, f"{place}[]")
    elif shape.type_name == "string" and isinstance(value, dict):  # a document
        yield from _of_shape(shape, json.dumps(value), place)
    elif shape.type_name not in ("structure", "list", "map") and _scalar(value):
        yield from _of_scalar(shape, value, place)


def _named(properties: Mapping[str, Any], name: str) -> Iterator[Any]:
    names = {each.lower() for each in [name, *_OTHER_NAMES.get(name, ())]}
    yield from (value for each, value in properties.items() if each.lower() in names)


def _of_scalar(shape: Any, value: Any, place: str) -> Iterator[str]:
    about = shape.metadata
    numeric = shape.type_name != "string" and _number(value)
    size = float(value) if numeric else len(_text(value))
    least, most = about.get("min", -float("inf")), about.get("max", float("inf"))
    if not least <= size <= most:
        yield f"{place}: {value!r} is not {least} to {most}"
    if (pattern := about.get("pattern")) and not regex.fullmatch(_of_python(pattern), _text(value)):
        yield f"{place}: {value!r} is not like {pattern}"
    if (values := about.get("enum")) and value not in values:
        yield f"{place}: {value!r} is none of {values[:10]}"


def _of_python(pattern: str) -> str:
    """Return one of Java's expressions, where what is beyond U+FFFF is two, as one of Python's."""
    return pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")


# --- what only the documentation says -------------------------------------------------------------


def _by_text(kind: str, value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _by_text(kind, each, f"{place}[]")
    elif isinstance(value, dict):
        if value.keys() == {"Key", "Value"} and "Attributes" not in place:
            yield from _of_tag(value, place)
        for name, each in value.items():
            form = TEXTS.get((kind, name))
            if form and not regex.fullmatch(form, _text(each)):
                yield f"{place}.{name}: {each!r} is not like {form}"
            yield from _by_text(kind, each, f"{place}.{name}")


def _of_tag(tag: Mapping[str, Any], place: str) -> Iterator[str]:
    """Hold a tag against what all services take, of which some take more."""
    if not regex.fullmatch(f"(?!aws:){_TAG}{{1,128}}", tag["Key"]):
        yield f"{place}: no key of a tag: {tag['Key']!r}"
    if not regex.fullmatch(f"{_TAG}{{0,256}}", _text(tag["Value"])):
        yield f"{place}: no value of a tag: {tag['Value']!r}"
