"""Decoders as processes: real photographs, and what would take a worker with it."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

import photographs
from hostile_answers import peak_of
from hostile_seeds import encode
from imagefleet_worker.children.child import ChildLost
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.decoding.decode import decode
from imagefleet_worker.decoding.formats import BadImageError
from imagefleet_worker.recipe import Picture, Recipe

RECIPE = Recipe(size=224, resize=256, interpolation="bicubic")
ODD = (sys.executable, "-P", "-m", "odd_decoder")
MB = 1_000_000
# For those that shall run into it. Others get so much that no busy machine makes them do.
SHORT_S = 5.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks what only Linux tells")


def decoders(**changes: Any) -> Decoders:
    """Return decoders like a worker's, unless changed."""
    usual = {"count": 2, "max_pixels": 50 * MB, "limit_s": 30.0, "memory_bytes": 256 * MB}
    return Decoders(**{**usual, **changes})


@pytest.fixture
def odd() -> Iterator[Decoders]:
    """Decoders that some files do odd things to."""
    with decoders(command=ODD, memory_bytes=128 * MB) as ours:
        ours.await_ready()
        yield ours


def eventually(happens: Callable[[], bool], within_s: float = 60) -> bool:
    """Return whether something happens in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.01)
    return happens()


def as_array(picture: Picture) -> NDArray[np.uint8]:
    """Return a picture as `decode` does."""
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height, picture.width, 3)


def children() -> set[int]:
    """Return the ids of this process's children, those that ended and still wait included."""
    return {child.pid for child in psutil.Process().children()}


# Pictures


@pytest.mark.parametrize("crop", [True, False])
def test_photographs_come_out_as_they_do_in_process(crop: bool) -> None:
    recipe = Recipe(224, 256, "bicubic", crop)
    files = list(photographs.load().values())

    with decoders() as ours, ThreadPoolExecutor(4) as pool:
        all_pixels = list(pool.map(partial(ours.decode, recipe=recipe), files))

    for pixels, file in zip(all_pixels, files, strict=True):
        assert np.array_equal(as_array(pixels), decode(file, recipe))


def test_a_file_and_a_picture_larger_than_any_buffer_get_through() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3), np.uint8)
    file = encode(Image.fromarray(noise), "BMP")
    recipe = Recipe(1200, 0, "bilinear", crop=False)

    with decoders() as ours:
        assert np.array_equal(as_array(ours.decode(file, recipe)), decode(file, recipe))


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"", "empty_file"),
        (b"Dear sir or madam,", "not_an_image"),
        (photographs.jpeg("coffee")[:9999], "truncated"),
    ],
)
def test_what_is_no_picture_is_refused_as_it_is_in_process(file: bytes, code: str) -> None:
    with decoders(count=1) as ours:
        with pytest.raises(BadImageError) as caught:
            ours.decode(file, RECIPE)
        with pytest.raises(BadImageError) as expected:
            decode(file, RECIPE)

        assert (caught.value.code, str(caught.value)) == (code, str(expected.value))
        assert ours.decode(photographs.jpeg("coffee"), RECIPE)[:2] == (224, 224)


# What takes only itself


@pytest.mark.parametrize(
    ("deed", "code", "message"),
    [
        (b"segfault", "decoder_crashed", "Decoding the file ends in SIGSEGV."),
        (b"abort", "decoder_crashed", "Decoding the file ends in SIGABRT."),
        (b"divide", "decoder_crashed", "Decoding the file ends in SIGFPE."),
        (
            b"allocate",
            "too_much_memory",
            "Decoding may take 96 MB of memory; the picture takes more.",
        ),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit on memory")
def test_a_file_that_harms_its_decoder_fails_alone(
    deed: bytes, code: str, message: str, odd: Decoders
) -> None:
    fails_alone(odd, deed, code, message)


def test_a_file_that_hangs_its_decoder_fails_alone() -> None:
    with decoders(command=ODD, limit_s=SHORT_S) as ours:
        ours.await_ready()

        fails_alone(ours, b"hang", "decode_timeout", "Decoding the file takes longer than 5 s.")


def fails_alone(ours: Decoders, deed: bytes, code: str, message: str) -> None:
    """Have a file do something while another is decoded, and see that nothing else is lost."""
    expected = decode(photographs.jpeg("coffee"), RECIPE)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ours.decode, photographs.jpeg("coffee"), RECIPE)
        with pytest.raises(BadImageError) as caught:
            ours.decode(deed, RECIPE)

        assert (caught.value.code, str(caught.value)) == (code, message)
        assert np.array_equal(as_array(other.result()), expected)

    # then there are decoders as before
    for _ in range(3):
        ours.decode(photographs.jpeg("coffee"), RECIPE)
    assert ours.used() == 0


@pytest.mark.parametrize(
    ("deed", "reason"), [(b"die", "SIGKILL"), (b"exit", "status 3")], ids=["killed", "exits"]
)
def test_a_decoder_that_something_else_ends_is_not_the_images_fault(
    deed: bytes, reason: str, odd: Decoders
) -> None:
    with pytest.raises(ChildLost, match=f"a decoder is gone: {reason}"):
        odd.decode(deed, RECIPE)

    assert odd.decode(photographs.jpeg("coffee"), RECIPE)[:2] == (224, 224)


@linux
def test_a_decoder_killed_while_it_works_is_lost_and_one_killed_while_idle_replaced() -> None:
    before = children()
    with (
        decoders(command=ODD, count=1) as ours,
        ThreadPoolExecutor(1) as pool,
    ):
        ours.decode(photographs.jpeg("coffee"), RECIPE)
        (pid,) = children() - before

        # when it's killed at work
        before_s = cpu_s(pid)
        hanging = pool.submit(ours.decode, b"hang", RECIPE)
        assert eventually(lambda: cpu_s(pid) > before_s + 0.2)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildLost):
            hanging.result()

        # and the next one while it has nothing to do
        ours.decode(photographs.jpeg("coffee"), RECIPE)
        (pid,) = children() - before
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: ended(pid))

        assert ours.decode(photographs.jpeg("coffee"), RECIPE)[:2] == (224, 224)


def ended(pid: int) -> bool:
    """Return whether a process is gone, or would be if its parent asked for it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def cpu_s(pid: int) -> float:
    return psutil.Process(pid).cpu_times().user


@linux
def test_a_hundred_lost_decoders_leave_nothing_behind() -> None:
    def open_files() -> int:
        gc.collect()
        return psutil.Process().num_fds()

    before, files = children(), open_files()
    with decoders(command=ODD, count=2) as ours:
        ours.await_ready()
        working = open_files()
        for _ in range(100):
            with pytest.raises(ChildLost):
                ours.decode(b"die", RECIPE)

        assert len(children() - before) == 2
        assert open_files() == working

    assert children() == before
    assert open_files() == files


# Signals, and the end of the worker


@linux
def test_a_decoder_survives_what_stops_a_worker() -> None:
    before = children()
    with decoders(count=1) as ours:
        ours.await_ready()
        (pid,) = children() - before
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)

        assert ours.decode(photographs.jpeg("coffee"), RECIPE)[:2] == (224, 224)
        assert children() - before == {pid}


# Long enough that a test sees a decoder hang and ends the worker before that ends the decoder.
HANGS_S = 4

WORKER = f"""
import sys
from imagefleet_worker.children.decoders import Decoders
from imagefleet_worker.recipe import Picture, Recipe
with Decoders(count=1, max_pixels=1, limit_s={HANGS_S},
              memory_bytes=10**8, command={ODD!r}) as ours:
    ours.await_ready()
    print(ours._places[0].child()._process.pid, flush=True)
    ours.decode(b"hang", Recipe(8, 8, "bicubic")) if sys.argv[1] == "busy" else sys.stdin.read()
"""


@linux
@pytest.mark.parametrize("worker", ["idle", "busy"])
def test_no_decoder_outlives_its_worker_for_long(worker: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, worker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        if worker == "busy":
            before_s = cpu_s(pid)
            assert eventually(lambda: cpu_s(pid) > before_s + 0.1)

        process.kill()

    assert eventually(lambda: ended(pid))


def test_closing_ends_what_is_being_decoded_and_what_waits() -> None:
    with ThreadPoolExecutor(3) as pool:
        with decoders(command=ODD, count=1) as ours:
            ours.await_ready()
            hanging = [pool.submit(ours.decode, b"hang", RECIPE) for _ in range(3)]
            assert eventually(lambda: not ours._free)

        for each in hanging:
            assert isinstance(each.exception(timeout=60), ChildLost)
        with pytest.raises(ChildLost, match="closed"):
            ours.decode(photographs.jpeg("coffee"), RECIPE)


# Starting


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/no/such/python"], "a decoder can't be started: .*No such file.*/no/such/python"),
        ([sys.executable, "-c", "raise SystemExit('libjpeg is missing')"], "libjpeg is missing"),
        ([sys.executable, "-c", "import os; os._exit(7)"], "could not start: status 7"),
        ([sys.executable, "-c", "import os; os.abort()"], "could not start: SIGABRT"),
    ],
)
def test_decoders_that_cannot_start_say_why(command: list[str], reason: str) -> None:
    with (
        decoders(command=command, count=1) as ours,
        pytest.raises(ChildLost, match=reason),
    ):
        ours.await_ready()


def test_starting_is_tried_again_but_not_without_a_pause(tmp_path: Path) -> None:
    # given decoders that can't be started any more, and each of which leaves a mark
    marks = tmp_path / "marks"
    program = f"open({str(marks)!r}, 'a').write('x'); raise SystemExit('no')"
    began = time.monotonic()

    with decoders(command=[sys.executable, "-c", program], count=1) as ours:
        for _ in range(3):
            with pytest.raises(ChildLost, match="could not start: no"):
                ours.decode(b"", RECIPE)

    assert time.monotonic() - began >= 0.5 + 1.0
    assert len(marks.read_text()) <= 1 + 3


def test_a_decoder_imports_nothing_large() -> None:
    large = {"numpy", "structlog", "boto3", "openvino", "logging.config", "asyncio"}
    program = (
        f"import imagefleet_worker.children.decoder, sys; sys.exit(str({large} & set(sys.modules)))"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert ended.stderr.strip() == "set()"


@linux
def test_a_decoder_gets_none_of_the_workers_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    before = children()

    with decoders(count=1) as ours:
        ours.await_ready()
        (pid,) = children() - before

        assert "secret" not in str(psutil.Process(pid).environ())


# Memory


class Gate:
    """A file whose picture needs `size` bytes until the gate is opened."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self._path = folder / name
        os.mkfifo(self._path)
        self.file = f"take {size} {self._path}".encode()

    def holds(self) -> bool:
        """Return whether it has the memory."""
        return Path(f"{self._path}.holds").exists()

    def open(self) -> None:
        """Let the picture be finished."""
        assert eventually(self._opened), f"nobody waits at {self._path}"

    def _opened(self) -> bool:
        # Opened in the usual way it would wait for ever for a decoder that is gone.
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True


def test_large_pictures_share_memory_and_small_ones_pass_by(tmp_path: Path) -> None:
    # given 96 MB to share beside 32 MB for each of three decoders
    first, second = Gate(tmp_path, "first", 110 * MB), Gate(tmp_path, "second", 60 * MB)
    with (
        ThreadPoolExecutor(2) as pool,
        decoders(command=ODD, count=3, memory_bytes=192 * MB) as ours,
    ):
        one = pool.submit(ours.decode, first.file, RECIPE)
        assert eventually(first.holds)
        assert ours.used() == 110 * MB - 32 * MB

        # when another would make it too much
        other = pool.submit(ours.decode, second.file, RECIPE)
        assert ours.decode(photographs.jpeg("coffee"), RECIPE)[:2] == (224, 224)
        assert eventually(lambda: len(ours._budget._waiting) == 1)
        assert not second.holds()

        # then it waits for the first
        first.open()
        assert one.result()[:2] == (1, 1)
        assert eventually(second.holds)
        second.open()
        assert other.result()[:2] == (1, 1)
        assert ours.used() == 0


def test_waiting_for_memory_does_not_count_as_decoding(tmp_path: Path) -> None:
    first, second = Gate(tmp_path, "first", 90 * MB), Gate(tmp_path, "second", 90 * MB)
    with (
        ThreadPoolExecutor(2) as pool,
        decoders(command=ODD, limit_s=SHORT_S, memory_bytes=128 * MB) as ours,
    ):
        # given a picture that has all the memory for as long as it may
        one = pool.submit(ours.decode, first.file, RECIPE)
        assert eventually(first.holds)
        other = pool.submit(ours.decode, second.file, RECIPE)
        assert one.exception() is not None

        # when the one that waited gets it
        assert eventually(second.holds)
        second.open()

        assert other.result()[:2] == (1, 1)


def test_a_picture_that_needs_more_than_there_is_is_refused() -> None:
    file = encode(Image.new("LA", (4000, 3000)), "PNG")

    with decoders(memory_bytes=100 * MB) as ours:
        with pytest.raises(BadImageError) as caught:
            ours.decode(file, RECIPE)

        assert caught.value.code == "too_much_memory"
        assert str(caught.value) == ("Decoding may take 75 MB of memory; the picture takes 164 MB.")


@pytest.mark.parametrize("memory_bytes", [20 * MB, 2000 * MB])
def test_pictures_are_decoded_with_little_memory_or_much(memory_bytes: int) -> None:
    file = encode(Image.open(io.BytesIO(photographs.jpeg("coffee"))), "JPEG", progressive=True)

    with decoders(memory_bytes=memory_bytes, count=4) as ours:
        assert np.array_equal(as_array(ours.decode(file, RECIPE)), decode(file, RECIPE))


@linux
def test_memory_of_large_pictures_is_given_back() -> None:
    file = encode(Image.open(io.BytesIO(photographs.jpeg("coffee"))).resize((3000, 2000)), "WEBP")
    before = children()
    with decoders(count=1) as ours:
        ours.decode(photographs.jpeg("coffee"), RECIPE)
        (pid,) = children() - before
        small = resident(pid)

        for _ in range(3):
            ours.decode(file, RECIPE)

        assert resident(pid) - small < 10 * MB


@linux
def test_memory_has_a_bound_whatever_a_picture_was_thought_to_need() -> None:
    before = children()
    with decoders(count=1, command=ODD, memory_bytes=100 * MB) as ours:
        ours.decode(photographs.jpeg("coffee"), RECIPE)
        (pid,) = children() - before

        with pytest.raises(BadImageError, match="may take 100 MB"):
            ours.decode(b"allocate", RECIPE)

        # then it had all the memory, and no more than a little slack beside
        assert 100 * MB < peak_of(pid) * 2**20 < 150 * MB


@linux
@pytest.mark.parametrize(
    "options", [("WEBP", {}), ("JPEG", {"progressive": True}), ("PNG", {"compress_level": 1})]
)
def test_a_picture_that_was_thought_to_need_less_is_decoded_all_the_same(
    options: tuple[str, dict[str, Any]],
) -> None:
    image = Image.open(io.BytesIO(photographs.jpeg("coffee"))).resize((4000, 3000))
    file = encode(image, options[0], **options[1])

    with decoders(count=1, command=(*ODD, "--underestimate"), memory_bytes=512 * MB) as ours:
        assert np.array_equal(as_array(ours.decode(file, RECIPE)), decode(file, RECIPE))


def resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)
