"""Who vouches for a closed month: an Ed25519 key as `ssh-keygen -t ed25519` makes it, kept by a person, not by us."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from aiinfn_hub.errors import InvalidInput

#: Before what is signed, so that a signature made for something else is none here.
_CONTEXT = b"aiinfn ledger\n"
_MAKE_ONE = "ssh-keygen -t ed25519 -f FILE makes one; keep it away from the database."


class Signer:
    """Signs seals.

    Attributes:
        public: the public key in one line, as OpenSSH writes it, without a comment.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @classmethod
    def of_file(cls, path: Path, passphrase: Callable[[], str]) -> Self:
        """The key in a file; `passphrase` is called if it has one.

        Raises:
            InvalidInput: the file cannot be read, or holds no such key.
        """
        try:
            text = path.expanduser().read_bytes()
        except OSError as error:
            raise InvalidInput(f"The key {path} cannot be read: {error.strerror}.", hint=_MAKE_ONE) from error
        try:
            key = _private(text, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(f"{path} holds no key, or the passphrase is another one.", hint=_MAKE_ONE) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidInput(f"{path} holds a key that is not Ed25519.", hint=_MAKE_ONE)
        return cls(key)

    def sign(self, seal: str) -> str:
        """The signature of a seal, in base64."""
        return base64.b64encode(self._key.sign(_CONTEXT + seal.encode())).decode()


def _private(text: bytes, passphrase: Callable[[], str]) -> object:
    try:
        return load_ssh_private_key(text, None)
    except (ValueError, TypeError) as error:
        if "password" not in str(error).lower():
            raise
        return load_ssh_private_key(text, passphrase().encode())


def holds(signer: str, seal: str, signature: str) -> bool:
    """Whether the owner of this public key has signed this seal."""
    try:
        key = load_ssh_public_key(signer.encode())
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(base64.b64decode(signature, validate=True), _CONTEXT + seal.encode())
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def fingerprint(signer: str) -> str:
    """A public key in short, as `ssh-keygen -l` prints it."""
    blob = base64.b64decode(signer.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def known_signers(path: Path) -> set[str]:
    """The public keys of a file with one a line, as in OpenSSH's `authorized_keys` or `allowed_signers`.

    Raises:
        InvalidInput: it cannot be read, or has none.
    """
    try:
        lines = path.expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidInput(f"The list of signers {path} cannot be read: {error.strerror}.") from error
    words = [line.split() for line in lines if not line.lstrip().startswith("#")]
    found = {" ".join(pair) for line in words for pair in pairwise(line) if pair[0] == "ssh-ed25519"}
    if not found:
        raise InvalidInput(f"{path} has no ssh-ed25519 key.", hint="Put the signers' public keys there, one a line.")
    return found
