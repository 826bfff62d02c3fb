"""Answers of the Kubernetes API that are errors, in our terms. Pure."""

from __future__ import annotations

import msgspec

from aiinfn_hub.errors import (
    AiinfnError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    RemoteFailed,
    TooLarge,
    Unavailable,
)

_BY_STATUS: dict[int, type[AiinfnError]] = {
    400: InvalidInput,
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: TooLarge,
    422: InvalidInput,
    429: Unavailable,
}


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""


def error_of(status: int, body: bytes, what: str) -> AiinfnError:
    """The error for an HTTP status and its body (a `Status` object, or whatever a proxy in between wrote).

    `details["reason"]` is the API's word, for instance "AlreadyExists" or "Conflict" under the same 409.
    """
    try:
        said = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:
        said = _Status(message=body[:200].decode("utf-8", "replace").strip())
    kind = _BY_STATUS.get(status, Unavailable if status >= 500 else RemoteFailed)
    message = said.message or f"the Kubernetes API answered {status}"
    return kind(f"{what}: {message}", details={"reason": said.reason, "status": status})
