"""What a call to EC2 needs to be allowed: a launch needs to be on everything that it touches.

Emulators judge an EC2 call by one resource at most, and know no tags of what is about to be made.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iam_calls import arn
from iam_policy import Asked

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

MADE = ("instance", "network-interface", "volume")
INSTANCE = re.compile(r"(Instance|Resource)Id(\.\d+)?")


@dataclass(frozen=True)
class Ec2Rules:
    """Looks up what the rules are about.

    Attributes:
        ec2: whoever asks with it may see everything.
        iam: likewise.
    """

    ec2: EC2Client
    iam: Any

    def needed(self, call: Mapping[str, str]) -> list[Asked]:
        """Return what a call needs, given its parameters."""
        action = call["Action"]
        if action in ("RunInstances", "CreateFleet"):
            return list(self._launch(action, call))
        if action == "AssociateAddress":
            return [
                self._on(action, kind, call[name])
                for kind, name in (("elastic-ip", "AllocationId"), ("instance", "InstanceId"))
            ]
        ids = [value for name, value in call.items() if INSTANCE.fullmatch(name)]
        if action.startswith("Describe") or not ids:
            return [Asked(f"ec2:{action}", "*")]
        return [self._on(action, "instance", each) for each in ids]

    def _on(self, action: str, kind: str, name: str) -> Asked:
        """Return what is needed to do something to what there is; its tags count."""
        pages = self.ec2.get_paginator("describe_tags").paginate(
            Filters=[{"Name": "resource-id", "Values": [name]}]
        )
        tags = {
            f"aws:ResourceTag/{tag['Key']}": tag["Value"] for page in pages for tag in page["Tags"]
        }
        return Asked(f"ec2:{action}", arn("ec2", f"{kind}/{name}"), tags)

    def _launch(self, action: str, call: Mapping[str, str]) -> Iterator[Asked]:
        at = "LaunchTemplate" if action == "RunInstances" else "LaunchTemplateConfigs.1"
        spec = at if action == "RunInstances" else f"{at}.LaunchTemplateSpecification"
        data: Any = {}
        touched = []
        if name := call.get(f"{spec}.LaunchTemplateName"):
            template_id, data = self._template(name, call.get(f"{spec}.Version", "$Default"))
            touched.append(f"launch-template/{template_id}")
        tags = _tags(call, data)
        subnets = _values(call, r"SubnetId|LaunchTemplateConfigs\.1\.Overrides\.\d+\.SubnetId")
        image = call.get("ImageId") or data["ImageId"]
        types = _values(
            call, r"InstanceType|LaunchTemplateConfigs\.1\.Overrides\.\d+\.InstanceType"
        )
        touched += [f"subnet/{each}" for each in subnets or ["*"]]
        groups = _values(call, r"SecurityGroupId\.\d+") or data.get("SecurityGroupIds", ["*"])
        touched += [f"security-group/{each}" for each in groups]
        spot = call.get("InstanceMarketOptions.MarketType") == "spot" or (
            int(call.get("TargetCapacitySpecification.SpotTargetCapacity", 0)) > 0
        )
        # A fleet of type `instant` launches with the caller's own permissions.
        for each in dict.fromkeys((action, "RunInstances")):
            made = ("fleet", *MADE) if each == "CreateFleet" else MADE
            for kind in (*made, *(["spot-instances-request"] if spot else [])):
                # Of a fleet it is not known whether the types are told, so they must not be needed.
                known = types or [data.get("InstanceType", "m1.small")]
                for of in known if (each, kind) == ("RunInstances", "instance") else [""]:
                    context = {"ec2:InstanceType": of} if of else {}
                    wanted = tags.get(kind, {}) | context
                    yield Asked(f"ec2:{each}", arn("ec2", f"{kind}/*"), wanted)
            for what in touched:
                yield Asked(f"ec2:{each}", arn("ec2", what))
            yield Asked(f"ec2:{each}", f"arn:aws:ec2:us-east-1::image/{image}")
        for kind, wanted in tags.items():
            by = {"ec2:CreateAction": action if kind == "fleet" else "RunInstances"}
            yield Asked("ec2:CreateTags", arn("ec2", f"{kind}/*"), {**wanted, **by})
        profile = data.get("IamInstanceProfile", {}).get("Arn", "")
        if name := call.get("IamInstanceProfile.Name") or profile.rpartition("/")[2]:
            for role in self.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"][
                "Roles"
            ]:
                passed = {"iam:PassedToService": "ec2.amazonaws.com"}
                yield Asked("iam:PassRole", role["Arn"], passed)

    def _template(self, name: str, version: str) -> tuple[str, Any]:
        (found,) = self.ec2.describe_launch_template_versions(
            LaunchTemplateName=name, Versions=[version]
        )["LaunchTemplateVersions"]
        return found["LaunchTemplateId"], found["LaunchTemplateData"]


def _tags(call: Mapping[str, str], data: Any) -> dict[str, dict[str, str]]:
    """Return what is tagged at a launch, by kind: by the call, and by the template."""
    found: dict[str, dict[str, str]] = {}
    for each in data.get("TagSpecifications", []):
        for tag in each["Tags"]:
            context = found.setdefault(each["ResourceType"], {})
            context[f"aws:RequestTag/{tag['Key']}"] = tag["Value"]
    for name, key in call.items():
        if number := re.fullmatch(r"(TagSpecification\.\d+)\.(Tag\.\d+)\.Key", name):
            context = found.setdefault(call[f"{number[1]}.ResourceType"], {})
            context[f"aws:RequestTag/{key}"] = call[f"{number[1]}.{number[2]}.Value"]
    return found


def _values(call: Mapping[str, str], name: str) -> list[str]:
    return sorted({value for each, value in call.items() if re.fullmatch(name, each)})
