"""What infra/fleet.yaml makes, and what its machines do with their user data."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
import yaml

import cloudformation
from imagefleet_scripts.deploy import template

ROOT = Path(__file__).parents[3]
TEMPLATES = ["WorkerTemplate", "WebHostTemplate"]
# Actions that AWS can't limit to a resource.
BOUNDLESS = {
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplates",
    "ecr:GetAuthorizationToken",
    "sqs:ListQueues",
}
SCRIPTS = [
    ("WorkerTemplate", "/usr/local/sbin/imagefleet-worker"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-up"),
    ("WebHostTemplate", "/usr/local/sbin/imagefleet-secrets"),
]


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
    file = tmp_path / "fleet.yaml"
    file.write_text(template.fleet())

    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, file], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
    assert file.stat().st_size <= 51_200


def test_every_parameter_is_explained_and_has_a_default() -> None:
    for name, about in cloudformation.fleet()["Parameters"].items():
        assert len(about["Description"]) > 20, name
        assert "Default" in about, name


@pytest.mark.parametrize("name", TEMPLATES)
def test_machines_ask_for_a_token_before_they_tell_their_role(name: str) -> None:
    options = launch_data(name)["MetadataOptions"]

    # Workers are on the host's network; the web host's containers are a hop farther away.
    hops = {"WorkerTemplate": 1, "WebHostTemplate": 2}[name]
    assert options == {
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": hops,
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


def test_only_http_and_https_come_in_and_only_to_the_web_host() -> None:
    groups = dict(resources("AWS::EC2::SecurityGroup"))

    assert [rule["FromPort"] for rule in groups["WebGroup"]["SecurityGroupIngress"]] == [80, 443]
    assert [rule["ToPort"] for rule in groups["WebGroup"]["SecurityGroupIngress"]] == [80, 443]
    assert "SecurityGroupIngress" not in groups["WorkerGroup"]
    assert not list(resources("AWS::EC2::SecurityGroupIngress"))


@pytest.mark.parametrize("role", ["WorkerRole", "WebHostRole"])
def test_no_role_has_an_action_by_wildcard_or_a_resource_it_could_be_limited_to(role: str) -> None:
    for statement in cloudformation.allowed(role):
        actions = statement["Action"]
        actions = {actions} if isinstance(actions, str) else set(actions)
        assert not any("*" in action for action in actions), statement
        if statement["Resource"] == "*":
            assert actions <= BOUNDLESS, statement


def test_the_scaler_launches_and_ends_only_what_carries_the_fleets_tag() -> None:
    mine = {"StringEquals": {"aws:RequestTag/imagefleet:fleet": cloudformation.PREFIX}}
    there = {"StringEquals": {"aws:ResourceTag/imagefleet:fleet": cloudformation.PREFIX}}

    for statement in cloudformation.allowed("WebHostRole"):
        actions, resource = statement["Action"], json.dumps(statement["Resource"])
        if "ec2:RunInstances" in actions and ":instance/*" in resource:
            assert statement["Condition"] == mine
        if "ec2:TerminateInstances" in actions or "ec2:StopInstances" in actions:
            assert statement["Condition"] == there
        if actions == "iam:PassRole":
            assert statement["Resource"] == {"GetAtt": "WorkerRole.Arn"} or "*" not in resource


def test_the_web_hosts_role_permits_the_calls_to_ec2_that_are_made_and_no_others() -> None:
    granted: set[str] = set()
    for statement in cloudformation.allowed("WebHostRole"):
        actions = statement["Action"]
        granted |= {actions} if isinstance(actions, str) else set(actions)

    ec2 = {action.removeprefix("ec2:") for action in granted if action.startswith("ec2:")}
    assert ec2 == OF_THE_SCALER | OF_THE_HOST
    within_others = {"CreateTags"}  # the calls that launch tag, too
    assert called_of_ec2() | within_others == OF_THE_SCALER


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
        event = re.search(r'"(.*)"', about["FilterPattern"])
        assert event
        assert f'"{event[1]}"' in source


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
    assert len(text.encode()) < 16_384
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

    for name in ("production.yaml", "production.awslogs.yaml"):
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


# --- what the machines do -------------------------------------------------------------------------


class Machine:
    """A folder that stands in for a machine's root, and programs that note how they are called."""

    def __init__(self, root: Path, template_name: str) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir()
        self.calls = root / "calls"
        self.calls.touch()
        for path, content in cloudformation.files(template_name).items():
            self.write(path, self.inside(content))
        self.write("/var/lib/cloud/data/instance-id", "i-0123456789abcdef0\n")
        (root / "run").mkdir(exist_ok=True)
        for name in ("docker", "aws", "systemctl", "sleep", "chown"):
            self.program(name, "")

    def inside(self, text: str) -> str:
        return re.sub(r"(?<![\w.$])/(etc|run|var|opt|usr/local)/", rf"{self.root}/\1/", text)

    def write(self, path: str, content: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def program(self, name: str, does: str) -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{self.calls}\n{does}\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def run(self, *command: str) -> int:
        path = f"{self.bin}:{self.root}/usr/local/sbin:{os.environ['PATH']}"
        for script in self.root.glob("usr/local/sbin/*"):
            script.chmod(0o755)
        env = {"PATH": path}
        return subprocess.run(command, env=env, check=False, capture_output=True).returncode

    def called(self, *words: str) -> list[str]:
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]


@pytest.fixture
def worker(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "WorkerTemplate")


@pytest.fixture
def web_host(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, "WebHostTemplate")
    machine.program("install", 'for last; do :; done; mkdir -p "$last"')
    return machine


def test_a_worker_runs_in_one_container_with_little_that_it_may_do(worker: Machine) -> None:
    assert worker.run("imagefleet-worker") == 0

    (call,) = worker.called("docker run")
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/pix/imagefleet-worker:1.2.0"
    assert call.endswith(image)
    for option in (
        "--network host",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--env IMAGEFLEET_WORKER_ID=i-0123456789abcdef0",
        "--log-opt awslogs-group=pix",
    ):
        assert option in call
    limit = re.search(r"--memory (\d+)m", call)
    assert limit
    assert 0 < int(limit[1]) < 2**21


def test_a_worker_is_told_the_settings_and_where_its_buckets_are(worker: Machine) -> None:
    worker.run("imagefleet-worker")

    assert worker.read("run/imagefleet-settings.env").split() == [
        "IMAGEFLEET_TARGET_S=5",
        "IMAGEFLEET_MAX_WORKERS=7",
    ]
    told = dict(line.split("=", 1) for line in worker.read("etc/imagefleet/worker.env").split())
    assert told["IMAGEFLEET_INPUT_BUCKET_NAME"] == "pix-input-123456789012-eu-central-1"
    assert told["IMAGEFLEET_INSTANCE_METADATA"] == "http://169.254.169.254"
    assert told["IMAGEFLEET_IDLE_EXIT_S"] == "600"


def test_an_image_that_is_there_is_not_pulled(worker: Machine) -> None:
    worker.run("imagefleet-worker")
    assert not worker.called("docker pull")

    worker.program("docker", 'case "$1$2" in imageinspect) exit 1 ;; esac')
    worker.run("imagefleet-worker")
    assert worker.called("docker pull", "pix/imagefleet-worker:1.2.0")


def unit(machine: Machine, name: str) -> dict[str, str]:
    lines = machine.read(f"etc/systemd/system/{name}").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_an_instance_ends_with_its_worker_however_that_ends(worker: Machine) -> None:
    service = unit(worker, "imagefleet-worker.service")

    assert {service[f"{how}Action"] for how in ("Success", "Failure", "StartLimit")} == {"poweroff"}
    assert service["Restart"] == "on-failure"
    # Docker's patience is longer than the worker's own (25 s and a long poll of 5 s), systemd's
    # longer still, and a spot instance has two minutes for all of it.
    stop = re.search(r"docker stop -t (\d+) worker", service["ExecStop"])
    assert stop
    assert 30 < int(stop[1]) < int(service["TimeoutStopSec"]) < 120


@pytest.mark.parametrize(
    ("docker", "ended"),
    [("echo 0123abcd", False), ("exit 0", True), ("exit 127", True)],
    ids=["a worker runs", "none runs", "docker is broken"],
)
def test_the_watchdog_ends_an_instance_without_a_worker(
    worker: Machine, docker: str, *, ended: bool
) -> None:
    command = unit(worker, "imagefleet-watchdog.service")["ExecStart"].replace("$$", "$")
    inner = re.fullmatch(r"/bin/sh -c '(.*)'", command)
    assert inner
    worker.program("docker", docker)

    worker.run("sh", "-c", inner[1])

    assert bool(worker.called("systemctl poweroff")) == ended
    assert unit(worker, "imagefleet-watchdog.timer")["OnBootSec"] == "10min"


AWS_WITH_SECRETS = """\
case "$*" in
  *get-parameters-by-path*) printf "/pix/web/keys.txt\\t/pix/web/privkey.pem" ;;
  *get-parameter*privkey*) echo "a private key" ;;
  *get-parameter*) echo "a hash" ;;
esac
"""


def test_the_web_host_comes_up_then_takes_the_address_then_says_that_it_is_well(
    web_host: Machine,
) -> None:
    web_host.program("aws", AWS_WITH_SECRETS)

    assert web_host.run("imagefleet-up") == 0

    order = ("docker compose", "aws ec2 associate-address", "aws cloudformation signal-resource")
    done = [line for line in web_host.called() if line.startswith(order)]
    assert all(line.startswith(step) for line, step in zip(done, order, strict=True))
    assert "--wait" in done[0]
    assert "--instance-id i-0123456789abcdef0" in done[1]
    assert "--stack-name pix-fleet --logical-resource-id WebHosts" in done[2]


def test_a_web_host_that_does_not_come_up_takes_no_address(web_host: Machine) -> None:
    web_host.program("aws", AWS_WITH_SECRETS)
    web_host.program("docker", "exit 1")

    assert web_host.run("imagefleet-up") != 0

    assert not web_host.called("associate-address")
    assert not web_host.called("signal-resource")


def test_without_its_secrets_nothing_is_started(web_host: Machine) -> None:
    web_host.program("aws", "exit 255")

    assert web_host.run("imagefleet-up") != 0

    assert not web_host.called("docker compose")


def test_what_the_stack_says_goes_before_a_setting_of_the_same_name(web_host: Machine) -> None:
    web_host.program("aws", AWS_WITH_SECRETS)
    web_host.write("opt/imagefleet/settings", "IMAGEFLEET_TAG=old|IMAGEFLEET_TARGET_S=5\n")

    web_host.run("imagefleet-up")

    lines = web_host.read("opt/imagefleet/production.env").splitlines()
    told = dict(line.split("=", 1) for line in lines if line)
    assert told["IMAGEFLEET_TAG"] == "1.2.0"
    assert told["IMAGEFLEET_TARGET_S"] == "5"


def test_keys_and_certificates_go_to_their_folders_and_the_proxy_hears_of_a_new_one(
    web_host: Machine,
) -> None:
    web_host.program("aws", AWS_WITH_SECRETS)

    assert web_host.run("imagefleet-secrets") == 0

    assert web_host.read("etc/imagefleet/web/keys.txt") == "a hash\n"
    assert web_host.read("etc/imagefleet/tls/privkey.pem") == "a private key\n"
    assert len(web_host.called("docker kill --signal HUP")) == 1

    # The second time nothing is new.
    web_host.run("imagefleet-secrets")
    assert len(web_host.called("docker kill --signal HUP")) == 1
