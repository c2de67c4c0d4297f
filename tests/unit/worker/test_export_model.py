"""Networks as `scripts/export-model` writes them, against the networks themselves."""

from __future__ import annotations

import io
import json
import warnings
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
from imagefleet_worker.classifiers import PACKAGED_MODEL, ModelError
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.recipe import Recipe

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


# TorchScript


class OneOutput(torch.nn.Module):
    """Answers with one number for each picture."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3))


class Bessel(torch.nn.Module):
    """Two labels, by a function that OpenVINO doesn't know; its outputs are probabilities."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = torch.special.bessel_j0(images.mean((1, 2, 3))).clamp(0, 1)
        return torch.stack([bright, 1 - bright], 1)


def script(network: torch.nn.Module, file: Path, *, traced: bool = False) -> str:
    """Save a network as TorchScript; return what names it on the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if traced:
            torch.jit.trace(network, torch.zeros(1, 3, 224, 224)).save(file)  # type: ignore[no-untyped-call]
        else:
            torch.jit.script(network).save(file)  # type: ignore[no-untyped-call]
    return f"torchscript:{file}"


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "scripted"])
def test_a_torchscript_file_answers_as_in_torch(
    traced: bool, opinionated: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    # given a network of which nothing is there but a file of TorchScript, exported
    _, network = opinionated
    source, out = script(network, tmp_path / "mine.pt", traced=traced), tmp_path / "out"
    assert main([source, "--labels", labels_file(tmp_path, 7), "--out", str(out)]) == 0

    # when both runtimes and the network itself see the same photographs
    files = list(photographs.load().values())
    prepare = torchvision.models.get_model_weights(NAME).DEFAULT.transforms()
    colour = [Image.open(io.BytesIO(each)).convert("RGB") for each in files]
    with torch.inference_mode():
        expected = network(torch.stack([prepare(each) for each in colour])).softmax(1)

    # then they agree, batch by batch
    for runtime in classifiers.RUNTIMES:
        classifier = classifiers.load(runtime, out)
        classifier.warm_up()
        assert classifier.model == f"mine@{sha256(tmp_path / 'mine.pt')[:8]}"
        images = np.stack([decode(each, classifier.recipe) for each in files])
        for answer, probabilities in zip(classifier.classify(images), expected, strict=True):
            for each in answer:
                probability = float(probabilities[int(each.label.removeprefix("label "))])
                assert each.score == pytest.approx(probability, abs=0.05)


def test_what_openvino_cannot_convert_is_there_for_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a network that takes pictures of another size and gives probabilities by itself
    source, out = script(Bessel(), tmp_path / "bessel.pt"), tmp_path / "out"
    prepared = ["--size", "64", "--resize", "80", "--interpolation", "bicubic"]
    colours = ["--mean", "0,0,0", "--std", "1,1,1"]

    labels = ["--labels", labels_file(tmp_path, 2)]
    assert main([source, *labels, *prepared, *colours, "--out", str(out)]) == 0

    assert "OpenVINO can't convert it; workers need IMAGEFLEET_RUNTIME=torch" in (
        capsys.readouterr().err
    )
    with pytest.raises(ModelError, match="IMAGEFLEET_RUNTIME=torch can run what it lists"):
        classifiers.load("openvino", out)
    classifier = classifiers.load("torch", out)
    classifier.warm_up()
    assert classifier.recipe == Recipe(64, 80, "bicubic")
    ((first, second),) = classifier.classify(np.full((1, 64, 64, 3), 255, np.uint8))
    # J0(1), Abramowitz and Stegun, table 9.1; no softmax on top of it
    assert first.label == "label 0"
    assert first.score == pytest.approx(0.7652, abs=0.0001)
    assert second.score == pytest.approx(0.2348, abs=0.0001)


def test_mistakes_about_torchscript_get_one_clear_line(
    capsys: pytest.CaptureFixture[str], opinionated: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    labels = ["--labels", labels_file(tmp_path, 7)]
    weights = f"torchscript:{opinionated[0]}"
    mine = script(opinionated[1], tmp_path / "mine.pt")
    linear = script(torch.nn.Linear(3, 7), tmp_path / "linear.pt")
    single = script(OneOutput(), tmp_path / "single.pt")
    three = ["--labels", str(tmp_path / "three.txt")]
    (tmp_path / "three.txt").write_text("a\nb\nc\n")

    for said, expected in [
        (complaint(capsys, mine), "torchscript:FILE brings its own weights, and needs --labels"),
        (complaint(capsys, mine, *labels, "--random"), "brings its own weights"),
        (complaint(capsys, "torchscript:no.pt", *labels), "no.pt is not a file of TorchScript"),
        (complaint(capsys, weights, *labels), "mine.pth is not a file of TorchScript"),
        (complaint(capsys, linear, *labels), "linear.pt can't work on images of shape"),
        (complaint(capsys, single, *labels), "single.pt gives torch.Size([2]) for two images"),
        (complaint(capsys, mine, *three), "7 outputs can't have 3 labels"),
        (complaint(capsys, mine, *labels, "--size", "300"), "size 300 must be from 1 to resize"),
        (complaint(capsys, "torchvision:resnet18", "--size", "9"), "--size: only for torchscript"),
    ]:
        assert said.startswith("export-model: ")
        assert expected in said
        assert said.count("\n") == 1, said


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

    assert (
        said == "export-model: the exported graph is off by 0.000 from the network, with openvino\n"
    )
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
        (
            complaint(capsys, "lenet"),
            "no network 'lenet': give efficientnet-lite0, torchvision:NAME or",
        ),
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
