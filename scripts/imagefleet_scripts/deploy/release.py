"""Whether all is there that a version needs before its machines are launched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from botocore.exceptions import ClientError

from imagefleet_core.aws import error_code
from imagefleet_scripts.deploy import next_step
from imagefleet_scripts.deploy.account import IMAGES, Account
from imagefleet_scripts.deploy.cli import Wrong, say

KEYS, CERTIFICATE = "keys.txt", ("fullchain.pem", "privkey.pem")
# Files that the web host knows what to do with.
SECRETS = (KEYS, "callbacks.txt", *CERTIFICATE)
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
STANDARD_BYTES, MOST_BYTES = 4096, 8192


def require_images(account: Account, tag: str) -> None:
    """Return if all images of a version are in their repositories; raises `Wrong` naming others."""
    if missing := missing_images(account, tag):
        raise Wrong(
            f"there is no image {tag} of {', '.join(missing)} in ECR: "
            f"{next_step.command(account, 'push-images', '--tag', tag)} (after a first "
            f"{next_step.command(account, 'deploy')} without --image)"
        )


def missing_images(account: Account, tag: str) -> list[str]:
    """Return the images that nobody has pushed of a version."""
    return [image for image in IMAGES if not has_image(account, image, tag)]


def has_image(account: Account, image: str, tag: str) -> bool:
    """Return whether an image of this tag was pushed."""
    try:
        answer = account.client("ecr").describe_images(
            repositoryName=account.repository(image), imageIds=[{"imageTag": tag}]
        )
    except ClientError as error:
        if error_code(error) in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            return False
        raise
    return bool(answer["imageDetails"])


def require_secrets(
    account: Account,
    settings: Mapping[str, str],
    coming: Collection[str],
    *,
    balanced: bool = False,
) -> None:
    """Return if the web host will find its keys and certificate; raises `Wrong` naming others.

    Args:
        coming: names of those that are about to be put there.
        balanced: whether the stack's own load balancer has the certificate.
    """
    wanted = {KEYS}
    plain = settings.get("IMAGEFLEET_TLS", "true").lower() in {"false", "0"}
    if not (balanced or plain):
        wanted |= set(CERTIFICATE)
    missing = wanted - set(coming) - set(stored_secrets(account))
    if missing:
        raise Wrong(
            f"the web host needs {', '.join(sorted(missing))}: put them into a folder and give it "
            "with --secrets (keys.txt: ./scripts/new-key; without a certificate here only with "
            "CertificateArn, or with IMAGEFLEET_TLS=false behind a load balancer of your own)"
        )


def stored_secrets(account: Account) -> dict[str, str]:
    """Return the secrets that lie in SSM by their files' names."""
    pages = account.client("ssm").get_paginator("get_parameters_by_path")
    return {
        each["Name"].rpartition("/")[2]: each["Value"]
        for page in pages.paginate(Path=account.secrets_path, WithDecryption=True)
        for each in page["Parameters"]
    }


def read_secrets(folder: Path) -> dict[str, str]:
    """Return the files of a folder that the web host knows; raises `Wrong`."""
    if not folder.is_dir():
        raise Wrong(f"--secrets {folder}: expected a folder with {', '.join(SECRETS)}")
    found = {}
    for name in SECRETS:
        file = folder / name
        if not file.exists():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise Wrong(f"{file}: can't be read: {error}") from error
        if not text.strip() or len(text.encode()) > MOST_BYTES:
            raise Wrong(f"{file}: expected 1 to {MOST_BYTES:,} bytes, which is what SSM takes")
        found[name] = text
    if not found:
        raise Wrong(f"--secrets {folder}: none of {', '.join(SECRETS)} is there")
    return found


def store_secrets(account: Account, secrets: Mapping[str, str]) -> None:
    """Put secrets into SSM, encrypted; those that are there already are left alone."""
    before = stored_secrets(account)
    for name, text in secrets.items():
        if before.get(name) == text:
            continue
        _store(account, f"{account.secrets_path}/{name}", text)
        say(f"{account.secrets_path}/{name}: stored; a host that runs has it within ten minutes")


def _store(account: Account, parameter: str, text: str) -> None:
    """Put one secret into the cheapest tier that takes it.

    What was advanced once stays so, as SSM refuses the way back. Only its refusal tells without a
    further permission: a list of all parameters of the account would tell, too.
    """

    def put(tier: str) -> None:
        account.client("ssm").put_parameter(
            Name=parameter, Value=text, Type="SecureString", Overwrite=True, Tier=tier
        )

    if len(text.encode()) <= STANDARD_BYTES:
        try:
            return put("Standard")
        except ClientError as error:
            if error_code(error) != "ValidationException":
                raise
    return put("Advanced")
