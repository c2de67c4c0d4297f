"""What the machines of infra/fleet.yaml do with their user data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

import cloudformation
from cloud_machine import AWS_WITH_SECRETS, Machine, unit, web_host_at
from imagefleet_scripts.deploy import template


@pytest.fixture
def worker(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "WorkerTemplate")


@pytest.fixture
def web_host(tmp_path: Path) -> Machine:
    return web_host_at(tmp_path)


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


def test_an_instance_ends_with_its_worker_however_that_ends(worker: Machine) -> None:
    service = unit(worker, "imagefleet-worker.service")

    assert {service[f"{how}Action"] for how in ("Success", "StartLimit")} == {"poweroff"}
    assert service["Restart"] == "on-failure"
    assert "FailureAction" not in service  # systemd takes it at the first failure
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


def test_a_host_behind_a_load_balancer_says_that_it_is_well_once_that_sends_requests(
    web_host: Machine,
) -> None:
    web_host.program("aws", AWS_WITH_SECRETS)
    script = "usr/local/sbin/imagefleet-up"
    text = web_host.read(script).replace('targets=""', 'targets="arn:targets"')
    web_host.write(script, text.replace('allocation="eipalloc-0123456789abcdef0"', 'allocation=""'))

    assert web_host.run("imagefleet-up") == 0

    wait, signal = web_host.called("elbv2")[0], web_host.called("signal-resource")[0]
    assert "wait target-in-service --target-group-arn arn:targets" in wait
    assert "--targets Id=i-0123456789abcdef0" in wait
    assert web_host.called().index(wait) < web_host.called().index(signal)
    assert not web_host.called("associate-address")


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


def test_behind_a_load_balancer_the_proxy_speaks_http_and_believes_it_whatever_is_set(
    web_host: Machine,
) -> None:
    # given settings as a user may give them, and what the stack adds behind a balancer
    web_host.program("aws", AWS_WITH_SECRETS)
    condition, added, without = put_into_user_data()["Balancing"]["Fn::If"]
    assert (condition, without) == ("Balanced", "")
    balancing = added["Fn::Sub"][0].replace("${Networks}", "10.78.0.0/16")
    web_host.write("opt/imagefleet/settings", f"IMAGEFLEET_TLS=true|IMAGEFLEET_A=1{balancing}\n")

    web_host.run("imagefleet-up")

    lines = web_host.read("opt/imagefleet/production.env").splitlines()
    told = dict(line.split("=", 1) for line in lines if line)
    assert told["IMAGEFLEET_TLS"] == "false"
    assert told["IMAGEFLEET_LOAD_BALANCER_NETWORKS"] == "10.78.0.0/16"
    assert told["IMAGEFLEET_A"] == "1"


def put_into_user_data() -> dict[str, Any]:
    """Return what is put into the web host's user data beside parameters and resources."""
    sent = json.loads(template.fleet())["Resources"]["WebHostTemplate"]["Properties"]
    return cast(dict[str, Any], sent["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"][1])


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


@pytest.fixture
def host_at_work(web_host: Machine) -> Machine:
    """A web host whose service has answered before."""
    assert looked(web_host, "well") == []
    return web_host


def looked(host: Machine, *minutes: str) -> list[str]:
    """Let a host look after itself, well or not; return its calls for another one, by minute."""
    for minute in minutes:
        host.program("curl", "" if minute == "well" else "exit 7")
        host.run("imagefleet-health")
    return host.called("set-instance-health")


def test_a_host_whose_service_is_dead_for_minutes_has_itself_replaced(
    host_at_work: Machine,
) -> None:
    assert looked(host_at_work, *["dead"] * 4) == []

    (call,) = looked(host_at_work, "dead")

    assert "autoscaling set-instance-health --health-status Unhealthy" in call
    assert call.endswith("--instance-id i-0123456789abcdef0")
    assert "http://127.0.0.1/healthz" in host_at_work.called("curl")[-1]


def test_a_host_that_answers_now_and_then_stays(host_at_work: Machine) -> None:
    assert looked(host_at_work, *[*["dead"] * 4, "well"] * 3) == []


def test_a_host_that_never_came_up_is_left_to_the_deployment_and_then_replaced(
    web_host: Machine,
) -> None:
    # given the group keeps what it is told until a deployment has given up by itself
    update = cloudformation.variant(ImageTag="1")["WebHosts"]["UpdatePolicy"]
    assert update["AutoScalingRollingUpdate"]["PauseTime"] == "PT10M"
    assert looked(web_host, *["dead"] * 29) == []

    # when it never answered for half an hour, as one that its group launched at night
    (call,) = looked(web_host, "dead")

    assert call.endswith("--instance-id i-0123456789abcdef0")
    assert not web_host.called("poweroff")


def test_a_host_that_could_not_even_install_what_asks_for_another_is_replaced_for_being_off(
    web_host: Machine,
) -> None:
    without(web_host, "usr/local/sbin/imagefleet-health", "aws")
    assert looked(web_host, *["dead"] * 29) == []
    assert not web_host.called("poweroff")

    assert looked(web_host, "dead") == []

    assert web_host.called("systemctl poweroff")


def test_a_mirror_that_is_down_at_a_first_boot_is_asked_until_it_is_there(
    web_host: Machine,
) -> None:
    # given a machine without Docker, and mirrors that have nothing twice
    first = yaml.safe_load(cloudformation.user_data("WebHostTemplate"))["runcmd"]
    (install,) = [each for each in first if "apt-get" in each[-1]]
    web_host.write("install", install[2])
    without(web_host, "install", "docker-credential-ecr-login")
    count = f'"$(grep -c "apt-get install" {web_host.calls})"'
    web_host.program("apt-get", f"case $1 in install) [ {count} -ge 3 ] || exit 100 ;; esac")

    assert web_host.run("sh", "-c", web_host.read("install")) == 0

    tries = [line for line in web_host.called() if "install" in line or "sleep" in line]
    assert [line.split()[0] for line in tries] == ["apt-get", "sleep"] * 2 + ["apt-get"]
    # and who looks whether it comes up does not wait for that
    looks = [systemctl for systemctl in first if "imagefleet-health.timer" in systemctl]
    assert first.index(looks[0]) < first.index(install)


def without(host: Machine, script: str, program: str) -> None:
    """Have a script find that a program is not there, whatever this machine has."""
    text = host.read(script)
    assert f"command -v {program} " in text
    host.write(script, text.replace(f"command -v {program} ", "command -v no-such-program "))


def test_a_host_looks_after_itself_every_minute_and_says_so_on_its_console(
    web_host: Machine,
) -> None:
    timer = unit(web_host, "imagefleet-health.timer")

    assert timer["OnUnitActiveSec"] == timer["OnBootSec"] == "1min"
    assert "imagefleet-health.timer]" in cloudformation.user_data("WebHostTemplate")
    for service in ("", "-health", "-secrets", "-credentials"):
        # What goes wrong follows it, as systemd has it by default.
        told = unit(web_host, f"imagefleet{service}.service")
        assert told["StandardOutput"] == "journal+console"


def test_the_group_takes_a_hosts_word_for_it_but_not_in_its_first_minutes_nor_in_an_upgrade() -> (
    None
):
    group = cloudformation.variant(ImageTag="1")["WebHosts"]

    # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceHealth.html
    assert group["Properties"]["HealthCheckGracePeriod"] >= 600
    suspended = group["UpdatePolicy"]["AutoScalingRollingUpdate"]["SuspendProcesses"]
    assert {"HealthCheck", "ReplaceUnhealthy"} <= set(suspended)
    (permitted,) = [
        each
        for each in cloudformation.allowed("WebHostRole")
        if each["Action"] == "autoscaling:SetInstanceHealth"
    ]
    assert permitted["Resource"].endswith(":autoScalingGroupName/pix-fleet-WebHosts-*")
