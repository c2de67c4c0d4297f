"""What to do where a test needs something that this machine may lack."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip_or_fail(what: str, reason: str) -> NoReturn:
    """Skip a test for want of `what`, or fail it where IMAGEFLEET_REQUIRE_<WHAT>=1."""
    if os.environ.get(f"IMAGEFLEET_REQUIRE_{what}") == "1":
        pytest.fail(f"{reason}, and IMAGEFLEET_REQUIRE_{what}=1", pytrace=False)
    pytest.skip(reason)
