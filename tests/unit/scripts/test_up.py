import signal
import socket
from collections.abc import Iterator

import pytest

from imagefleet_scripts import up


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put pytest's own signal handlers back in the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_missing_modules_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "MODULES", ("socket", "no_such_module", "nor_this_one"))

    assert up.main([]) == 1

    said = capsys.readouterr().err
    assert said.startswith("scripts/up: Python modules are missing: no_such_module, nor_this_one;")
    assert said.count("\n") == 1


def test_a_taken_port_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert up.main(["--port", str(port)]) == 1

    assert capsys.readouterr().err == (
        f"scripts/up: port {port} cannot be used (Address already in use); "
        "choose another with --port\n"
    )


@pytest.mark.parametrize("arguments", [["--port", "http"], ["--max-workers", "0"]])
def test_a_wrong_option_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        up.main(arguments)

    assert arguments[0] in capsys.readouterr().err
