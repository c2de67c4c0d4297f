"""Work of a user's own, from its module's name to what the pipeline gets of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import photographs
from imagefleet_core.jobs import Failure, Prediction
from imagefleet_worker import processors
from imagefleet_worker.classifiers import Classifier, ModelError
from imagefleet_worker.classifiers.base import Images
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.processors import (
    ImageFunction,
    Outcome,
    Pixels,
    Processor,
    ProcessorError,
    Recipe,
    Rejected,
)
from imagefleet_worker.processors.adapter import Adapter
from imagefleet_worker.processors.classification import Classification
from imagefleet_worker.processors.output import MAX_BYTES, MAX_DEPTH, OutputError, checked
from imagefleet_worker.settings import WorkerSettings

WRITTEN = """
from imagefleet_worker.processors import Recipe

class Brightness:
    name = "brightness@1"
    recipe = Recipe(size=32, resize=32, interpolation="bilinear")

    def __init__(self, resources):
        self.threads = resources.threads

    def process(self, images):
        return [{"mean": float(image.mean()), "threads": self.threads} for image in images]
"""


class Means:
    """Tells the mean of each picture; how it answers is the test's choice."""

    name = "means@1"
    recipe = Recipe(size=16, resize=16, interpolation="bilinear", crop=False)

    def __init__(self, answer: Callable[[Sequence[Pixels]], Any] | None = None) -> None:
        self.answer = answer
        self.asked: list[int] = []

    def process(self, images: Sequence[Pixels], /) -> Any:
        self.asked.append(len(images))
        if self.answer:
            return self.answer(images)
        return [{"mean": round(float(image.mean()))} for image in images]


def load(path: str, *, model_dir: str | Path = "", threads: int = 0) -> Processor:
    settings = WorkerSettings(processor=path, model_dir=str(model_dir), threads=threads)
    return processors.load(settings, cpus=2)


def grey(*shades: int) -> list[Pixels]:
    return [np.full((16, 16, 3), shade, np.uint8) for shade in shades]


def code(outcome: Outcome) -> str | None:
    return outcome.error.code if outcome.error else None


# The default


def test_the_default_gives_the_labels_of_the_classifier(openvino: Classifier) -> None:
    processor = Classification(openvino)
    processor.warm_up()
    images = [decode(file, processor.recipe) for file in photographs.load().values()]

    outcomes = processor.process(images)

    assert processor.name == "efficientnet-lite0@1"
    assert [list(outcome.top) for outcome in outcomes] == openvino.classify(np.stack(images))


def test_scores_that_are_no_numbers_fail_their_image_alone() -> None:
    class Overflowing:
        model, recipe = "net@1", Recipe(size=16, resize=16, interpolation="bilinear")

        def warm_up(self) -> None:
            """Be ready."""

        def classify(self, images: Images) -> list[list[Prediction]]:
            return [[Prediction("cat", 0.9 if image[0, 0, 0] else math.nan)] for image in images]

    outcomes = Classification(Overflowing()).process(grey(9, 0, 9))

    assert [code(outcome) for outcome in outcomes] == [None, "processor_failed", None]


def test_without_a_class_the_packaged_network_is_loaded(tmp_path: Path) -> None:
    assert load("").name == "efficientnet-lite0@1"
    with pytest.raises(ModelError, match="holds no exported network"):
        load("", model_dir=tmp_path)


# Loading


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write modules that can be imported, until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("file", "path"),
    [("mine.py", "mine:Brightness"), ("mine/work.py", "mine.work:Brightness")],
)
def test_a_class_is_found_by_its_path_and_gets_its_resources(
    file: str, path: str, write: Callable[[str, str], None]
) -> None:
    write(file, WRITTEN)

    processor = load(path, threads=3)
    processor.warm_up()

    assert (processor.name, processor.recipe) == ("brightness@1", Recipe(32, 32, "bilinear"))
    assert processor.process(grey(10, 20)) == [
        Outcome(output={"mean": 10.0, "threads": 3}),
        Outcome(output={"mean": 20.0, "threads": 3}),
    ]
    assert load(path).process(grey(9)) == [Outcome(output={"mean": 9.0, "threads": 2})]


def test_a_class_learns_of_its_models_folder(
    tmp_path: Path, write: Callable[[str, str], None]
) -> None:
    write("mine.py", WRITTEN.replace("resources.threads", "str(resources.model_dir)"))

    assert load("mine:Brightness").process(grey(1))[0].output == {
        "mean": 1.0,
        "threads": "None",
    }
    processor = load("mine:Brightness", model_dir=tmp_path)
    assert processor.process(grey(1))[0].output == {"mean": 1.0, "threads": str(tmp_path)}


def changed(old: str, new: str) -> str:
    assert old in WRITTEN
    return WRITTEN.replace(old, new)


MISTAKES = {
    "no such module": ("", "absent:Brightness", "there is no module absent: PYTHONPATH must name"),
    "no such module in a package": ("", "json.absent:Brightness", "there is no module json.absent"),
    "a module in a module": (WRITTEN, "mine.work:Brightness", "there is no module mine.work"),
    "a package that is missing": (
        "import numpy\nimport scikit_everything",
        "mine:Brightness",
        "the module mine can't be imported: ModuleNotFoundError: No module named "
        "'scikit_everything' (mine.py, line 2)",
    ),
    "no Python": ("class Brightness\n", "mine:Brightness", "SyntaxError: expected ':' (mine.py"),
    "a module that ends the process": (
        "import sys\nsys.exit(3)",
        "mine:Brightness",
        "the module mine can't be imported: SystemExit: 3 (mine.py, line 2)",
    ),
    "a recipe for no picture": (
        changed("size=32", "size=0"),
        "mine:Brightness",
        "ValueError: size 0 must be at least 1 (mine.py, line 6)",
    ),
    "no such class": (
        WRITTEN,
        "mine:Brightnes",
        "the module mine has no class Brightnes; did you mean Brightness?",
    ),
    "no class at all": (WRITTEN, "mine:nothing", "the module mine has no class nothing"),
    "no path": (WRITTEN, "mine", "'mine' names no class: expected package.module:Class"),
    "a constructor without an argument": (
        changed("(self, resources)", "(self)"),
        "mine:Brightness",
        "mine:Brightness can't be made: TypeError: Brightness.__init__() takes 1",
    ),
    "a constructor that fails": (
        changed("self.threads = resources.threads", "open('/nowhere/weights')"),
        "mine:Brightness",
        "can't be made: FileNotFoundError: [Errno 2] No such file or directory: "
        "'/nowhere/weights' (mine.py, line 9)",
    ),
    "a constructor that ends the process": (
        changed("self.threads = resources.threads", "exit()"),
        "mine:Brightness",
        "mine:Brightness can't be made: SystemExit",
    ),
    "no name": (
        changed("    name =", "    title ="),
        "mine:Brightness",
        "Brightness has no name: AttributeError",
    ),
    "a name without a version": (
        changed("brightness@1", "brightness"),
        "mine:Brightness",
        "Brightness.name is 'brightness': expected name and version, as 'faces@1'",
    ),
    "no recipe": (
        changed("    recipe =", "    picture ="),
        "mine:Brightness",
        "Brightness has no recipe",
    ),
    "another recipe": (
        changed('Recipe(size=32, resize=32, interpolation="bilinear")', "{'size': 32}"),
        "mine:Brightness",
        "Brightness.recipe is a dict: expected a Recipe",
    ),
    "no method": (
        changed("def process", "def work"),
        "mine:Brightness",
        "Brightness has no process",
    ),
    "a method that is none": (
        changed("def process", "process = {}\n    def work"),
        "mine:Brightness",
        "Brightness.process is a dict: expected a method",
    ),
    "warming up that fails": (
        WRITTEN + "    def warm_up(self):\n        1 / 0\n",
        "mine:Brightness",
        "brightness@1 failed: ZeroDivisionError: division by zero (mine.py, line 14)",
    ),
    "warming up that ends the process": (
        WRITTEN + "    def warm_up(self):\n        exit(1)\n",
        "mine:Brightness",
        "brightness@1 failed: SystemExit: 1",
    ),
    "work that fails": (
        changed("float(image.mean())", "image.average()"),
        "mine:Brightness",
        "brightness@1 failed: AttributeError: 'numpy.ndarray' object has no attribute "
        "'average' (mine.py, line 12)",
    ),
    "an answer that is not JSON": (
        changed("float(image.mean())", "image"),
        "mine:Brightness",
        "brightness@1 failed: its output is not JSON: output['mean'] is a ndarray; use its",
    ),
    "an answer instead of a list": (
        changed("return [", "return {} and ["),
        "mine:Brightness",
        "brightness@1 failed: it answered with a dict instead of a list of JSON objects.",
    ),
}


@pytest.mark.parametrize(("text", "path", "complaint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_clear_line_before_the_first_image(
    text: str, path: str, complaint: str, write: Callable[[str, str], None]
) -> None:
    write("mine.py", text)

    with pytest.raises(ProcessorError) as caught:
        load(path).warm_up()

    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_class_may_reject_the_picture_it_is_tried_with() -> None:
    def reject(images: Sequence[Pixels]) -> list[Rejected]:
        return [Rejected("no_face", "There is no face in it.") for _ in images]

    Adapter(Means(reject)).warm_up()


@pytest.mark.parametrize(
    ("crop", "shape"), [(True, (20, 20, 3)), (False, (15, 20, 3))], ids=["cropped", "whole"]
)
def test_the_picture_it_is_tried_with_is_as_the_recipe_says(
    crop: bool, shape: tuple[int, ...]
) -> None:
    shapes: list[object] = []

    class Shy(Means):
        recipe = Recipe(size=20, resize=20, interpolation="bilinear", crop=crop)

        def warm_up(self) -> None:
            shapes.append("warm")

    def note(images: Sequence[Pixels]) -> list[dict[str, int]]:
        shapes.extend(image.shape for image in images)
        return [{}]

    Adapter(Shy(note)).warm_up()

    assert shapes == ["warm", shape]


# Processing


def test_each_image_gets_its_output_in_order() -> None:
    function: ImageFunction = Means()

    outcomes = Adapter(function).process(grey(1, 2, 3))

    assert [outcome.output for outcome in outcomes] == [{"mean": 1}, {"mean": 2}, {"mean": 3}]


def test_what_a_function_does_with_its_answer_later_changes_nothing() -> None:
    kept: dict[str, list[int]] = {"means": [1]}
    (outcome,) = Adapter(Means(lambda _: [kept])).process(grey(1))

    kept["means"].append(2)

    assert outcome.output == {"means": [1]}


def test_one_rejected_image_leaves_the_others_alone() -> None:
    def answer(images: Sequence[Pixels]) -> list[dict[str, int] | Rejected]:
        dark = Rejected("too_dark", "It shows nothing.")
        return [dark if image.mean() < 5 else {"mean": 9} for image in images]

    assert Adapter(Means(answer)).process(grey(9, 1, 9)) == [
        Outcome(output={"mean": 9}),
        Outcome(error=Failure("too_dark", "It shows nothing.")),
        Outcome(output={"mean": 9}),
    ]


def test_a_rejection_may_be_raised_too() -> None:
    def answer(images: Sequence[Pixels]) -> list[dict[str, int]]:
        if any(image.mean() < 5 for image in images):
            raise Rejected("too_dark", "It shows nothing.")
        return [{"mean": 9} for _ in images]

    function = Means(answer)

    assert [code(each) for each in Adapter(function).process(grey(9, 1, 9))] == [
        None,
        "too_dark",
        None,
    ]
    assert function.asked == [3, 1, 1, 1]


def test_any_other_error_is_left_to_whoever_tries_again() -> None:
    def answer(images: Sequence[Pixels]) -> None:
        raise OSError("the GPU is gone")

    with pytest.raises(OSError, match="the GPU is gone"):
        Adapter(Means(answer)).process(grey(1))


def test_a_function_cannot_end_the_thread_that_calls_it() -> None:
    with pytest.raises(RuntimeError, match=r"called exit\(\)"):
        Adapter(Means(lambda _: sys.exit(1))).process(grey(1))


def test_a_wrong_number_of_answers_fails_only_images_it_is_wrong_for() -> None:
    def answer(images: Sequence[Pixels]) -> list[dict[str, int]]:
        return [{"mean": 9} for image in images if image.mean() > 5]

    outcomes = Adapter(Means(answer)).process(grey(9, 1, 9))

    assert [code(outcome) for outcome in outcomes] == [None, "processor_failed", None]
    assert outcomes[1].error == Failure(
        "processor_failed", "means@1 failed: it gave 0 answers instead of 1."
    )


@pytest.mark.parametrize("answers", [None, {"mean": 1}, "text", 7, iter([{}])])
def test_what_is_no_list_fails(answers: object) -> None:
    (outcome,) = Adapter(Means(lambda _: answers)).process(grey(1))

    assert code(outcome) == "processor_failed"


@pytest.mark.parametrize("spoiled", ["", "Too Dark", "x" * 65, None, "processor-failed"])
def test_a_code_that_programs_could_not_read_fails(spoiled: Any) -> None:
    (outcome,) = Adapter(Means(lambda _: [Rejected(spoiled, "Why?")])).process(grey(1))

    assert code(outcome) == "processor_failed"
    assert outcome.error is not None
    assert "it rejected an image with the code" in outcome.error.message


def test_any_message_can_be_told() -> None:
    said = "half a pair: \ud800" + "x" * 10_000
    (outcome,) = Adapter(Means(lambda _: [Rejected("odd", said)])).process(grey(1))

    assert outcome.error is not None
    assert outcome.error.message.encode()
    assert len(outcome.error.message) <= 1000


def test_an_outcome_is_one_thing() -> None:
    for wrong in ({}, {"output": {}, "error": Failure("a", "b")}):
        with pytest.raises(ValueError, match="either predictions, an output or an error"):
            Outcome(**wrong)  # type: ignore[arg-type]


# Outputs

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=9), plain, max_size=5))
def test_json_stays_as_it_is(output: dict[str, Any]) -> None:
    assert checked(output) == output


def test_scalars_of_numpy_and_tuples_become_json() -> None:
    output = checked({"a": np.float32(0.5), "b": np.int64(7), "c": (np.bool_(True), np.str_("x"))})

    assert output == {"a": 0.5, "b": 7, "c": [True, "x"]}
    assert [type(each) for each in (output["a"], output["b"], output["c"])] == [float, int, list]


class Shade(Enum):
    DARK = 1


def nested(depth: int) -> dict[str, Any]:
    output: dict[str, Any] = {}
    for _ in range(depth - 1):
        output = {"in": output}
    return output


ENDLESS: dict[str, Any] = {}
ENDLESS["self"] = ENDLESS


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (None, "it answered with None for an image instead of a JSON object"),
        ([1], "it answered with a list for an image instead of a JSON object"),
        ({"a": [1, math.nan]}, "output['a'][1] is nan"),
        ({"a": {"b": -math.inf}}, "output['a']['b'] is -inf"),
        ({"a": np.float32("nan")}, "output['a'] is nan"),
        ({"a": np.zeros(2)}, "output['a'] is a ndarray; use its tolist()"),
        ({"a": {1, 2}}, "output['a'] is a set"),
        ({"a": b"bytes"}, "output['a'] is a bytes"),
        ({"a": Shade.DARK}, "output['a'] is a Shade"),
        ({"a": 2**64}, "output['a'] is an integer of more than 64 bits"),
        ({1: "a"}, "output is a mapping with an int as a key"),
        ({"a": "\ud800"}, "output['a'] is a text with half a surrogate pair"),
        ({"\ud800": 1}, "output is a text with half a surrogate pair"),
        (nested(MAX_DEPTH + 1), f"is nested more than {MAX_DEPTH} deep"),
        (ENDLESS, f"is nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_is_not_json_is_named(answer: object, complaint: str) -> None:
    with pytest.raises(OutputError) as caught:
        checked(answer)

    assert complaint in str(caught.value)
    assert caught.value.code == "processor_failed"
    assert len(str(caught.value)) < 200
    assert str(caught.value).encode()


def test_an_output_has_bounds() -> None:
    assert checked(nested(MAX_DEPTH))
    largest = {"text": "é" * ((MAX_BYTES - len('{"text":""}')) // 2)}
    assert checked(largest) == largest

    largest["text"] += "é"
    (outcome,) = Adapter(Means(lambda _: [largest])).process(grey(1))

    assert outcome.error is not None
    assert outcome.error.code == "output_too_large"
    assert "its output has 65,537 bytes; at most 65,536 are kept" in outcome.error.message
