"""What INDIGO IAM means when it refuses: much of it is in words only."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from tornado.httpclient import HTTPResponse

from aiinfn_hub.errors import NotAuthenticated, RemoteFailed


class _Refusal(msgspec.Struct, frozen=True):
    error: str = ""
    error_description: str = ""


def refused(response: HTTPResponse) -> NotAuthenticated | RemoteFailed:
    """What a 3xx or 4xx of the IAM means. Only `invalid_grant` and a refused access token are about the person."""
    host = urlsplit(response.effective_url).netloc
    try:
        said = msgspec.json.decode(response.body, type=_Refusal)
    except msgspec.MsgspecError:
        said = _Refusal()
    if said.error == "invalid_grant" or (response.code == 401 and said.error != "invalid_client"):
        return _ended(said)
    return RemoteFailed(
        f"The login provider {host} answers {response.code} {said.error}".strip() + ".",
        hint="This is a mistake in the hub's settings for it, not yours: please tell the operators.",
        details={"error": said.error},
    )


def _ended(said: _Refusal) -> NotAuthenticated:
    """The login is over; INDIGO IAM says why in words only."""
    words = said.error_description.lower()
    if "aup" in words.split() or "acceptable usage" in words:
        return NotAuthenticated(
            "The acceptable use policy must be signed at the login provider first.",
            hint="Log in there, sign it, and come back.",
            details={"reason": "aup"},
        )
    if "not active" in words or "disabled" in words or "suspended" in words:
        return NotAuthenticated(
            "The login provider says that this account is not active.",
            hint="Ask those who run the login provider.",
            details={"reason": "inactive"},
        )
    reason = "expired" if "expired" in words else "ended"
    return NotAuthenticated("This login is over.", hint="Log in again.", details={"reason": reason})
