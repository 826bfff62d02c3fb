"""The session's token of the IAM, as far as the person should know: what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.token import About

FILE_VARIABLE = "BEARER_TOKEN_FILE"


def notices(environ: Mapping[str, str]) -> list[Notice]:
    """A notice where the IAM grants less than the platform asks for; without it, transfers fail and say little."""
    about = _about(environ.get(FILE_VARIABLE, ""))
    if about is None or not about.missing:
        return []
    missing = " and ".join(about.missing)
    return [
        Notice(
            id=f"token-{missing}",
            level="info",
            title=f"Your token of the login provider lacks {missing}.",
            text="What needs it will be refused. Ask those who run the login provider, then start the session anew.",
            since=0.0,
        )
    ]


def _about(path: str) -> About | None:
    """None where there is no token, or one of a newer platform."""
    try:
        return msgspec.json.decode(Path(path).with_name("about.json").read_bytes(), type=About) if path else None
    except (OSError, msgspec.MsgspecError):
        return None
