"""Every package that is installed is one that was chosen: locked to a version, and to its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# PyTorch comes as another file for every accelerator: pinned alone, and not in the usual images.
UNHASHED = ROOT / "requirements/torch.txt"
LOCKED = sorted(
    path
    for path in (*ROOT.glob("requirements/*.txt"), *ROOT.glob("images/*/requirements.txt"))
    if path != UNHASHED
)


def requirements(path: Path) -> list[str]:
    """Return the requirements of a file, each in one line with its options."""
    text = re.sub(r"(?m)^\s*#.*\n?", "", path.read_text()).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_is_locked_to_a_version_and_to_its_files(path: Path) -> None:
    found = requirements(path)

    assert len(found) > 5
    for each in found:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+ ", each), each
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", each), each


def test_what_has_no_hashes_has_versions_at_least() -> None:
    assert all(re.match(r"[\w.-]+==[\w.+]+", each) for each in requirements(UNHASHED))


def test_every_image_with_packages_installs_its_locked_ones_and_checks_them() -> None:
    tiers = {path.parent.name for path in ROOT.glob("images/*/pyproject.toml")} - {"core"}

    assert {path.parent.name for path in LOCKED} - {"requirements"} == tiers
    for tier in tiers:
        dockerfile = (ROOT / "images" / tier / "Dockerfile").read_text()
        assert "--require-hashes -r /tmp/requirements.txt" in dockerfile
