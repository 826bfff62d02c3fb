"""JupyterHub's model of a user, as an authenticator returns it: `None` leaves admin or groups as they are."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from jupyterhub.roles import assign_default_roles

from aiinfn_hub.identity.provider import Tokens

Model = dict[str, Any]


def model_of(name: str, state: dict[str, Any], groups: Iterable[str], *, admin: bool) -> Model:
    """Somebody whose groups are known."""
    return {"name": name, "admin": admin, "groups": sorted(groups), "auth_state": state}


def unchanged(name: str, state: dict[str, Any]) -> Model:
    """Somebody who stays as they are, but for the tokens."""
    return {"name": name, "admin": None, "groups": None, "auth_state": state}


def kept(tokens: Tokens, now: float) -> dict[str, Any]:
    """What the encrypted auth_state keeps of a reply of the token endpoint."""
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "expires_at": now + tokens.expires_in,
        "scope": tokens.scope.split(),
    }


async def refresh(authenticator: Any, user: Any) -> None:
    """Ask about somebody, and do with the answer what JupyterHub does with that of a request.

    Whoever logged in meanwhile has newer tokens, and whoever made a request has saved this answer: neither is undone.
    """
    before = user.encrypted_auth_state
    model = await authenticator.refresh_user(user)
    if isinstance(model, dict) and user.encrypted_auth_state == before:
        await _apply(user, model)


async def _apply(user: Any, model: Model) -> None:
    """What `BaseHandler.auth_to_user` does."""
    if model["admin"] is not None and model["admin"] != user.admin:
        user.admin = model["admin"]
        assign_default_roles(user.db, entity=user.orm_user)
    if model["groups"] is not None:
        user.sync_groups(model["groups"])
    await user.save_auth_state(model["auth_state"])
    user._auth_refreshed = time.monotonic()  # noqa: SLF001  else its next request would ask the IAM again
