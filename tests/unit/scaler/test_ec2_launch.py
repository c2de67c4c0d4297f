"""How EC2 instances are asked for, and what comes of it when EC2 has fewer or none."""

from typing import Any

import pytest
from structlog.typing import EventDict

from ec2_account import BadDay, bad_day
from ec2_faults import Fault, no_credentials, only, refused
from imagefleet_scaler.providers.base import ProviderError

MIB = {"Key": "imagefleet:fleet", "Value": "test"}
TYPES = ("c7i.large", "c6i.large")
SUBNETS = ("subnet-0a", "subnet-0b")
# Of the second attempt, which moto need not carry out in subnets that it does not have.
NO_SUBNETS: dict[str, Any] = {"types": TYPES}


def warnings(logged: list[EventDict]) -> list[str]:
    return [
        f"{entry['event']}: {entry.get('reason')}"
        for entry in logged
        if entry["log_level"] == "warning"
    ]


def test_one_call_launches_and_tags_everything(day: BadDay) -> None:
    launched = day.provider.launch(3)

    (request,) = day.ec2.requests("create_fleet")
    tagged = {each["ResourceType"]: each["Tags"] for each in request["TagSpecifications"]}
    assert request["Type"] == "instant"
    assert request["TargetCapacitySpecification"]["TotalTargetCapacity"] == 3
    assert tagged.keys() == {"fleet", "instance", "volume"}
    assert all(MIB in pairs for pairs in tagged.values())
    assert request["LaunchTemplateConfigs"] == [
        {"LaunchTemplateSpecification": {"LaunchTemplateName": "worker", "Version": "1"}}
    ]
    for instance in day.account.instances():
        tags = {each["Key"]: each["Value"] for each in instance["Tags"]}
        assert tags["imagefleet:launch"] == request["ClientToken"]
        assert tags["imagefleet:template"] == "1"
        assert tags["Name"] == "test-worker"
    assert set(launched) == day.account.ids()


def test_types_and_subnets_are_offered_in_the_order_of_preference() -> None:
    with bad_day(types=TYPES, subnets=SUBNETS) as day:
        day.ec2.plan("create_fleet", only(0, "InsufficientInstanceCapacity"))

        day.provider.launch(1)

        (request,) = day.ec2.requests("create_fleet")
        overrides = request["LaunchTemplateConfigs"][0]["Overrides"]
        pairs = [(each["InstanceType"], each["SubnetId"], each["Priority"]) for each in overrides]
        assert pairs == [
            ("c7i.large", "subnet-0a", 0),
            ("c7i.large", "subnet-0b", 0),
            ("c6i.large", "subnet-0a", 1),
            ("c6i.large", "subnet-0b", 1),
        ]
        assert request["OnDemandOptions"] == {"AllocationStrategy": "prioritized"}


@pytest.mark.parametrize(
    ("percent", "launches", "spots"),
    [
        (0, [4], [0]),
        (100, [3], [3]),
        (50, [4], [2]),
        (50, [1, 1, 1, 1], [1, 0, 1, 0]),
        (25, [2, 6], [1, 1]),
    ],
)
def test_the_share_of_spot_instances_is_that_of_the_whole_fleet(
    percent: float, launches: list[int], spots: list[int]
) -> None:
    with bad_day(spot_percent=percent) as day:
        for count in launches:
            day.provider.launch(count)

        wanted = [
            request["TargetCapacitySpecification"] for request in day.ec2.requests("create_fleet")
        ]
        assert [each["SpotTargetCapacity"] for each in wanted] == spots
        assert len(day.account.ids()) == sum(launches)


@pytest.mark.parametrize(
    "code",
    [
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "UnfulfillableCapacity",
        "MaxSpotInstanceCountExceeded",
        "SpotMaxPriceTooLow",
        "VcpuLimitExceeded",
        "InsufficientFreeAddressesInSubnet",
    ],
)
def test_what_spot_lacks_is_launched_on_demand(code: str, logged: list[EventDict]) -> None:
    with bad_day(spot_percent=100) as day:
        day.ec2.plan("create_fleet", only(1, code))

        launched = day.provider.launch(3)

        first, second = day.ec2.requests("create_fleet")
        assert second["TargetCapacitySpecification"]["OnDemandTargetCapacity"] == 2
        assert second["ClientToken"] != first["ClientToken"]
        assert len(launched) == 3
        assert day.listed() == set(launched) == day.account.ids()
        assert warnings(logged) == []
        assert [code in each.get("reason", "") or "vCPUs" in each["reason"] for each in logged] == [
            True
        ]


def refusing(*refusals: tuple[str, str]) -> Fault:
    """Launch nobody, for several reasons."""
    errors = [{"ErrorCode": code, "ErrorMessage": said} for code, said in refusals]
    return lambda call, request: {"FleetId": "fleet-1", "Instances": [], "Errors": errors}


NOT_OFFERED = (
    "InvalidFleetConfiguration",
    "Your requested instance type (c7i.large) is not supported in your requested Availability "
    "Zone (us-east-1e). Please retry your request by choosing us-east-1a, us-east-1b.",
)
NO_CAPACITY = ("InsufficientInstanceCapacity", "We have no capacity.")
BAD_IMAGE = ("InvalidAMIID.NotFound", "The image is gone")


def test_a_zone_that_does_not_offer_the_type_keeps_nobody_from_the_others(day: BadDay) -> None:
    day.restart(spot_percent=100)
    day.ec2.plan("create_fleet", refusing(NO_CAPACITY, NOT_OFFERED))

    assert len(day.provider.launch(3)) == 3

    assert len(day.ec2.requests("create_fleet")) == 2


def test_where_no_zone_offers_the_type_people_are_told_and_it_is_asked_for_later(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.ec2.plan("create_fleet", refusing(NOT_OFFERED))

    assert day.provider.launch(3) == []

    (said,) = warnings(logged)
    assert "us-east-1e" in said
    assert "check IMAGEFLEET_INSTANCE_TYPES and IMAGEFLEET_SUBNETS" in said
    day.clock.now += 30
    assert len(day.provider.launch(3)) == 3


def test_one_place_that_only_a_person_can_mend_does_not_end_the_search(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.restart(spot_percent=100)
    day.ec2.plan("create_fleet", *[refusing(NO_CAPACITY, BAD_IMAGE)] * 2)

    assert day.provider.launch(3) == []

    assert len(day.ec2.requests("create_fleet")) == 2
    assert ["make the image again" in said for said in warnings(logged)] == [True]
    day.clock.now += 30
    assert len(day.provider.launch(3)) == 3


def test_a_throttled_call_ends_the_search(day: BadDay) -> None:
    day.restart(spot_percent=100)
    day.ec2.plan("create_fleet", refusing(NO_CAPACITY, ("RequestLimitExceeded", "Slow down.")))

    assert day.provider.launch(3) == []

    assert len(day.ec2.requests("create_fleet")) == 1


def test_those_that_were_launched_are_told_though_the_next_call_fails(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.restart(spot_percent=100)
    day.ec2.plan("create_fleet", only(1, "InsufficientInstanceCapacity"), no_credentials)

    launched = day.provider.launch(3)

    assert set(launched) == day.account.ids()
    assert len(launched) == 1
    assert warnings(logged)[-1].startswith("no more workers could be launched")


def test_no_capacity_at_all_is_told_with_what_helps_and_asked_for_later(
    day: BadDay, logged: list[EventDict]
) -> None:
    lacking = only(
        0,
        "InsufficientInstanceCapacity",
        "We have no capacity.",
        InstanceType="c7i.large",
        AvailabilityZone="us-east-1a",
    )
    day.ec2.plan("create_fleet", lacking)

    assert day.provider.launch(2) == []
    assert day.provider.launch(2) == []

    assert len(day.ec2.requests("create_fleet")) == 1
    assert warnings(logged) == [
        "not all workers could be launched: InsufficientInstanceCapacity (c7i.large, us-east-1a): "
        "We have no capacity: name more types in IMAGEFLEET_INSTANCE_TYPES, or subnets of more "
        "zones in IMAGEFLEET_SUBNETS"
    ]
    day.clock.now += 30
    assert len(day.provider.launch(2)) == 2


def test_a_part_of_what_was_asked_for_is_a_success(day: BadDay, logged: list[EventDict]) -> None:
    day.ec2.plan("create_fleet", only(2, "InsufficientInstanceCapacity", InstanceType="c7i.large"))

    launched = day.provider.launch(5)

    assert len(launched) == 2
    assert day.listed() == set(launched)
    assert [entry["missing"] for entry in logged if "missing" in entry] == [3]
    day.clock.now += 30
    assert len(day.provider.launch(3)) == 3


def test_errors_of_some_types_matter_to_nobody_once_all_is_launched(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.ec2.plan("create_fleet", only(3, "InvalidFleetConfiguration"))

    assert len(day.provider.launch(3)) == 3
    day.clock.now += 2
    assert len(day.provider.launch(1)) == 1
    assert warnings(logged) == []


VCPUS = (
    "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the "
    "instance bucket that the specified instance type belongs to."
)


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("VcpuLimitExceeded", VCPUS, "only 32 vCPUs of such instances (c7i.large): ask for more"),
        ("InstanceLimitExceeded", "Too many.", "ask for more under Service Quotas"),
        ("InsufficientFreeAddressesInSubnet", "Full.", "more or larger subnets in IMAGEFLEET_SUBN"),
        ("RequestLimitExceeded", "Slow down.", "AWS takes no more calls of CreateFleet"),
        ("Throttling", "Slow down.", "AWS takes no more calls of CreateFleet"),
        ("VolumeLimitExceeded", "Too many.", "ask for more under Service Quotas"),
        ("PendingVerification", "Wait.", "AWS is still verifying the account"),
    ],
)
@pytest.mark.parametrize("raised", [True, False])
def test_a_limit_is_told_once_and_left_alone_for_longer_each_time(
    day: BadDay, logged: list[EventDict], code: str, said: str, told: str, raised: bool
) -> None:
    fault = refused(code, said) if raised else only(0, code, said, InstanceType="c7i.large")
    day.ec2.plan("create_fleet", *[fault] * 6)
    pauses = []

    for expected in (30, 60, 120, 240, 480, 600):
        began, asked = day.clock.now, len(day.ec2.requests("create_fleet"))
        assert day.provider.launch(4) == []
        while day.clock.now < began + expected - 2:
            day.clock.now += 2
            assert day.provider.launch(4) == []
        assert len(day.ec2.requests("create_fleet")) == asked + 1
        day.clock.now = began + expected
        pauses.append(expected)

    if raised:
        told = told.replace(" (c7i.large)", "")
    assert all(told in line for line in warnings(logged))
    assert [entry["next_try_s"] for entry in logged if "next_try_s" in entry] == pauses
    # A success makes the next pause short again.
    assert len(day.provider.launch(1)) == 1
    day.ec2.plan("create_fleet", fault)
    day.provider.launch(1)
    assert [entry["next_try_s"] for entry in logged if "next_try_s" in entry][-1] == 30


FORBIDDEN = (
    "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not "
    "authorized to perform: ec2:RunInstances on resource: *. Encoded authorization failure "
    "message: c2VjcmV0"
)


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        ("UnauthorizedOperation", FORBIDDEN, "do not permit ec2:RunInstances: allow it"),
        ("UnauthorizedOperation", "no", "do not permit ec2:CreateFleet: allow it"),
        ("InvalidLaunchTemplateName.NotFoundException", "None.", "deploy the fleet's template"),
        ("InvalidSubnetID.NotFound", "The subnet ID 'subnet-1' does not exist", "check IMAGEFLEET"),
        ("OptInRequired", "You need to subscribe.", "subscribe to the service"),
        ("InvalidAMIID.NotFound", "The image is gone", "make the image again"),
        ("DryRunOperation", "Request would have succeeded", "DryRunOperation"),
        ("InvalidParameterValue", "Bad type.", "InvalidParameterValue: Bad type"),
        ("SomethingNew", "Never heard of.", "SomethingNew"),
    ],
)
@pytest.mark.parametrize("raised", [True, False])
def test_what_only_a_person_can_mend_is_one_clear_sentence(
    day: BadDay, code: str, said: str, told: str, raised: bool
) -> None:
    day.ec2.plan("create_fleet", refused(code, said) if raised else only(0, code, said))

    for _ in range(3):
        with pytest.raises(ProviderError) as raised_error:
            day.provider.launch(1)
        assert told in str(raised_error.value)
        assert "c2VjcmV0" not in str(raised_error.value)
        assert "\n" not in str(raised_error.value)

    assert len(day.ec2.requests("create_fleet")) == 1
    day.clock.now += 30
    assert len(day.provider.launch(1)) == 1


def test_a_missing_template_is_one_clear_sentence(day: BadDay) -> None:
    day.restart(template="nobody-made-this")

    with pytest.raises(ProviderError, match="no launch template is called nobody-made-this"):
        day.provider.launch(1)
    with pytest.raises(ProviderError):
        day.provider.launch(1)

    assert len(day.ec2.requests("describe_launch_templates")) == 1
    assert day.provider.list() == []


def test_a_template_that_cannot_be_looked_at_now_keeps_nobody_from_launching(
    day: BadDay, logged: list[EventDict]
) -> None:
    day.provider.launch(1)
    day.turn()
    day.clock.now += 61
    throttled = refused("RequestLimitExceeded", "Slow down.", "DescribeLaunchTemplates")
    day.ec2.plan("describe_launch_templates", throttled)

    assert len(day.provider.launch(2)) == 2

    assert day.ec2.requests("create_fleet")[-1]["LaunchTemplateConfigs"] == [
        {"LaunchTemplateSpecification": {"LaunchTemplateName": "worker", "Version": "1"}}
    ]
    assert ["DescribeLaunchTemplates" in said for said in warnings(logged)] == [True]


def test_a_template_that_is_deleted_is_told_though_its_version_was_known(day: BadDay) -> None:
    day.provider.launch(1)
    day.clock.now += 61
    gone = refused("InvalidLaunchTemplateName.NotFoundException", "None.", "DescribeLaunchT")
    day.ec2.plan("describe_launch_templates", gone)

    with pytest.raises(ProviderError, match="deploy the fleet's template first"):
        day.provider.launch(1)


def test_one_by_one_the_next_type_is_asked_for_what_the_first_lacks() -> None:
    with bad_day(by_run=True, types=TYPES, image_id="ami-12c6146b") as day:
        day.ec2.plan("run_instances", refused("InsufficientInstanceCapacity", "None.", "Run"))

        launched = day.provider.launch(2)

        requests = day.ec2.requests("run_instances")
        assert [each["InstanceType"] for each in requests][:2] == list(TYPES)
        assert len({each["ClientToken"] for each in requests}) == len(requests)
        assert {each["InstanceType"] for each in day.account.instances()} == {"c6i.large"}
        assert day.listed() == set(launched) == day.account.ids()
        assert len(launched) == 2


def test_one_by_one_spot_comes_first_and_on_demand_for_the_rest(logged: list[EventDict]) -> None:
    with bad_day(by_run=True, types=TYPES, spot_percent=50, image_id="ami-12c6146b") as day:
        lacking = refused("MaxSpotInstanceCountExceeded", "No more spot.", "RunInstances")
        day.ec2.plan("run_instances", lacking, lacking)

        launched = day.provider.launch(2)

        spot, also_spot, *others = day.ec2.requests("run_instances")
        assert spot["InstanceMarketOptions"] == also_spot["InstanceMarketOptions"]
        assert spot["MaxCount"] == 1
        assert not any("InstanceMarketOptions" in each for each in others)
        assert len(launched) == 2
        assert warnings(logged) == []


def test_one_by_one_a_limit_of_one_type_leads_to_the_next(logged: list[EventDict]) -> None:
    with bad_day(by_run=True, types=TYPES, image_id="ami-12c6146b") as day:
        day.ec2.plan("run_instances", refused("VcpuLimitExceeded", VCPUS, "RunInstances"))

        assert len(day.provider.launch(2)) == 2

        assert {each["InstanceType"] for each in day.account.instances()} == {"c6i.large"}
        assert [entry["reason"] for entry in logged] == [
            "the account allows only 32 vCPUs of such instances (c7i.large): ask for more under "
            "Service Quotas"
        ]


def test_one_by_one_a_quota_is_asked_for_once_in_whatever_subnet() -> None:
    with bad_day(by_run=True, types=TYPES, subnets=SUBNETS, spot_percent=100) as day:
        full = refused("VcpuLimitExceeded", VCPUS, "RunInstances")
        day.ec2.plan("run_instances", *[full] * 4)

        assert day.provider.launch(2) == []

        asked = day.ec2.requests("run_instances")
        assert [(each["InstanceType"], each["SubnetId"]) for each in asked] == [
            ("c7i.large", "subnet-0a"),
            ("c6i.large", "subnet-0a"),
        ] * 2


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "EC2ThrottledException"])
def test_one_by_one_a_throttled_call_ends_the_search(code: str) -> None:
    with bad_day(by_run=True, types=TYPES, image_id="ami-12c6146b") as day:
        day.ec2.plan("run_instances", refused(code, "Slow down.", "RunInstances"))

        assert day.provider.launch(2) == []
        assert day.provider.launch(2) == []

        assert len(day.ec2.requests("run_instances")) == 1


def test_one_by_one_what_only_a_person_can_mend_ends_the_search() -> None:
    with bad_day(by_run=True, types=TYPES, image_id="ami-12c6146b") as day:
        day.ec2.plan("run_instances", refused("InvalidAMIID.NotFound", "Gone.", "RunInstances"))

        with pytest.raises(ProviderError, match="make the image again"):
            day.provider.launch(2)

        assert len(day.ec2.requests("run_instances")) == 1
