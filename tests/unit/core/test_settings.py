from dataclasses import dataclass

import pytest

from imagefleet_core import settings
from imagefleet_core.settings import Settings, SettingsError, setting


@dataclass(frozen=True, kw_only=True)
class Example(Settings):
    workers: int = setting(20, "how many", at_least=1, at_most=100)
    target_s: float = setting(10.0, "how soon", at_least=0.1)
    colour: str = setting("red", "which", one_of=("red", "blue"))
    live: bool = setting(False, "whether")


def test_nothing_set_gives_the_defaults() -> None:
    loaded = settings.load(Example, {"PATH": "/bin", "IMAGEFLEET_COLOUR": " "})

    assert loaded == Example()
    assert loaded.requests_queue == "imagefleet-requests"
    assert loaded.input_bucket == "imagefleet-input"


def test_variables_become_typed_fields() -> None:
    loaded = settings.load(
        Example,
        {
            "IMAGEFLEET_WORKERS": "3",
            "IMAGEFLEET_TARGET_S": "2.5",
            "IMAGEFLEET_LIVE": "TRUE",
            "IMAGEFLEET_PREFIX": "zoo",
            "IMAGEFLEET_RESULTS_BUCKET_NAME": "zoo-results-123",
        },
    )

    assert (loaded.workers, loaded.target_s, loaded.live) == (3, 2.5, True)
    assert (loaded.input_bucket, loaded.results_bucket) == ("zoo-input", "zoo-results-123")


def test_all_mistakes_are_reported_together_each_naming_its_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(
            Example,
            {
                "IMAGEFLEET_WORKERS": "many",
                "IMAGEFLEET_TARGET_S": "nan",
                "IMAGEFLEET_COLOUR": "green",
                "IMAGEFLEET_LIVE": "perhaps",
                "IMAGEFLEET_PREFIX": "No Spaces",
            },
        )

    assert caught.value.problems == (
        "IMAGEFLEET_PREFIX is 'No Spaces': expected text like "
        "(?!aws|sg-|ssm|sthree-|xn--)[a-z][a-z0-9-]{1,23}[a-z0-9]",
        "IMAGEFLEET_WORKERS is 'many': expected a whole number at least 1 and at most 100",
        "IMAGEFLEET_TARGET_S is 'nan': expected a number at least 0.1",
        "IMAGEFLEET_COLOUR is 'green': expected one of red, blue",
        "IMAGEFLEET_LIVE is 'perhaps': expected true or false",
    )


def test_the_help_names_every_variable_and_its_default() -> None:
    described = settings.describe(Example)

    assert (
        "IMAGEFLEET_WORKERS\n      how many; a whole number at least 1 and at most 100 (default 20)"
        in described
    )
    assert "IMAGEFLEET_PREFIX" in described
