"""Errors as Kubernetes words them: our error classes on the way up, a `Status` object on the wire.

The wording follows k8s.io/apimachinery (`api/errors`, `util/validation/field`): kubectl and people search for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.errors import (
    AiinfnError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
)
from aiinfn_hub.local.api.kinds import Resource

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True)
class Problem:
    """One mistake in an object, at one field."""

    field: str
    reason: str
    message: str

    @classmethod
    def required(cls, field: str, detail: str = "") -> Problem:
        """The field must be given."""
        return cls(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))

    @classmethod
    def invalid(cls, field: str, value: Any, detail: str) -> Problem:
        """The value cannot be used."""
        return cls(field, "FieldValueInvalid", f"Invalid value: {_quoted(value)}: {detail}")

    @classmethod
    def forbidden(cls, field: str, detail: str) -> Problem:
        """The field may not be given or changed."""
        return cls(field, "FieldValueForbidden", f"Forbidden: {detail}")

    @classmethod
    def duplicate(cls, field: str, value: Any) -> Problem:
        """The value must be unique."""
        return cls(field, "FieldValueDuplicate", f"Duplicate value: {_quoted(value)}")

    @classmethod
    def unsupported(cls, field: str, value: Any, supported: Sequence[str]) -> Problem:
        """The value is none of those that are known."""
        choices = ", ".join(_quoted(choice) for choice in supported)
        return cls(field, "FieldValueNotSupported", f"Unsupported value: {_quoted(value)}: supported values: {choices}")

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def not_found(resource: Resource, name: str) -> NotFound:
    """404 in the usual words."""
    return NotFound(f'{resource.title} "{name}" not found', details=_details("NotFound", 404, resource, name))


def no_such_path() -> NotFound:
    """404 for what this server does not serve at all."""
    return NotFound(
        "the server could not find the requested resource", details={"reason": "NotFound", "status": 404, "object": {}}
    )


def already_exists(resource: Resource, name: str, *, leaving: bool) -> Conflict:
    """409 at a creation."""
    why = f'{"object is being deleted: " if leaving else ""}{resource.title} "{name}" already exists'
    return Conflict(why, details=_details("AlreadyExists", 409, resource, name))


def conflict(resource: Resource, name: str, why: str, subresource: str = "") -> Conflict:
    """409 at a change."""
    title = f"{resource.title}/{subresource}" if subresource else resource.title
    message = f'Operation cannot be fulfilled on {title} "{name}": {why}'
    details = _details("Conflict", 409, resource, name)
    details["object"]["kind"] += f"/{subresource}" if subresource else ""
    return Conflict(message, details=details)


def other_object(resource: Resource, ref: Sequence[str], uid: str, found: str) -> Conflict:
    """409 because the name belongs to another object by now."""
    key = "/".join(("/registry", resource.kind.plural, *(part for part in ref if part)))
    why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
    said = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return conflict(resource, ref[-1], said)


def unmet(resource: Resource, name: str, why: str) -> Conflict:
    """409 because a precondition of a deletion does not hold."""
    details = _details("Conflict", 409, resource, name)
    details["object"]["kind"] = resource.kind.kind
    return Conflict(f'Operation cannot be fulfilled on {resource.kind_title} "{name}": {why}', details=details)


def modified(resource: Resource, name: str) -> Conflict:
    """409 because somebody else was faster."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, problems: Sequence[Problem]) -> InvalidInput:
    """422 with a cause for each mistake."""
    texts = [str(problem) for problem in problems]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details("Invalid", 422, resource, name)
    details["object"]["kind"] = resource.kind.kind
    details["object"]["causes"] = [{"reason": p.reason, "message": p.message, "field": p.field} for p in problems]
    return InvalidInput(f'{resource.kind_title} "{name}" is invalid: {text}', details=details)


def unversioned(resource: Resource, name: str) -> InvalidInput:
    """422 for an update that must name the version that it replaces; titled unlike every other 422."""
    problem = Problem.invalid("metadata.resourceVersion", 0, "must be specified for an update")
    details = _details("Invalid", 422, resource, name)
    details["object"]["causes"] = [{"reason": problem.reason, "message": problem.message, "field": problem.field}]
    return InvalidInput(f'{resource.title} "{name}" is invalid: {problem}', details=details)


def invalid_value(what: str, problem: Problem, kind: str = "", group: str = "", name: str = "") -> InvalidInput:
    """422 for something that is no object of a resource: options of a deletion, a patch."""
    cause = {"reason": problem.reason, "message": problem.message, "field": problem.field}
    about = {"name": name, "kind": kind, "group": group}
    details = {key: value for key, value in about.items() if value} | {"causes": [cause]}
    message = f'{what} "{name}" is invalid: {problem}'
    return InvalidInput(message, details={"reason": "Invalid", "status": 422, "object": details})


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[dict[str, str]] = ()) -> Forbidden:
    """403 because the state of the cluster does not allow it."""
    details = _details("Forbidden", 403, resource, name)
    if causes:
        details["object"]["causes"] = list(causes)
    return Forbidden(f'{resource.title} "{name}" is forbidden: {why}', details=details)


def bad_request(message: str) -> InvalidInput:
    """400 for a request that cannot be understood."""
    return InvalidInput(message, details={"reason": "BadRequest", "status": 400})


def unprocessable() -> InvalidInput:
    """422 for a JSON patch that does not fit; which operation it was stays unsaid."""
    message = "the server rejected our request due to an error in our request"
    return InvalidInput(message, details={"reason": "Invalid", "status": 422})


def unauthorized() -> NotAuthenticated:
    """401 without a word on why."""
    return NotAuthenticated("Unauthorized")


def denied(message: str) -> Forbidden:
    """403 for a request that comes from where none should come."""
    return Forbidden(message)


def not_allowed() -> InvalidInput:
    """405: the path exists, the verb does not."""
    return InvalidInput("the server does not allow this method on the requested resource", details={"status": 405})


def internal(message: str) -> InvalidInput:
    """500, which the real one answers to some mistakes of the client."""
    return InvalidInput(message, details={"reason": "", "status": 500})


def unsupported_media(accepted: Sequence[str], *, patch: bool = False) -> InvalidInput:
    """415: only JSON is read."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    if patch:
        message = "415: Unsupported Media Type"
    return InvalidInput(message, details={"status": 415})


def expired(message: str) -> Expired:
    """410: list again."""
    return Expired(message)


def too_old(asked: int, oldest: int) -> Expired:
    """410 of a watch whose start was forgotten."""
    return expired(f"too old resource version: {asked} ({oldest})")


def too_large_version(asked: int, current: int) -> Unavailable:
    """504: a version that does not exist yet."""
    return Unavailable(
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={
            "status": 504,
            "object": {
                "retryAfterSeconds": 1,
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            },
        },
    )


def too_large(limit: int) -> TooLarge:
    """413."""
    return TooLarge(f"Request entity too large: limit is {limit}")


def to_status(error: AiinfnError) -> dict[str, Any]:
    """The `Status` object of an error; the server's answer, or the object of an ERROR event."""
    code = int(error.details.get("status", error.status))
    reason = error.details.get("reason", _REASONS.get(code, "Unknown"))
    details = error.details.get("object")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": str(error),
        **({"reason": reason} if reason else {}),
        **({"details": details} if details else {}),
        "code": code,
    }


def success(resource: Resource, name: str, uid: str = "") -> dict[str, Any]:
    """The `Status` of a deletion or a binding."""
    details = {"name": name, "group": resource.kind.group, "kind": resource.kind.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _details(reason: str, status: int, resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.kind.group, "kind": resource.kind.plural}
    return {"reason": reason, "status": status, "object": {key: value for key, value in details.items() if value}}
