"""The signatures of callbacks, and the file of secrets they are made with."""

from __future__ import annotations

import base64
import json
import secrets as chance
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from structlog.testing import capture_logs

from clock import Clock
from imagefleet_web.callbacks import signing
from imagefleet_web.callbacks.secrets import Secrets, SecretsError

BODY = '{"type":"batch.finished","data":{"name":"Käse"}}'.encode()


def secret(size: int = 32) -> str:
    return "whsec_" + base64.b64encode(chance.token_bytes(size)).decode()


def raw(text: str) -> bytes:
    return base64.b64decode(text.removeprefix("whsec_"))


def test_receivers_verify_what_was_signed() -> None:
    ours = secret()

    headers = signing.headers("a batch", time.time(), BODY, [raw(ours)])

    assert Webhook(ours).verify(BODY, headers) == json.loads(BODY)
    assert headers["webhook-id"] == "a batch"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature", "body"])
def test_receivers_find_out_what_was_changed(name: str) -> None:
    ours = secret()
    headers = signing.headers("a batch", time.time(), BODY, [raw(ours)])
    changed = {
        "webhook-id": "another",
        "webhook-timestamp": str(int(time.time()) - 1),
        "webhook-signature": signing.headers("a batch", time.time(), BODY, [b"x" * 24])[
            "webhook-signature"
        ],
    }

    with pytest.raises(WebhookVerificationError):
        Webhook(ours).verify(
            BODY + b" " if name == "body" else BODY,
            headers if name == "body" else headers | {name: changed[name]},
        )


def test_with_several_secrets_each_of_them_verifies() -> None:
    old, new = secret(24), secret(64)

    headers = signing.headers("a batch", time.time(), BODY, [raw(old), raw(new)])

    assert len(headers["webhook-signature"].split(" ")) == 2
    for each in (old, new):
        Webhook(each).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret()).verify(BODY, headers)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "callbacks.txt"


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def test_an_owner_has_secrets_of_its_own_or_those_of_all(path: Path) -> None:
    old, new, alls = secret(), secret(), secret()
    write(path, "# ours", f"alice:{old}", "", f"  alice:{new}", f"*:{alls}")

    known = Secrets(path)

    assert known.of("alice") == (raw(old), raw(new))
    assert known.of("bob") == (raw(alls),)
    assert known.of(None) == (raw(alls),)


def test_without_a_line_for_all_others_have_none(path: Path) -> None:
    write(path, f"alice:{secret()}")

    assert Secrets(path).of("bob") == ()
    assert Secrets(path).of(None) == ()


BROKEN = {
    "no mark": f"alice:{secret()[6:]}",
    "no name": secret(),
    "an impossible name": f"a b:{secret()}",
    "no Base64": "alice:whsec_" + "é" * 32,
    "half of Base64": f"alice:{secret()[:-3]}",
    "too short": f"alice:{secret(23)}",
    "too long": f"alice:{secret(65)}",
    "nothing": "",
    "bytes that are no text": "\udcff",
    "too many of one name": "\n".join(f"alice:{secret()}" for _ in range(9)),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_broken_at_the_start_is_an_error_that_shows_no_secret(
    path: Path, content: str
) -> None:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(SecretsError, match=r"callbacks\.txt") as caught:
        Secrets(path)

    assert "whsec_" not in str(caught.value).replace("whsec_…", "")


def test_secrets_change_within_seconds_and_a_broken_file_changes_nothing(path: Path) -> None:
    clock = Clock(0)
    first, second = secret(), secret()
    write(path, f"*:{first}")
    known = Secrets(path, clock=clock)

    write(path, f"*:{first}", f"*:{second}")
    assert known.of(None) == (raw(first),)
    clock.now = 2
    assert known.of(None) == (raw(first), raw(second))

    write(path, f"*:{second}", "broken")
    with capture_logs() as logs:
        for clock.now in (4, 6, 8):
            assert known.of(None) == (raw(first), raw(second))
    (line,) = logs
    assert line["log_level"] == "warning"
    assert second not in str(line)
