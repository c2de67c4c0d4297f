"""EC2's instance metadata service, by its second version, which asks for a token.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from imagefleet_core.errors import ImagefleetError

# It answers from the same host within a millisecond or two. Where it isn't, packets get lost.
TIMEOUT_S = 1.0
# The longest there is; a new token is got in good time.
TOKEN_S = 21600
RENEW_S = TOKEN_S - 600
# Far more than any answer that is looked for.
MOST_BYTES = 65536

_TOKEN = "X-aws-ec2-metadata-token"  # noqa: S105  # a header's name


class ImdsError(ImagefleetError):
    """The service is not there, or answers what nobody understands."""


class Imds:
    """Asks the service; for one thread.

    Over plain connections of its own: proxies don't apply to it, nor does anything else of urllib.

    Args:
        url: where it answers; on EC2 `http://169.254.169.254`.
        clock: seconds that only go forward.
        timeout_s: for connecting and for each answer.

    Raises:
        ImdsError: `url` is no such address.
    """

    def __init__(
        self, url: str, *, clock: Callable[[], float], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = url
        self._clock = clock
        self._timeout_s = timeout_s
        self._token = ""
        self._renew_at = float("-inf")
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme != "http":
            raise ImdsError(f"{url!r}: expected the address of instance metadata, as http://host")

    def get(self, path: str) -> str | None:
        """Return what stands at a path below `/latest/meta-data/`, None where there is nothing.

        Raises:
            ImdsError: it doesn't answer, or neither so nor so.
        """
        status, text = self._get(path)
        if status == HTTPStatus.UNAUTHORIZED:  # after hibernation, for one, a token isn't known
            self._renew_at = float("-inf")
            status, text = self._get(path)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise ImdsError(f"{self._url} answers {status} for {path}")
        return text

    def _get(self, path: str) -> tuple[int, str]:
        if self._clock() >= self._renew_at:
            self._renew()
        return self._ask("GET", f"/latest/meta-data/{path}", {_TOKEN: self._token})

    def _renew(self) -> None:
        now = self._clock()
        status, token = self._ask(
            "PUT", "/latest/api/token", {f"{_TOKEN}-ttl-seconds": str(TOKEN_S)}
        )
        if status != HTTPStatus.OK or not token.isascii() or not token.isprintable():
            raise ImdsError(f"{self._url} gives no token: it answers {status}")
        self._token, self._renew_at = token, now + RENEW_S

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        connection = HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            with closing(connection):
                connection.request(method, path, headers=dict(headers))
                answer = connection.getresponse()
                return answer.status, answer.read(MOST_BYTES).decode(errors="replace")
        except (OSError, HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise ImdsError(f"{self._url} does not answer: {reason}") from error
