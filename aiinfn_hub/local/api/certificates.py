"""The server's certificate. TLS on loopback is there for kubectl: it sends no token to a plain `http://` address."""

from __future__ import annotations

import ipaddress
import os
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=365)
_NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


def server_context(folder: Path) -> tuple[ssl.SSLContext, str]:
    """TLS for a server on loopback, and the certificate (PEM) that its clients should trust.

    Key and certificate are kept in `folder`, so that a kubeconfig stays valid over restarts; they are made anew in the
    last month of their year.
    """
    path = folder / "server.pem"
    if not _is_good(path):
        _write(path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context, _certificate(path).public_bytes(serialization.Encoding.PEM).decode()


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _is_good(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return _certificate(path).not_valid_after_utc - datetime.now(UTC) > timedelta(days=30)
    return False


def _write(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(key)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM) + private)
    temporary.replace(path)


def _sign(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate that is its own authority and can vouch for nothing else."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aiinfn embedded Kubernetes API")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    public = key.public_key()
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(_NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
