"""The network that workers come with, run by both runtimes on real photographs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import photographs
from imagefleet_core.jobs import Prediction
from imagefleet_worker import classifiers
from imagefleet_worker.classifiers import PACKAGED_MODEL, Classifier, ModelError
from imagefleet_worker.classifiers.base import Images
from imagefleet_worker.classifiers.exported import best
from imagefleet_worker.decoding.decode import decode

SENSIBLE = {
    "camera": {"tripod"},
    "chelsea": {"tiger cat", "Egyptian cat", "tabby"},
    "china": {"palace"},
    "coffee": {"espresso", "cup"},
    "flower": {"daisy"},
    "motorcycle": {"moped", "motor scooter"},
    "rocket": {"missile", "projectile"},
}


@pytest.fixture(scope="module")
def torch(exported: Path) -> Classifier:
    return classifiers.load("torch", exported, threads=2)


@pytest.fixture(scope="module")
def images(openvino: Classifier) -> Images:
    """Every sample photograph, as the network takes them."""
    return np.stack([decode(file, openvino.recipe) for file in photographs.load().values()])


@pytest.mark.parametrize("name", SENSIBLE)
def test_a_photograph_gets_a_sensible_label(name: str, openvino: Classifier) -> None:
    pixels = decode(photographs.jpeg(name), openvino.recipe)

    ((first, *_),) = openvino.classify(pixels[None])

    assert first.label in SENSIBLE[name]


def test_both_runtimes_see_the_same(
    openvino: Classifier, torch: Classifier, images: Images
) -> None:
    for ours, theirs in zip(openvino.classify(images), torch.classify(images), strict=True):
        assert ours[0].label == theirs[0].label
        scores = {each.label: each.score for each in theirs}
        for each in ours[:3]:
            assert each.score == pytest.approx(scores[each.label], abs=0.01)


@pytest.mark.parametrize("runtime", classifiers.RUNTIMES)
def test_a_batch_of_any_size_gets_the_answers_of_its_images(
    runtime: str, images: Images, request: pytest.FixtureRequest
) -> None:
    classifier: Classifier = request.getfixturevalue(runtime)
    together = classifier.classify(images)

    for size in (1, 3):
        apart = [best for image in range(size) for best in classifier.classify(images[[image]])]
        assert_alike(apart, together[:size])
        assert_alike(classifier.classify(images[:size]), together[:size])


def assert_alike(some: list[list[Prediction]], others: list[list[Prediction]]) -> None:
    for one, other in zip(some, others, strict=True):
        assert [each.label for each in one] == [each.label for each in other]
        assert [each.score for each in one] == pytest.approx(
            [each.score for each in other], abs=0.0005
        )


@pytest.mark.parametrize("runtime", classifiers.RUNTIMES)
def test_five_labels_come_best_first(
    runtime: str, images: Images, request: pytest.FixtureRequest
) -> None:
    classifier: Classifier = request.getfixturevalue(runtime)

    for answer in classifier.classify(images):
        scores = [each.score for each in answer]
        assert len(answer) == 5
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1.0005


def test_a_network_of_two_labels_gives_both() -> None:
    assert best(np.array([[0.25, 0.75]], np.float32), ["cat", "dog"]) == [
        [Prediction("dog", 0.75), Prediction("cat", 0.25)]
    ]


@pytest.mark.parametrize("runtime", classifiers.RUNTIMES)
def test_a_classifier_tells_what_it_is(runtime: str, request: pytest.FixtureRequest) -> None:
    classifier: Classifier = request.getfixturevalue(runtime)
    classifier.warm_up()

    assert classifier.model == "efficientnet-lite0@1"
    assert (classifier.recipe.size, classifier.recipe.resize) == (224, 256)


def test_the_compiled_network_is_kept_for_the_next_start(
    tmp_path: Path, openvino: Classifier, images: Images
) -> None:
    for _ in range(2):
        classifier = classifiers.load("openvino", cache_dir=tmp_path)
        assert_alike(classifier.classify(images[:1]), openvino.classify(images[:1]))

    assert any(tmp_path.iterdir())


def test_openvino_neither_imports_torch_nor_reports_to_its_makers(tmp_path: Path) -> None:
    script = (
        "import sys; from imagefleet_worker import classifiers\n"
        "classifiers.load('openvino').warm_up()\n"
        "print(*sorted({'torch', 'openvino_telemetry.main'} & sys.modules.keys()))"
    )
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == ""
    # Its reports begin with a folder of an id and counters.
    assert not list(tmp_path.iterdir())


# Wrong and missing files


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """Return a copy of the packaged model, to be damaged."""
    return Path(shutil.copytree(PACKAGED_MODEL, tmp_path / "model"))


def edit(model_dir: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest."""
    path = model_dir / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda model: shutil.rmtree(model), "holds no exported network: no manifest.json in it"),
        (lambda model: (model / "manifest.json").write_text("{"), "manifest.json can't be used"),
        (lambda model: (model / "manifest.json").write_text("[]"), "manifest.json can't be used"),
        (lambda model: edit(model, lambda it: it.pop("classes")), "manifest.json lacks 'classes'"),
        (
            lambda model: edit(model, lambda it: it.update(classes=999)),
            "1000 labels instead of 999",
        ),
        (
            lambda model: edit(model, lambda it: it["input"].update(interpolation="nearest")),
            "interpolation 'nearest' must be bicubic or bilinear",
        ),
        (
            lambda model: edit(model, lambda it: it["input"].update(resize=100)),
            "size 224 must be from 1 to resize 100",
        ),
        (lambda model: (model / "model.bin").unlink(), "model.bin can't be read: No such file"),
        (lambda model: (model / "labels.txt").unlink(), "labels.txt can't be read: No such file"),
        (lambda model: flip_a_bit(model / "model.bin"), "model.bin is not the file"),
        (lambda model: flip_a_bit(model / "model.xml"), "model.xml is not the file"),
        (lambda model: flip_a_bit(model / "labels.txt"), "labels.txt is not the file"),
    ],
)
def test_a_wrong_or_missing_file_stops_the_start(
    damage: Callable[[Path], object], complaint: str, model_dir: Path
) -> None:
    damage(model_dir)

    with pytest.raises(ModelError) as caught:
        classifiers.load("openvino", model_dir)

    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_match_but_are_no_network_stop_the_start(model_dir: Path) -> None:
    (model_dir / "model.xml").write_text("<net/>")
    checksum = sha256(b"<net/>").hexdigest()
    edit(model_dir, lambda it: it["files"].update({"model.xml": checksum}))

    with pytest.raises(ModelError, match="OpenVINO can't load"):
        classifiers.load("openvino", model_dir)


def test_a_runtime_without_a_file_names_the_one_that_has_its_own(model_dir: Path) -> None:
    with pytest.raises(ModelError) as caught:
        classifiers.load("torch", model_dir)

    assert str(caught.value) == (
        f"{model_dir / 'manifest.json'} lists no model.pt2 or model.ts, which the torch runtime "
        "runs; IMAGEFLEET_RUNTIME=openvino can run what it lists"
    )


def test_a_folder_that_no_runtime_can_run_names_nobody(model_dir: Path) -> None:
    edit(model_dir, lambda it: it["files"].pop("model.bin"))

    with pytest.raises(ModelError) as caught:
        classifiers.load("openvino", model_dir)

    assert str(caught.value).endswith(
        "lists no model.xml and model.bin, which the openvino runtime runs"
    )


def test_labels_of_another_network_stop_the_start(model_dir: Path) -> None:
    labels = (model_dir / "labels.txt").read_bytes() + b"one more\n"
    (model_dir / "labels.txt").write_bytes(labels)
    edit(model_dir, lambda it: it["files"].update({"labels.txt": sha256(labels).hexdigest()}))
    edit(model_dir, lambda it: it.update(classes=1001))
    classifier = classifiers.load("openvino", model_dir)

    with pytest.raises(ModelError, match=r"has 1001 labels, and answers of shape \(1, 1000\)"):
        classifier.warm_up()


def test_torch_takes_cuda_where_there_is_any(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a machine whose CUDA promises to be there, and is not
    import torch as pytorch

    if pytorch.cuda.is_available():
        pytest.skip("this machine keeps that promise")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    with pytest.raises(ModelError, match=r"PyTorch can't load .*model\.pt2 onto cuda: ") as caught:
        classifiers.load("torch", exported)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["model.pt2", "model.ts"])
def test_a_torch_file_that_matches_but_is_none_stops_the_start(model_dir: Path, file: str) -> None:
    (model_dir / file).write_bytes(b"nothing")
    edit(model_dir, lambda it: it["files"].update({file: sha256(b"nothing").hexdigest()}))

    with pytest.raises(ModelError, match=f"PyTorch can't load .*{file} onto ") as caught:
        classifiers.load("torch", model_dir)

    assert "\n" not in str(caught.value)


def test_an_unknown_runtime_is_named() -> None:
    with pytest.raises(ModelError, match="no runtime 'onnx'; there are openvino and torch"):
        classifiers.load("onnx")


def test_a_runtime_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = classifiers.RUNTIMES["torch"]
    monkeypatch.delitem(sys.modules, runtime, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ModelError, match="the torch runtime needs the Python package torch"):
        classifiers.load("torch")
