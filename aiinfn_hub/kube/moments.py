"""Times as the Kubernetes API writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from aiinfn_hub.errors import InvalidInput


def rfc3339(seconds: float) -> str:
    """Unix seconds as metav1.Time: whole seconds, in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """Unix seconds as metav1.MicroTime, which leases use."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix(text: str) -> float:
    """Unix seconds of either.

    Raises:
        InvalidInput: it is no time.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a time as Kubernetes writes it.") from error
