"""Networks as `scripts/export-model` writes them, against the networks themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from PIL import Image

import photographs
from imagefleet_scripts.export.network import sha256
from imagefleet_scripts.export_model import main
from imagefleet_worker import classifiers
from imagefleet_worker.classifiers import PACKAGED_MODEL
from imagefleet_worker.decode import decode

NAME = "squeezenet1_1"


def test_exporting_again_gives_the_packaged_files(exported: Path) -> None:
    packaged = json.loads((PACKAGED_MODEL / "manifest.json").read_text())
    again = json.loads((exported / "manifest.json").read_text())

    assert {name: again["files"][name] for name in packaged["files"]} == packaged["files"]
    assert {**again, "files": None} == {**packaged, "files": None}


def test_the_manifest_has_the_checksum_of_every_packaged_file() -> None:
    manifest = json.loads((PACKAGED_MODEL / "manifest.json").read_text())
    files = {path.name: sha256(path) for path in PACKAGED_MODEL.iterdir()}
    del files["manifest.json"]

    assert manifest["files"] == files
    assert {"LICENSE", "LICENSE.labels", "NOTICE", "labels.txt"} < files.keys()


def test_the_labels_are_imagenets() -> None:
    labels = (PACKAGED_MODEL / "labels.txt").read_text().splitlines()

    assert len(labels) == 1000
    assert (labels[0], labels[282], labels[967], labels[999]) == (
        "tench",
        "tiger cat",
        "espresso",
        "toilet tissue",
    )


def test_the_exported_files_tell_nothing_of_the_machine(exported: Path) -> None:
    here = str(Path(__file__).parents[3]).encode()

    for path in exported.iterdir():
        assert here not in path.read_bytes(), path.name


@pytest.fixture(scope="module")
def opinionated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """Return a small torchvision network that is sure of its answers, and its state dict's file."""
    torch.manual_seed(1)
    network = torchvision.models.get_model(NAME, weights=None, num_classes=7).eval()
    with torch.no_grad():
        network.classifier[1].weight *= 100
    file = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(network.state_dict(), file)
    return file, network


def labels_file(folder: Path, count: int) -> str:
    path = folder / "labels.txt"
    path.write_text("".join(f"label {number}\n" for number in range(count)))
    return str(path)


@pytest.mark.parametrize("runtime", classifiers.RUNTIMES)
def test_a_torchvision_network_of_ones_own_answers_as_in_torch(
    runtime: str, opinionated: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    # given a state dict of another number of classes, exported
    file, network = opinionated
    out = tmp_path / "out"
    arguments = ["--weights", str(file), "--labels", labels_file(tmp_path, 7), "--torch"]
    assert main([f"torchvision:{NAME}", "--out", str(out), *arguments]) == 0

    # when both see the same photographs, each prepared in its own way
    classifier = classifiers.load(runtime, out)
    files = list(photographs.load().values())
    answers = classifier.classify(np.stack([decode(each, classifier.recipe) for each in files]))
    prepare = torchvision.models.get_model_weights(NAME).DEFAULT.transforms()
    colour = [Image.open(io.BytesIO(each)).convert("RGB") for each in files]
    with torch.inference_mode():
        expected = network(torch.stack([prepare(each) for each in colour])).softmax(1)

    # then they agree
    assert classifier.model == f"{NAME}@{sha256(file)[:8]}"
    assert float(expected.max()) > 0.5
    for answer, probabilities in zip(answers, expected, strict=True):
        for each in answer:
            probability = float(probabilities[int(each.label.removeprefix("label "))])
            assert each.score == pytest.approx(probability, abs=0.05)


def test_a_random_network_is_marked_as_such(tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert main([f"torchvision:{NAME}", "--random", "--out", str(out)]) == 0

    assert classifiers.load("openvino", out).model == f"{NAME}@random"
    assert json.loads((out / "manifest.json").read_text())["weights"] == {"random": "seed 0"}
    assert len((out / "labels.txt").read_text().splitlines()) == 1000


def test_an_export_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.xml").write_text("an older one")
    monkeypatch.setattr("imagefleet_scripts.export.write.TOLERANCE", -1)

    said = complaint(capsys, f"torchvision:{NAME}", "--random", "--out", str(tmp_path))

    assert said == "export-model: the exported graph is off by 0.000 from the network\n"
    assert [path.name for path in tmp_path.iterdir()] == ["model.xml"]
    assert (tmp_path / "model.xml").read_text() == "an older one"


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what an export that fails says."""
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_mistakes_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], opinionated: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    mine, text = str(opinionated[0]), tmp_path / "notes.txt"
    text.write_text("not weights\n\n")
    blank_line = [f"torchvision:{NAME}", "--random", "--labels", str(text)]

    for said, expected in [
        (complaint(capsys, "lenet"), "no network 'lenet': give efficientnet-lite0 or"),
        (complaint(capsys, "torchvision:resnet81"), "no classifier 'resnet81'; try resnet18"),
        (complaint(capsys, "torchvision:zzz"), "no classifier 'zzz'; try resnet18 or"),
        (complaint(capsys, "--random"), "efficientnet-lite0 comes with its own weights"),
        (complaint(capsys, f"torchvision:{NAME}", "--weights", "no.pth"), "is no file no.pth"),
        (complaint(capsys, f"torchvision:{NAME}", "--weights", str(text)), "not a file of PyTorch"),
        (complaint(capsys, "torchvision:resnet18", "--weights", mine), "not a state dict of"),
        (complaint(capsys, *blank_line), "must have one label a line and no empty line"),
    ]:
        assert said.startswith("export-model: ")
        assert expected in said
        assert said.count("\n") == 1


def test_weights_that_cannot_be_fetched_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)

    said = complaint(capsys, "torchvision:resnet18")

    assert "can't fetch https://download.pytorch.org/models/resnet18" in said
    assert said.endswith("give --weights FILE or --random\n")
