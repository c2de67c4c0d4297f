"""What the commands have in common: options, and one line with an exit status for each failure."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from imagefleet_core.aws import error_code, explain
from imagefleet_core.errors import ImagefleetError
from imagefleet_core.settings import Settings, SettingsError, load
from imagefleet_core.stack import StackError
from imagefleet_scripts.deploy.account import USUAL_PREFIX, Account, WrongAccount, open_account

DONE, FAILED, USAGE, ACCOUNT, FORBIDDEN, INTERRUPTED = 0, 1, 2, 3, 4, 130
EXITS = """\
exit status:
  0    done, or nothing was to be done
  1    AWS did not do it; the line says what failed first
  2    an option or a file is wrong
  3    no credentials, no region, or those of another account than --account
  4    the credentials do not permit a call, which is named
  130  interrupted; doing it again goes on with it
"""

_NOBODY = (
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
_UNKNOWN = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_FORBIDDEN = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "UnauthorizedOperation",
}
# CloudFormation does in our name what a template says, and tells what a service answered.
_REFUSED_INSIDE = re.compile(r"not authorized to perform|AccessDenied|UnauthorizedOperation")
# EC2 says why in a form that only a further call decodes.
_ENCODED = re.compile(r"\s*Encoded authorization failure message:.*", re.DOTALL)


class Wrong(ImagefleetError):
    """What was asked for on the command line can't be."""


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all commands have."""
    made = argparse.ArgumentParser(
        prog=f"scripts/{command}",
        description=description,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--prefix",
        default=os.environ.get("IMAGEFLEET_PREFIX") or USUAL_PREFIX,
        help="which system; stands before all names (default: IMAGEFLEET_PREFIX, or imagefleet)",
    )
    made.add_argument(
        "--account", default="", metavar="ID", help="go on only if the credentials are of this one"
    )
    made.add_argument(
        "--region", default="", help="the region, unless AWS_DEFAULT_REGION or the profile says it"
    )
    return made


def run(
    command: str, options: argparse.Namespace, work: Callable[[Account, argparse.Namespace], None]
) -> int:
    """Do the work in the account of the options; return the status, with a failure in a line."""
    try:
        load(Settings, {"IMAGEFLEET_PREFIX": options.prefix})
        account = open_account(options.prefix, region=options.region, expected=options.account)
        say(f"account {account.id}, {account.region}, as {account.user.rpartition(':')[2]}")
        work(account, options)
    except KeyboardInterrupt:
        return _failed(command, "interrupted; do it again to go on", INTERRUPTED)
    except (ImagefleetError, BotoCoreError, ClientError, ValueError) as error:
        return _failed(command, *_told(error))
    return DONE


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def _told(error: Exception) -> tuple[str, int]:
    """Return what to say of a failure, and the exit status."""
    code = error_code(error)
    cause = error.__cause__
    if isinstance(error, ClientError) and code in _FORBIDDEN:
        said = _ENCODED.sub("", error.response["Error"].get("Message", ""))
        return f"the credentials do not permit {error.operation_name}: {said}", FORBIDDEN
    if isinstance(error, NoRegionError):
        return "no region: set AWS_DEFAULT_REGION, or give --region", ACCOUNT
    if isinstance(error, (WrongAccount, *_NOBODY)) or code in _UNKNOWN:
        return explain(error) if isinstance(error, BotoCoreError | ClientError) else str(error), (
            ACCOUNT
        )
    if isinstance(error, Wrong | SettingsError):
        return str(error), USAGE
    if isinstance(error, StackError) and _REFUSED_INSIDE.search(str(error)):
        return f"the credentials do not permit all that is needed: {error}", FORBIDDEN
    if isinstance(error, ImagefleetError) and isinstance(cause, ClientError | BotoCoreError):
        return str(error), _told(cause)[1]
    if isinstance(error, BotoCoreError | ClientError):
        return explain(error), FAILED
    return str(error), FAILED


def _failed(command: str, why: str, status: int) -> int:
    print(f"scripts/{command}: {' '.join(why.split())}", file=sys.stderr, flush=True)
    return status


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """Return `KEY=VALUE` as a mapping; raises `Wrong`."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise Wrong(f"{text!r}: expected KEY=VALUE, as WebInstanceType=t3.large")
        found[key] = value
    return found
