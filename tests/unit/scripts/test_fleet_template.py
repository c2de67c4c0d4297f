"""What infra/fleet.yaml makes."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import yaml

import cloudformation
from imagefleet_scaler.policy import PolicyConfig, bounds
from imagefleet_scaler.policy.memory import Memory
from imagefleet_scripts.deploy import template

ROOT = Path(__file__).parents[3]
TEMPLATES = ["WorkerTemplate", "WebHostTemplate"]
# Actions that AWS can't limit to a resource.
BOUNDLESS = {
    "elasticloadbalancing:DescribeTargetHealth",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ecr:GetAuthorizationToken",
    "sqs:ListQueues",
}
SCRIPTS = [
    ("WorkerTemplate", "/usr/local/sbin/imagefleet-worker"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-up"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-secrets"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-credentials"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-health"),
]
# What exists only once a call has made it, or is chosen by others: no ARN can be named beforehand.
UNNAMED = {
    "elastic-ip",  # limited by its tag
    "fleet",
    "image",
    "instance",
    "network-interface",
    "role",  # of AWS's own, limited by the service
    "snapshot",
    "spot-instances-request",
    "volume",
}
ROLES = ["WorkerRole", "WebHostRole", "WebRole", "ScalerRole"]


def resources(kind: str) -> Iterator[tuple[str, Any]]:
    for name, found in cloudformation.fleet()["Resources"].items():
        if found["Type"] == kind:
            yield name, found.get("Properties", {})


def launch_data(name: str) -> Any:
    return cloudformation.fleet()["Resources"][name]["Properties"]["LaunchTemplateData"]


# --- the template ---------------------------------------------------------------------------------


def test_the_template_with_all_that_is_put_into_it_is_clean_and_small_enough(
    tmp_path: Path,
) -> None:
    file = tmp_path / "fleet.json"
    file.write_text(template.fleet())

    # The default of SubnetIds is none, where our own subnets are used.
    lint = Path(sys.executable).with_name("cfn-lint")
    command = [str(lint), "--ignore-checks", "W1033", "--", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
    assert file.stat().st_size <= 51_200


def test_what_is_sent_means_the_same_as_what_is_written() -> None:
    sent, written = json.loads(template.fleet()), cloudformation.fleet()

    assert sent["Resources"].keys() == written["Resources"].keys()
    assert sent["Conditions"].keys() == written["Conditions"].keys()
    for name, about in sent["Parameters"].items():
        said = written["Parameters"][name]
        assert about == {key: said[key] for key in said if key != "Description"}
    assert sent["Resources"]["WebGroup"]["Properties"]["VpcId"] == {
        "Fn::If": ["OwnNetwork", {"Ref": "Vpc"}, {"Ref": "VpcId"}]
    }
    assert sent["Resources"]["WorkerProfile"]["Properties"] == {"Roles": [{"Ref": "WorkerRole"}]}


def test_every_parameter_is_explained_and_has_a_default() -> None:
    for name, about in cloudformation.fleet()["Parameters"].items():
        assert len(about["Description"]) > 20, name
        assert "Default" in about, name


@pytest.mark.parametrize("name", TEMPLATES)
def test_machines_ask_for_a_token_before_they_tell_their_role(name: str) -> None:
    options = launch_data(name)["MetadataOptions"]

    # Containers on a bridge are a hop farther away, and so get no answer.
    assert options == {
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": 1,
    }


@pytest.mark.parametrize("name", TEMPLATES)
def test_disks_are_encrypted_and_go_with_their_machine(name: str) -> None:
    for mapping in launch_data(name)["BlockDeviceMappings"]:
        assert mapping["Ebs"]["Encrypted"] is True
        assert mapping["Ebs"]["DeleteOnTermination"] is True


def test_a_worker_that_powers_off_is_terminated() -> None:
    assert launch_data("WorkerTemplate")["InstanceInitiatedShutdownBehavior"] == "terminate"


def test_no_machine_of_the_stack_itself_counts_as_a_worker() -> None:
    # Those tags come with the scaler's launches; the web host must not be retired for want of work.
    assert "imagefleet:fleet" not in json.dumps(list(resources("AWS::EC2::LaunchTemplate")))


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_an_action_by_wildcard_or_a_resource_it_could_be_limited_to(role: str) -> None:
    for statement in cloudformation.allowed(role):
        actions = statement["Action"]
        actions = {actions} if isinstance(actions, str) else set(actions)
        assert not any("*" in action for action in actions), statement
        if statement["Resource"] == "*":
            assert actions <= BOUNDLESS, statement
        for kind in re.findall(r":([a-z-]+)/(?:aws-service-role/)?\*\"", json.dumps(statement)):
            assert kind in UNNAMED, statement


def test_the_scaler_launches_by_its_template_in_its_network_and_of_its_types() -> None:
    text = json.dumps(cloudformation.allowed("ScalerRole"))

    for named in ("launch-template/<WorkerTemplate>", "security-group/<WorkerGroup.GroupId>"):
        assert named in text
    assert text.count('{"If": ["OwnNetwork", ["<SubnetA>", "<SubnetB>"]') == 1
    # The list is the one that the scaler is told.
    told = json.loads(template.fleet())["Resources"]["WebHostTemplate"]["Properties"]
    types = told["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"][1]["Types"]
    sent = json.dumps(json.loads(template.fleet())["Resources"]["ScalerRole"])
    assert json.dumps({"ec2:InstanceType": {"Fn::Split": [",", types]}})[1:-1] in sent


def test_a_tag_of_an_image_is_never_moved() -> None:
    mutability = [about["ImageTagMutability"] for _, about in resources("AWS::ECR::Repository")]

    assert mutability == ["IMMUTABLE"] * 4


def test_the_version_that_runs_is_never_removed_however_many_are_pushed() -> None:
    for _, about in resources("AWS::ECR::Repository"):
        for tag in (cloudformation.NAMES["ImageTag"], "none"):
            rules = lifecycle(about, tag)
            # The first rule whose tags an image has is the only one that may remove it.
            assert rules[0]["selection"]["tagPatternList"] == [tag]
            assert rules[0]["selection"]["countNumber"] == 1
            assert [each["rulePriority"] for each in rules] == [1, 2, 3]


def lifecycle(about: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    """Return a repository's rules, while a version runs or none does."""
    keep = cloudformation.fleet()["Mappings"]["Keep"]["All"]
    separator, (head, running, tail) = about["LifecyclePolicy"]["LifecyclePolicyText"]["Join"]
    assert (separator, head, tail) == (
        "",
        {"FindInMap": ["Keep", "All", "Running"]},
        {"FindInMap": ["Keep", "All", "Others"]},
    )
    assert running["If"][0] == "Released"
    assert tag in running["If"]
    text = keep["Running"].rstrip("\n") + tag + keep["Others"]
    rules: list[dict[str, Any]] = json.loads(text)["rules"]
    return rules


def test_the_scaler_launches_and_ends_only_what_carries_the_fleets_tag() -> None:
    mine = {"aws:RequestTag/imagefleet:fleet": cloudformation.PREFIX}
    there = {"StringEquals": {"aws:ResourceTag/imagefleet:fleet": cloudformation.PREFIX}}

    for statement in cloudformation.allowed("ScalerRole"):
        actions, resource = statement["Action"], json.dumps(statement["Resource"])
        launches = "ec2:RunInstances" in actions or "ec2:CreateFleet" in actions
        if launches and re.search(r":(instance|fleet|volume)/", resource):
            assert mine.items() <= statement["Condition"]["StringEquals"].items()
        if "ec2:TerminateInstances" in actions or "ec2:StopInstances" in actions:
            assert statement["Condition"] == there
        if actions == "iam:PassRole":
            assert statement["Resource"] == {"GetAtt": "WorkerRole.Arn"} or "*" not in resource


def test_each_role_permits_the_calls_to_ec2_that_are_made_and_no_others() -> None:
    within_others = {"CreateTags"}  # the calls that launch tag, too
    assert called_of_ec2() | within_others == OF_THE_SCALER
    assert granted("ScalerRole", "ec2:") == OF_THE_SCALER
    assert granted("WebHostRole", "ec2:") == OF_THE_HOST
    assert granted("WebRole", "ec2:") == granted("WorkerRole", "ec2:") == set()


def test_only_the_host_takes_the_tiers_roles_and_only_the_scaler_hands_one_on() -> None:
    taken = {each: set(resources_of(each, "sts:AssumeRole")) for each in ROLES}
    assert taken.pop("WebHostRole") == {
        cloudformation.NAMES[f"{tier}Role.Arn"] for tier in ("Web", "Scaler")
    }
    assert not any(taken.values())
    assert {each for each in ROLES if granted(each, "iam:")} == {"ScalerRole"}
    for role in ("WebRole", "ScalerRole"):
        (trust,) = dict(resources("AWS::IAM::Role"))[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"AWS": "<WebHostRole.Arn>"}


def granted(role: str, service: str) -> set[str]:
    """Return the actions on a service that a role has."""
    found: set[str] = set()
    for statement in cloudformation.allowed(role):
        actions = statement["Action"]
        found |= {actions} if isinstance(actions, str) else set(actions)
    return {each.removeprefix(service) for each in found if each.startswith(service)}


def resources_of(role: str, action: str) -> Iterator[str]:
    """Yield the resources on which a role has an action."""
    for statement in cloudformation.allowed(role):
        if action in statement["Action"]:
            yield from statement["Resource"]


OF_THE_HOST = {"AssociateAddress"}
OF_THE_SCALER = {
    "CreateFleet",
    "CreateTags",  # within the calls that launch
    "DescribeInstances",
    "DescribeLaunchTemplates",
    "GetConsoleOutput",
    "RunInstances",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
}


def called_of_ec2() -> set[str]:
    """Return the operations that the EC2 provider's source names."""
    known = boto3.client("ec2", "eu-central-1").meta.method_to_api_mapping
    found = set()
    for file in (ROOT / "images/scaler/imagefleet_scaler/providers/ec2").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value  # of a paginator
            if name in known:
                found.add(known[name])
    return found


def test_alarms_look_at_lines_that_the_scaler_logs() -> None:
    source = "\n".join(
        file.read_text() for file in (ROOT / "images/scaler/imagefleet_scaler").rglob("*.py")
    )
    for _, about in resources("AWS::Logs::MetricFilter"):
        event = re.search(r'\$\.event = "(.*?)"', about["FilterPattern"])
        assert event
        assert f'"{event[1]}"' in source


def test_money_and_other_caps_are_alarms_of_their_own() -> None:
    patterns = {
        about["MetricTransformations"][0]["MetricName"]: about["FilterPattern"]
        for _, about in resources("AWS::Logs::MetricFilter")
    }
    price = PolicyConfig(worker_usd_per_hour=1, max_usd_per_hour=1)
    money = bounds.limit(Memory(), price).cap

    assert patterns["MoneyCap"].endswith(f'$.cap = "{money}" }}')
    assert patterns["FleetCapped"].endswith(f'$.cap != "{money}" }}')
    assert bounds.limit(Memory(), PolicyConfig()).cap != money


def test_every_alarm_is_about_a_name_of_this_system() -> None:
    names = [about["AlarmName"] for _, about in resources("AWS::CloudWatch::Alarm")]

    assert len(set(names)) == len(names) >= 5
    assert all(name.startswith(f"{cloudformation.PREFIX}-") for name in names)


# --- user data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_user_data_is_a_cloud_config_that_ec2_takes(name: str) -> None:
    text = cloudformation.user_data(name)
    config = yaml.safe_load(text)

    assert text.startswith("#cloud-config\n")
    assert len(text.encode()) + template.MAX_SETTINGS_BYTES < 16_384
    # https://cloudinit.readthedocs.io/en/latest/reference/modules.html
    assert set(config) == {"write_files", "runcmd"}
    for file in config["write_files"]:
        assert set(file) <= {"path", "content", "permissions"}
        assert file["path"].startswith("/")
        assert ("#!" in file["content"]) == (file.get("permissions") == "0755")
    for command in config["runcmd"]:
        assert all(isinstance(word, str) for word in command), command


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_in_user_data_is_left_for_nobody_to_fill_in(name: str) -> None:
    assert not re.findall(r"<[A-Z]\w+>|^ *@", cloudformation.user_data(name), re.MULTILINE)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_secret_lies_in_user_data(name: str) -> None:
    text = cloudformation.user_data(name)

    assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|PRIVATE KEY|AWS_SECRET|(?i:passw)", text)
    assert not re.search(r"\b[0-9a-f]{64}\b", text)  # a key's hash


def test_the_web_host_gets_the_compose_files_of_the_repository() -> None:
    files = cloudformation.files("WebHostTemplate")

    for name in ("production.yaml", "production.awslogs.yaml", "production.roles.yaml"):
        ours = (ROOT / "compose" / name).read_text()
        assert composed(files[f"/opt/imagefleet/{name}"]) == composed(ours)


def composed(text: str) -> Any:
    class Loader(yaml.SafeLoader):
        """Takes compose's own tags for nothing."""

    def bare(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
        return loader.construct_mapping(cast(yaml.MappingNode, node), deep=True)

    cast(Callable[..., None], Loader.add_multi_constructor)("!", bare)
    return yaml.load(text, Loader)  # a safe loader of our own


@pytest.mark.parametrize(("name", "path"), SCRIPTS, ids=[path for _, path in SCRIPTS])
def test_scripts_in_user_data_are_good_shell(name: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_text(cloudformation.files(name)[path])

    checker = ["shellcheck"] if shutil.which("shellcheck") else ["sh", "-n"]
    done = subprocess.run([*checker, str(file)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
