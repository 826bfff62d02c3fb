"""Every error of the platform: a stable code, an HTTP status, and a hint that tells the person what to do next.

Rooms raise these; one place of each composition root turns them into a response. Foreign exceptions are converted where
they come in, chained with `from`, so that nobody else needs to know which client library is below.
"""

from __future__ import annotations

from typing import Any, ClassVar


class AiinfnError(Exception):
    """Base of all our errors.

    Args:
        message: one sentence for the person: what was wrong, and where.
        hint: what to do next, or the nearest valid choice.
        details: facts for programs; JSON values only, nothing secret.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def to_json(self) -> dict[str, Any]:
        """The body of the HTTP response, as `from_json` reads it."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}}


class InvalidInput(AiinfnError):
    """A request, an option or a line of input that cannot be used as it is."""

    code = "invalid-input"
    status = 400


class CatalogueInvalid(AiinfnError):
    """The platform file has mistakes; `details["problems"]` lists each with file, line and path."""

    code = "catalogue-invalid"
    status = 500


class NotAuthenticated(AiinfnError):
    """Nobody known made this request."""

    code = "not-authenticated"
    status = 401


class Forbidden(AiinfnError):
    """The person is known, and may not do this."""

    code = "forbidden"
    status = 403


class NotFound(AiinfnError):
    """There is no such thing, or not for this person."""

    code = "not-found"
    status = 404


class Conflict(AiinfnError):
    """The state of the thing does not allow this."""

    code = "conflict"
    status = 409


class Expired(AiinfnError):
    """The thing existed and is gone: an old resource version, a spent capability."""

    code = "expired"
    status = 410


class TooLarge(AiinfnError):
    """More bytes, frames or values than the limit."""

    code = "too-large"
    status = 413


class QuotaExceeded(AiinfnError):
    """The person or the activity has no room left."""

    code = "quota-exceeded"
    status = 429


class RemoteFailed(AiinfnError):
    """A system that we depend on answered with an error."""

    code = "remote-failed"
    status = 502


class Unavailable(AiinfnError):
    """A system that we depend on does not answer; trying again later may help."""

    code = "unavailable"
    status = 503


def all_errors() -> list[type[AiinfnError]]:
    """Every class of this module, base first; the reference page of the docs is made from it."""
    return [AiinfnError, *AiinfnError.__subclasses__()]


def from_json(status: int, body: Any) -> AiinfnError:
    """The error that `to_json` wrote; for any other body an error by status, with what can be told of it."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        kind = next((k for k in all_errors() if k.status == status), RemoteFailed)
        return kind(f"The service answered {status}.")
    kind = next((k for k in all_errors() if k.code == error.get("code")), RemoteFailed)
    return kind(
        str(error.get("message", f"The service answered {status}.")),
        hint=str(error.get("hint", "")),
        details=error.get("details") if isinstance(error.get("details"), dict) else None,
    )
