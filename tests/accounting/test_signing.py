"""Signatures of closed months, with keys as OpenSSH makes them."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from aiinfn_hub.accounting.signing import Signer, fingerprint, holds, known_signers
from aiinfn_hub.errors import InvalidInput

SEAL = "5a" * 32
PLAIN = NoEncryption()


def nobody() -> str:
    raise AssertionError("this key has no passphrase")


def written(path: Path, key: Ed25519PrivateKey, how: KeySerializationEncryption = PLAIN) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, how))
    return path


def test_what_somebody_signs_holds_for_that_key_and_that_seal(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    signer = Signer.of_file(written(tmp_path / "key", key), nobody)
    signature = signer.sign(SEAL)
    assert holds(signer.public, SEAL, signature)
    assert not holds(signer.public, SEAL.replace("5", "6"), signature)
    assert not holds(Signer(Ed25519PrivateKey.generate()).public, SEAL, signature)
    for broken in ("", "x", signature[:-4], signature.swapcase()):
        assert not holds(signer.public, SEAL, broken)
    for key_text in ("", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAA", "root"):
        assert not holds(key_text, SEAL, signature)


def test_a_signature_for_something_else_is_none_here() -> None:
    key = Ed25519PrivateKey.generate()
    foreign = base64.b64encode(key.sign(SEAL.encode())).decode()
    assert not holds(Signer(key).public, SEAL, foreign)


@pytest.mark.parametrize(("typed", "opens"), [("a few words", True), ("other words", False)])
def test_a_key_with_a_passphrase_asks_for_it(tmp_path: Path, typed: str, *, opens: bool) -> None:
    key = Ed25519PrivateKey.generate()
    path = written(tmp_path / "key", key, BestAvailableEncryption(b"a few words"))
    if opens:
        assert Signer.of_file(path, lambda: typed).public == Signer(key).public
        return
    with pytest.raises(InvalidInput, match="the passphrase is another one"):
        Signer.of_file(path, lambda: typed)


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="missing cannot be read: No such file") as caught:
        Signer.of_file(tmp_path / "missing", nobody)
    assert "ssh-keygen -t ed25519" in str(caught.value.hint)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InvalidInput, match="text holds no key"):
        Signer.of_file(tmp_path / "text", nobody)
    rsa = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, PLAIN)
    (tmp_path / "rsa").write_bytes(rsa)
    with pytest.raises(InvalidInput, match="not Ed25519"):
        Signer.of_file(tmp_path / "rsa", nobody)


def test_the_list_of_signers_is_as_openssh_writes_it(tmp_path: Path) -> None:
    first, second, third = (Signer(Ed25519PrivateKey.generate()).public for _ in range(3))
    path = tmp_path / "signers"
    path.write_text(f'# who may\n{first} anna@desk\n\nbruno@example.org namespaces="aiinfn" {second}\n# {third}\n')
    assert known_signers(path) == {first, second}
    path.write_text("ssh-rsa AAAA anna\n")
    with pytest.raises(InvalidInput, match="has no ssh-ed25519 key"):
        known_signers(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        known_signers(tmp_path / "missing")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="There is no ssh-keygen here.")
@pytest.mark.parametrize("passphrase", ["", "a few words"])
def test_a_key_of_openssh_itself_is_read_and_has_the_same_name_there(tmp_path: Path, passphrase: str) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "anna", "-f", path], check=True)
    signer = Signer.of_file(path, lambda: passphrase)
    listed = subprocess.run(["ssh-keygen", "-l", "-f", f"{path}.pub"], check=True, capture_output=True, text=True)
    assert fingerprint(signer.public) == listed.stdout.split()[1]
    assert known_signers(tmp_path / "key.pub") == {signer.public}
    assert holds(signer.public, SEAL, signer.sign(SEAL))
