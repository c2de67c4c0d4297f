"""A template as CloudFormation hands it to services: every function and name filled in.

What AWS makes up when it makes a resource stands there in the form that AWS gives it.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from imagefleet_scripts.deploy import compact, template

ACCOUNT = "123456789012"
_ID = "0123456789abcdef0"
_MADE = "1ABCDEFGHIJK2"  # what CloudFormation ends names with that nobody gave
# What `Ref` returns, as the page of each type has it under "Return values". In braces: the stack,
# the resource's name in the template and a number of it, region and account, and its properties.
REFS = {
    "AWS::AutoScaling::AutoScalingGroup": "{stack}-{name}-" + _MADE,
    "AWS::EC2::EIP": "198.51.100.7",
    "AWS::EC2::InternetGateway": f"igw-{_ID}",
    "AWS::EC2::LaunchTemplate": f"lt-{_ID}",
    "AWS::EC2::Route": f"rtb-{_ID}|0.0.0.0/0",
    "AWS::EC2::RouteTable": f"rtb-{_ID}",
    "AWS::EC2::Subnet": "subnet-0123456789{id}",
    "AWS::EC2::SubnetRouteTableAssociation": f"rtbassoc-{_ID}",
    "AWS::EC2::VPC": f"vpc-{_ID}",
    "AWS::ElasticLoadBalancingV2::Listener": (
        "arn:aws:elasticloadbalancing:{region}:{account}:listener/app/image-Balan-1/a1b2/c3d4"
    ),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": (
        "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/app/image-Balan-1/a1b2"
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        "arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/image-WebTa-1/a1b2"
    ),
    "AWS::IAM::Role": "{stack}-{name}-" + _MADE,
    "AWS::Logs::LogGroup": "{LogGroupName}",
    "AWS::S3::Bucket": "{BucketName}",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:{TopicName}",
    "AWS::SQS::Queue": "https://sqs.{region}.amazonaws.com/{account}/{QueueName}",
}
ATTRIBUTES = {
    "AWS::EC2::EIP.AllocationId": f"eipalloc-{_ID}",
    "AWS::EC2::LaunchTemplate.LatestVersionNumber": "1",
    "AWS::EC2::SecurityGroup.GroupId": f"sg-{_ID}",
    "AWS::ECR::Repository.Arn": "arn:aws:ecr:{region}:{account}:repository/{RepositoryName}",
    "AWS::IAM::InstanceProfile.Arn": (
        "arn:aws:iam::{account}:instance-profile/{stack}-{name}-" + _MADE
    ),
    "AWS::IAM::Role.Arn": "arn:aws:iam::{account}:role/{stack}-{name}-" + _MADE,
    "AWS::Logs::LogGroup.Arn": "arn:aws:logs:{region}:{account}:log-group:{LogGroupName}:*",
    "AWS::SQS::Queue.Arn": "arn:aws:sqs:{region}:{account}:{QueueName}",
}
_NOTHING = object()


def fleet() -> dict[str, Any]:
    """Return the template of the machines as it is sent."""
    return _read(template.fleet())


def data() -> dict[str, Any]:
    """Return the template of buckets and queues, with its functions by their long names."""
    return _read(compact.as_json(template.data()))


def _read(text: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)
    return body


def resources(
    body: Mapping[str, Any], *, region: str = "us-east-1", **given: str
) -> dict[str, dict[str, Any]]:
    """Return the resources that a stack with these parameters has, by their names.

    Raises:
        KeyError: a resource or an attribute is named whose form nobody has written down above.
    """
    filled = _Filled(body, region, given)
    return {
        name: {"Type": about["Type"], "Properties": filled(about.get("Properties", {}))}
        for name, about in body["Resources"].items()
        if filled.holds(about.get("Condition"))
    }


class _Filled:
    """Fills in what a template leaves to CloudFormation."""

    def __init__(self, body: Mapping[str, Any], region: str, given: Mapping[str, str]) -> None:
        self._body = body
        self._parameters = {
            name: str(given.get(name, about["Default"]))
            for name, about in body["Parameters"].items()
        }
        if "DebianAmi" in self._parameters:  # the parameter's value, and not its name
            self._parameters["DebianAmi"] = f"ami-{_ID}"
        prefix = self._parameters["Prefix"]
        self._own = {
            "stack": f"{prefix}-{'fleet' if 'ImageTag' in self._parameters else 'data'}",
            "region": region,
            "account": ACCOUNT,
        }
        self._pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": _NOTHING,
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::StackId": (
                f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{self._own['stack']}/"
                "1a2b3c4d-0000-0000-0000-1234567890ab"
            ),
            "AWS::StackName": self._own["stack"],
            "AWS::URLSuffix": "amazonaws.com",
        }

    def holds(self, condition: Any) -> bool:
        """Return whether a condition holds, by its name or as a function; None always does."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self._body["Conditions"][condition])
        ((name, of),) = condition.items()
        if name == "Condition":
            return self.holds(of)
        if name == "Fn::Equals":
            return bool(self(of[0]) == self(of[1]))
        held = [self.holds(each) for each in of]
        return {"Fn::And": all(held), "Fn::Or": any(held), "Fn::Not": not held[0]}[name]

    def __call__(self, of: Any) -> Any:
        if isinstance(of, list):
            return [each for each in map(self, of) if each is not _NOTHING]
        if not isinstance(of, dict):
            return of
        if len(of) == 1:
            ((name, argument),) = of.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(argument)
        found = {name: self(each) for name, each in of.items()}
        return {name: each for name, each in found.items() if each is not _NOTHING}

    def _ref(self, name: str) -> Any:
        for known in (self._parameters, self._pseudo):
            if name in known:
                return known[name]
        return self._stand_in(name, REFS[self._body["Resources"][name]["Type"]])

    def _getatt(self, of: list[str]) -> str:
        name, attribute = of
        kind = self._body["Resources"][name]["Type"]
        return self._stand_in(name, ATTRIBUTES[f"{kind}.{attribute}"])

    def _stand_in(self, name: str, form: str) -> str:
        mine = self._body["Resources"][name].get("Properties", {})
        named = set(re.findall(r"\{(\w+)\}", form)) & mine.keys()
        own = {each: str(self(mine[each])) for each in named}
        own["id"] = hashlib.sha256(name.encode()).hexdigest()[:7]
        return form.format(**self._own, name=name, **own)

    def _if(self, of: list[Any]) -> Any:
        return self(of[1] if self.holds(of[0]) else of[2])

    def _sub(self, of: Any) -> str:
        text, own = of if isinstance(of, list) else (of, {})

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name in own:
                return str(self(own[name]))
            return str(self._getatt(name.split(".", 1)) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", value, text).replace("${!", "${")

    def _join(self, of: list[Any]) -> str:
        return str(of[0]).join(map(str, self(of[1])))

    def _split(self, of: list[Any]) -> list[str]:
        return str(self(of[1])).split(of[0])

    def _select(self, of: list[Any]) -> Any:
        return self(of[1])[int(of[0])]

    def _findinmap(self, of: list[str]) -> Any:
        return self._body["Mappings"][of[0]][of[1]][of[2]]

    def _getazs(self, _of: Any) -> list[str]:
        return [f"{self._own['region']}{zone}" for zone in "abc"]

    def _cidr(self, of: list[Any]) -> list[str]:
        block, count, bits = self(of)
        networks = ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))
        return [str(next(networks)) for _ in range(int(count))]

    def _base64(self, of: Any) -> str:
        return base64.b64encode(self(of).encode()).decode()
