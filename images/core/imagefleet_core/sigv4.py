"""AWS's Signature Version 4 for S3: a tenth of the CPU that botocore's general signer takes.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

ALGORITHM = "AWS4-HMAC-SHA256"
# Stands for the hash of a body that TLS alone protects.
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = sha256(b"").hexdigest()


class Signer:
    """Signs requests to S3 in one region; safe to share between threads.

    Args:
        credentials: returns those of the moment, or None; asked for each request, so that
            credentials which expire are renewed in time.
    """

    def __init__(self, region: str, credentials: Callable[[], ReadOnlyCredentials | None]) -> None:
        self.region = region
        self._credentials = credentials
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def sign(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        payload_hash: str,
        now_s: float | None = None,
    ) -> dict[str, str]:
        """Return `headers` with those that prove who sends the request.

        Args:
            path: what stands in the request line, percent-encoded; no query.
            headers: by names in lower case, with `host`; all of them are signed.
            payload_hash: the body's SHA-256 in hexadecimal, or `UNSIGNED_PAYLOAD`.
            now_s: seconds since 1970; the clock's unless given.

        Raises:
            NoCredentialsError: there are none.
        """
        credentials = self._credentials()
        if credentials is None or not credentials.secret_key:
            raise NoCredentialsError
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        day = stamp[:8]
        signed = {**headers, "x-amz-content-sha256": payload_hash, "x-amz-date": stamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        listed = ";".join(names)
        lines = [f"{name}:{' '.join(signed[name].split())}" for name in names]
        canonical = "\n".join([method, path, "", *lines, "", listed, payload_hash])
        scope = f"{day}/{self.region}/s3/aws4_request"
        to_sign = "\n".join([ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()])
        key = self._signing_key(credentials.secret_key, day)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _signing_key(self, secret: str, day: str) -> bytes:
        """Return the key that is good for one day, made anew only when day or secret change."""
        known_secret, known_day, key = self._key
        if (known_secret, known_day) != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self.region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key
