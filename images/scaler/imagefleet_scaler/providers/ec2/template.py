"""The launch template's newest version, which CloudFormation makes at each change of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from imagefleet_core.aws import error_code
from imagefleet_scaler.providers.base import ProviderError
from imagefleet_scaler.providers.ec2.refusals import sentence

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ASK_EVERY_S = 60.0

log = structlog.get_logger()


class Template:
    """Knows the number of the newest version, and asks for it once a minute while it is needed.

    Not the default version: CloudFormation leaves that at the first one.
    """

    def __init__(self, ec2: EC2Client, name: str, clock: Callable[[], float]) -> None:
        self._ec2 = ec2
        self._name = name
        self._clock = clock
        self._asked_at = float("-inf")
        self._version: int | None = None
        self._said = ""

    def version(self) -> int:
        """Return it; raises `ProviderError` if it was never known and can't be asked for."""
        if self._is_old(ASK_EVERY_S) or self._version is None:
            try:
                self._ask()
            except ProviderError as error:
                if self._version is None:
                    raise
                self._tell(error)
        if self._version is None:
            raise ProviderError(f"no launch template is called {self._name}")
        return self._version

    def known_version(self, every_s: float = ASK_EVERY_S) -> int | None:
        """Return it if it is known, without an error; asks if that was longer ago."""
        if self._is_old(every_s):
            try:
                self._ask()
            except ProviderError as error:
                self._tell(error)
        return self._version

    def _tell(self, error: ProviderError) -> None:
        if str(error) != self._said:
            log.warning("nobody knows which workers are outdated", reason=str(error))
        self._said = str(error)

    def _is_old(self, every_s: float) -> bool:
        return self._clock() - self._asked_at >= every_s

    def _ask(self) -> None:
        self._asked_at = self._clock()
        try:
            answer = self._ec2.describe_launch_templates(LaunchTemplateNames=[self._name])
        except (BotoCoreError, ClientError) as error:
            if error_code(error).startswith("InvalidLaunchTemplate"):
                self._version = None
                raise self._missing() from error
            raise ProviderError(
                f"looking at the launch template {self._name}: {sentence(error)}"
            ) from error
        # Emulators answer with an empty list instead of an error.
        if not (found := answer.get("LaunchTemplates")):
            self._version = None
            raise self._missing()
        self._version = int(found[0]["LatestVersionNumber"])

    def _missing(self) -> ProviderError:
        return ProviderError(
            f"no launch template is called {self._name}: deploy the fleet's template first, or "
            "name another one in IMAGEFLEET_LAUNCH_TEMPLATE"
        )
