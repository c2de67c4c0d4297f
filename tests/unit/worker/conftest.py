"""What several tests of the worker need."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefleet_worker import classifiers


@pytest.fixture(scope="session")
def openvino() -> classifiers.Classifier:
    """The network that workers come with, run as they run it."""
    return classifiers.load("openvino", threads=2)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network, exported again and for both runtimes."""
    from imagefleet_scripts.export.efficientnet_lite import efficientnet_lite0
    from imagefleet_scripts.export.write import export

    folder = tmp_path_factory.mktemp("exported")
    export(efficientnet_lite0(), folder, with_torch=True)
    return folder
