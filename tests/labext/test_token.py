"""What the person reads of the session's token."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from aiinfn_hub.contract.token import About
from aiinfn_labext.token import notices


def found(folder: Path, about: bytes | None) -> list[str]:
    if about is not None:
        (folder / "about.json").write_bytes(about)
    return [notice.title for notice in notices({"BEARER_TOKEN_FILE": str(folder / "token")})]


@pytest.mark.parametrize(
    ("missing", "title"),
    [
        ((), []),
        (("storage.modify:/",), ["Your token of the login provider lacks storage.modify:/."]),
        (("a", "b"), ["Your token of the login provider lacks a and b."]),
    ],
)
def test_a_scope_that_was_not_granted_is_named(tmp_path: Path, missing: tuple[str, ...], title: list[str]) -> None:
    assert found(tmp_path, msgspec.json.encode(About(expires_at=1.0, scopes=("x",), missing=missing))) == title


@pytest.mark.parametrize("about", [None, b"", b"{", b'{"newer": 1}', b"\xff"])
def test_without_a_token_nothing_is_said(tmp_path: Path, about: bytes | None) -> None:
    assert found(tmp_path, about) == []
    assert notices({}) == []
