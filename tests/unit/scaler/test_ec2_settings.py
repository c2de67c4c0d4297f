"""What the EC2 provider can be told, and what it takes where it is told nothing."""

import boto3
import pytest

from imagefleet_core.settings import SettingsError, load
from imagefleet_scaler.providers.choose import choose_provider
from imagefleet_scaler.providers.ec2.prices import USD_PER_HOUR, usual_price
from imagefleet_scaler.providers.ec2.provider import Ec2Provider
from imagefleet_scaler.providers.words import last_words
from imagefleet_scaler.settings import ScalerSettings


def settings(**variables: str) -> ScalerSettings:
    environ = {f"IMAGEFLEET_{name.upper()}": value for name, value in variables.items()}
    return load(ScalerSettings, {"IMAGEFLEET_PROVIDER": "ec2", **environ})


def test_lists_are_read_with_or_without_blanks_and_each_item_counts_once() -> None:
    read = settings(instance_types=" c7i.large , c6i.large,c7i.large", subnets="subnet-0a,")

    assert read.listed_instance_types == ("c7i.large", "c6i.large")
    assert read.listed_subnets == ("subnet-0a",)
    assert settings().listed_instance_types == ()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"instance_types": "large"}, "IMAGEFLEET_INSTANCE_TYPES is 'large': expected types like"),
        ({"instance_types": "c7i.large c6i.large"}, "expected types like c7i.large,c6i.large"),
        ({"subnets": "vpc-0a"}, "IMAGEFLEET_SUBNETS is 'vpc-0a': expected ids like subnet-"),
        ({"spot_percent": "101"}, "IMAGEFLEET_SPOT_PERCENT is '101': expected a number at least 0"),
        ({"warm_pool": "-1"}, "IMAGEFLEET_WARM_POOL is '-1'"),
        ({"ec2_launch": "spot"}, "IMAGEFLEET_EC2_LAUNCH is 'spot': expected one of fleet, run"),
        ({"image_id": "debian"}, "IMAGEFLEET_IMAGE_ID is 'debian'"),
        (
            {
                "instance_types": ",".join(f"c{n}.large" for n in range(101)),
                "subnets": "subnet-0a,subnet-0b,subnet-0c",
            },
            "has 101 and IMAGEFLEET_SUBNETS 3: expected at most 300 pairs",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(
    variables: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(**variables)

    assert told in str(raised.value)


def test_a_price_of_ones_own_overrules_the_table() -> None:
    assert settings(instance_types="c7i.large").usd_per_hour == USD_PER_HOUR["c7i.large"]
    assert settings(instance_types="c7i.large", worker_usd_per_hour="0.05").usd_per_hour == 0.05
    assert settings(instance_types="c7i.large", provider="docker").usd_per_hour == 0


def test_the_dearest_type_counts_and_an_unknown_one_leaves_the_price_open() -> None:
    assert usual_price(["c7i.large", "c7i.xlarge"]) == USD_PER_HOUR["c7i.xlarge"]
    assert usual_price(["c7i.large", "u-24tb1.metal"]) == 0
    assert usual_price([]) == 0


def test_a_cap_on_money_is_content_with_the_price_of_the_table() -> None:
    capped = settings(instance_types="c7i.large", max_usd_per_hour="1")

    assert capped.policy.worker_usd_per_hour == USD_PER_HOUR["c7i.large"]
    with pytest.raises(SettingsError, match="IMAGEFLEET_WORKER_USD_PER_HOUR is not set"):
        settings(max_usd_per_hour="1")


def test_the_least_that_is_billed_is_the_providers_unless_given() -> None:
    assert settings().policy.billed_s == 60
    assert settings(billed_s="3600").policy.billed_s == 3600
    assert settings(provider="docker").policy.billed_s == 0


def test_the_settings_choose_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    provider = choose_provider(settings(), {}, lambda: False)

    assert isinstance(provider, Ec2Provider)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("  two\n lines \n", "two\n lines"),
        ("\x1b[1;31mred\x1b[0m\x07 \x9b and\tdone\r\n", "red  anddone"),
        ("x" * 9000 + "end", "x" * 1997 + "end"),
        ("Grüße, 世界\u2028", "Grüße, 世界"),
    ],
)
def test_last_words_are_short_and_without_control_characters(said: str, kept: str) -> None:
    assert last_words(said) == kept
