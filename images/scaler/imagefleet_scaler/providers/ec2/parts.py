"""What a new instance would be made of, and which instances are made of something else."""

from __future__ import annotations

from dataclasses import dataclass

from imagefleet_scaler.providers.ec2.machines import Machine


@dataclass(frozen=True, slots=True)
class Parts:
    """What a launch would take now.

    Attributes:
        version: the launch template's newest; None if it is not known, or nobody asked.
        image: the AMI in place of the template's; empty for the template's.
    """

    version: int | None
    image: str = ""

    def outdate(self, machine: Machine) -> bool:
        """Whether an instance stems from an older template, or from another image."""
        older = self.version is not None and 0 < machine.version < self.version
        return older or self._is_other_image(machine)

    def fit(self, machine: Machine) -> bool:
        """Whether a new instance would be the same, as far as AWS tells."""
        same = self.version is not None and machine.version == self.version
        return same and not self._is_other_image(machine)

    def may_fit(self, machine: Machine) -> bool:
        """Likewise, but a template that can't be asked for is no reason against any instance."""
        same = self.version is None or machine.version == self.version
        return same and not self._is_other_image(machine)

    def _is_other_image(self, machine: Machine) -> bool:
        return bool(self.image and machine.image) and machine.image != self.image
