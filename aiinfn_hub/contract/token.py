"""What the token of the IAM in a session is for; a file beside it, and nothing in it is secret."""

from __future__ import annotations

from aiinfn_hub.contract.jobs import Wire


class About(Wire, frozen=True, kw_only=True):
    """`expires_at` is in Unix seconds; `missing` are scopes that the platform asks for and the IAM did not grant."""

    expires_at: float
    scopes: tuple[str, ...]
    missing: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
