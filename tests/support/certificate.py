"""Certificates that tests sign themselves; each is its own authority."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    """A key and its certificate, both in PEM."""

    key: bytes
    certificate: bytes
    serial_number: int


def sign(*names: str) -> Signed:
    """Make a certificate for host names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imagefleet test")])
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each)
        for each in names
    ]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Signed(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        made.public_bytes(serialization.Encoding.PEM),
        made.serial_number,
    )


def write_pem(path: Path, *names: str) -> Path:
    """Write a key and its certificate into one file, as Python's servers read them."""
    signed = sign(*names)
    path.write_bytes(signed.key + signed.certificate)
    return path


def write_certificate(folder: Path) -> int:
    """Write the files that the proxy reads, for 127.0.0.1; return the serial number."""
    signed = sign("localhost", "127.0.0.1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fullchain.pem").write_bytes(signed.certificate)
    (folder / "privkey.pem").write_bytes(signed.key)
    # The proxy's user is none of this machine's.
    (folder / "privkey.pem").chmod(0o644)
    folder.chmod(0o755)
    return signed.serial_number
