"""images/ami: provisioning, and what stands in for Docker inside a machine on a laptop."""

from __future__ import annotations

import importlib.util
import subprocess
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

import cloudformation

AMI = Path(__file__).parents[3] / "images/ami"
PACKAGES = (AMI / "packages").read_text().splitlines()[-1].split()
FACTS = {"CONTAINER": "i-1", "REGISTRY": "localhost:5000", "MEMORY": "900m"}
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture(scope="module")
def inside() -> Any:
    """What is called `docker` inside a machine, as a module."""
    loader = SourceFileLoader("machine_docker", str(AMI / "laptop/docker"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


# --- provisioning ---------------------------------------------------------------------------------


def test_user_data_install_what_provisioning_installs() -> None:
    text = cloudformation.user_data("WorkerTemplate")

    install = text.split("apt-get install")[1].split(";")[0].split()
    assert [word for word in install if not word.startswith("-")] == PACKAGES


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--what"], "no option --what; --help lists them"),
        (["--image"], "--image needs an image"),
        (["--apt-source", "/nowhere"], "--apt-source needs a file"),
    ],
)
def test_provisioning_tells_what_is_wrong_with_its_options(arguments: list[str], why: str) -> None:
    done = provision(*arguments)

    assert (done.returncode, done.stderr) == (2, f"provision: {why}\n")


def test_provisioning_explains_itself_and_does_nothing_else() -> None:
    done = provision("--help")

    assert done.returncode == 0
    for option in ("--image IMAGE", "--gpu", "--apt-source FILE", "--keep-identity"):
        assert option in done.stdout


def provision(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", AMI / "provision", *arguments], capture_output=True, text=True, check=False
    )


# --- Docker inside a machine ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param("rm --force worker", "rm --force i-1-worker", id="names are the machine's"),
        pytest.param("stop -t 50 worker", "stop -t 50 i-1-worker", id="values stay"),
        pytest.param(
            "ps --quiet --filter name=^worker$",
            "ps --filter label=imagefleet.machine=i-1 --quiet --filter name=^i-1-worker$",
            id="others' containers are not seen",
        ),
        pytest.param(
            f"pull --quiet {ECR}/pix/worker:1",
            "pull --quiet localhost:5000/pix/worker:1",
            id="pull",
        ),
        pytest.param(
            f"image inspect {ECR}/pix/worker:1",
            "image inspect localhost:5000/pix/worker:1",
            id="images are the registry's",
        ),
        pytest.param("pull debian:13", "pull debian:13", id="other registries stay"),
        pytest.param(
            "run --name worker --init --network host --read-only --memory 9000m --memory-swap=9000m"
            f" --log-driver awslogs --log-opt awslogs-stream=worker/i-1 {ECR}/pix/worker:1",
            "run --label imagefleet.machine=i-1 --name i-1-worker --init --network container:i-1"
            " --read-only --memory 900m --memory-swap 900m localhost:5000/pix/worker:1",
            id="run",
        ),
        pytest.param(
            "run --rm debian:13 echo --name worker --network host",
            "run --label imagefleet.machine=i-1 --rm debian:13 echo --name worker --network host",
            id="what runs in the container is its own",
        ),
    ],
)
def test_the_laptops_engine_is_told_what_is_meant(inside: Any, said: str, told: str) -> None:
    assert inside.translated(said.split(), FACTS) == told.split()


def test_all_that_user_data_run_is_understood(inside: Any) -> None:
    script = cloudformation.files("WorkerTemplate")["/usr/local/sbin/imagefleet-worker"]
    run = script[script.index("docker run") :].replace("\\\n", " ").replace('"', "")
    words = run.replace("$@", "--gpus all").split()[1:]

    told = inside.translated(words, FACTS)

    assert told[-3:-1] == ["--gpus", "all"]
    assert told[-1] == "$image"
    assert "--cap-drop" in told
    assert "host" not in told
    assert not {word for word in told if "awslogs" in word}


def test_compose_takes_a_worker_for_its_own_if_told_its_project(inside: Any) -> None:
    told = inside.translated(["run", "image"], {**FACTS, "COMPOSE_PROJECT": "fleet"})

    assert "com.docker.compose.project=fleet" in told


def test_a_machine_that_was_told_no_memory_or_registry_leaves_them(inside: Any) -> None:
    said = f"run --memory 300m {ECR}/pix/worker:1".split()

    told = inside.translated(said, {"CONTAINER": "i-1", "MEMORY": "", "REGISTRY": ""})

    assert told[-3:] == said[-3:]


def test_facts_are_read_as_they_are_written_down(inside: Any) -> None:
    lines = ["IMAGEFLEET_MACHINE_CONTAINER=i-1", "IMAGEFLEET_MACHINE_MEMORY=", ""]

    assert inside.facts_of(lines) == {"CONTAINER": "i-1", "MEMORY": ""}
