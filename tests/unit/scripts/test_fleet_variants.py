"""What infra/fleet.yaml makes behind a load balancer, and with a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cloudformation
from imagefleet_web.settings import WebSettings

ROOT = Path(__file__).parents[3]
BALANCED = {
    "ImageTag": "1",
    "WebHostCount": "3",
    "CertificateArn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
}


def test_only_http_and_https_come_in_and_only_to_the_web_host() -> None:
    made = cloudformation.variant(ImageTag="1")

    assert ingress(made) == {"WebGroup": [(80, 80, "<ClientCidr>"), (443, 443, "<ClientCidr>")]}


def test_behind_a_load_balancer_nobody_else_reaches_the_web_hosts() -> None:
    made = cloudformation.variant(**BALANCED)

    assert ingress(made) == {
        "WebGroup": [(80, 80, "<BalancerGroup.GroupId>")],
        "BalancerGroup": [(80, 80, "<ClientCidr>"), (443, 443, "<ClientCidr>")],
    }
    assert "Address" not in made


def test_the_load_balancer_comes_after_the_networks_way_out_and_goes_before_it() -> None:
    tags = cloudformation.variant(**BALANCED)["Balancer"]["Properties"]["Tags"]

    # Whatever becomes of it: the reference is what sets the order.
    assert "<DefaultRoute>" in json.dumps(tags)


def test_workers_may_go_out_to_aws_debian_and_dns_alone() -> None:
    group = cloudformation.variant(ImageTag="1")["WorkerGroup"]["Properties"]

    allowed = {
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
        for rule in group["SecurityGroupEgress"]
    }
    assert allowed == {("tcp", 443, 443), ("tcp", 80, 80), ("udp", 53, 53)}


@pytest.mark.parametrize(
    ("given", "network", "tables"),
    [
        ({}, "<Vpc>", ["<RouteTable>"]),
        (
            {"VpcId": "vpc-1", "RouteTableIds": "rtb-1"},
            "<VpcId>",
            {"Split": [",", "<RouteTableIds>"]},
        ),
    ],
    ids=["own network", "given network"],
)
def test_images_go_to_s3_past_any_nat_gateway(
    given: dict[str, str], network: str, tables: Any
) -> None:
    endpoint = cloudformation.variant(**given)["S3Endpoint"]["Properties"]

    assert (endpoint["VpcId"], endpoint["RouteTableIds"]) == (network, tables)


def test_a_network_that_is_there_is_left_as_it_is_unless_told() -> None:
    assert "S3Endpoint" not in cloudformation.variant(VpcId="vpc-1", SubnetIds="subnet-1")


def ingress(made: dict[str, Any]) -> dict[str, list[tuple[int, int, str]]]:
    """Return what may come in from where, by security group; those without are left out."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    for name, about in made.items():
        rules = about["Properties"].get("SecurityGroupIngress", [])
        if about["Type"] == "AWS::EC2::SecurityGroupIngress":
            name = about["Properties"]["GroupId"].strip("<>").partition(".")[0]
            rules = [about["Properties"]]
        for rule in rules:
            source = rule.get("CidrIp") or rule["SourceSecurityGroupId"]
            found.setdefault(name, []).append((rule["FromPort"], rule["ToPort"], source))
    return found


def test_the_load_balancer_speaks_tls_and_leads_everything_else_there() -> None:
    made = cloudformation.variant(**BALANCED)

    https, http = (made[name]["Properties"] for name in ("HttpsListener", "HttpListener"))
    assert (https["Port"], https["Protocol"]) == (443, "HTTPS")
    assert "TLS13" in https["SslPolicy"]
    (redirect,) = http["DefaultActions"]
    assert redirect["RedirectConfig"] == {
        "Protocol": "HTTPS",
        "Port": "443",
        "StatusCode": "HTTP_301",
    }
    targets = made["WebTargets"]["Properties"]
    assert (targets["Port"], targets["HealthCheckPath"]) == (80, "/healthz")


def test_a_request_may_wait_for_longer_than_the_longest_wait_behind_a_load_balancer() -> None:
    idle = float(cloudformation.fleet()["Parameters"]["BalancerIdleSeconds"]["Default"])
    start = (ROOT / "images/proxy/start").read_text()

    # The proxy keeps a connection for a quarter of a minute longer than the balancer may use it.
    assert "READ_S=$((IMAGEFLEET_MAX_WAIT_S + 60))" in start
    assert "KEEPALIVE_S=$((READ_S + 15))" in start
    assert idle == WebSettings().max_wait_s + 60


def test_web_hosts_behind_a_load_balancer_are_as_many_as_asked_for_also_during_an_upgrade() -> None:
    group = cloudformation.variant(**BALANCED)["WebHosts"]

    assert (
        group["UpdatePolicy"]["AutoScalingRollingUpdate"]["MinInstancesInService"]
        == (group["Properties"]["DesiredCapacity"])
    )
    assert int(group["Properties"]["MaxSize"]) > int(
        cloudformation.fleet()["Parameters"]["WebHostCount"]["MaxValue"]
    )
    assert group["Properties"]["HealthCheckType"] == "ELB"
    assert group["Properties"]["TargetGroupARNs"] == ["<WebTargets>"]


def test_without_a_certificate_there_is_no_load_balancer() -> None:
    made = cloudformation.variant(ImageTag="1")

    assert not [name for name, about in made.items() if "LoadBalancing" in about["Type"]]
    assert "TargetGroupARNs" not in made["WebHosts"]["Properties"]
    assert made["WebHosts"]["Properties"]["HealthCheckType"] == "EC2"


@pytest.mark.parametrize(
    ("given", "kind", "disk"),
    [
        ({}, "c7i.large", 10),
        ({"WorkerGpu": "true"}, "g6.xlarge", 40),
        ({"WorkerGpu": "true", "WorkerInstanceTypes": "a", "WorkerDiskGiB": "8"}, "<W", "<W"),
    ],
    ids=["usual", "with a GPU", "as asked for"],
)
def test_workers_with_a_gpu_have_types_and_disks_for_it(
    given: dict[str, str], kind: str, disk: int | str
) -> None:
    made = cloudformation.variant(ImageTag="1", **given)
    data = made["WorkerTemplate"]["Properties"]["LaunchTemplateData"]

    (first, of) = data["InstanceType"]["Select"]
    assert first == 0
    assert of["Split"][1].startswith(kind)
    (mapping,) = data["BlockDeviceMappings"]
    assert str(mapping["Ebs"]["VolumeSize"]).startswith(str(disk))
