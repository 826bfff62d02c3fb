"""What the tokens and userinfo say of an account, in the claims of INDIGO IAM's profiles `iam` and `wlcg`; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.local.iam.accounts import Account

SCOPES = ("openid", "profile", "email", "offline_access", "wlcg.groups", "storage.read:/", "storage.modify:/")
#: Asks for one group, which is then named first; the only way to one that is optional (WLCG token profile 1.2, 3.1).
GROUP = "wlcg.groups:"
WLCG_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"


def granted(requested: str) -> tuple[str, ...]:
    """The scopes of the request that the client may have; the others are left out without a word, as IAM does."""
    return tuple(scope for scope in dict.fromkeys(requested.split()) if scope in SCOPES or scope.startswith(GROUP))


def of_person(account: Account, scope: Sequence[str]) -> dict[str, Any]:
    """The claims of userinfo and of the ID token. `groups` have no leading slash, `wlcg.groups` have one."""
    claims: dict[str, Any] = {"sub": account.sub}
    if "profile" in scope:
        given, _, family = account.name.partition(" ")
        claims |= {
            "name": account.name,
            "given_name": given,
            "family_name": family,
            "preferred_username": account.username,
            "organisation_name": "aiinfn",
            "groups": [group.removeprefix("/") for group in account.groups],
        }
    if "email" in scope:
        claims |= {"email": account.email, "email_verified": True}
    if _asks_groups(scope):
        claims["wlcg.groups"] = wlcg_groups(account, scope)
    return claims


def wlcg_groups(account: Account, scope: Sequence[str]) -> list[str]:
    """Those that are asked for by name, in that order, then the others that are not optional."""
    named = [one.removeprefix(GROUP) for one in scope if one.startswith(GROUP)]
    held = {*account.groups, *account.optional_groups}
    return list(dict.fromkeys([*(group for group in named if group in held), *account.groups]))


def _asks_groups(scope: Sequence[str]) -> bool:
    return any(one == "wlcg.groups" or one.startswith(GROUP) for one in scope)


def of_access_token(account: Account, scope: Sequence[str]) -> dict[str, Any]:
    """What the access token says beside who issued it, for whom and how long."""
    if not _asks_groups(scope):
        return {"sub": account.sub}
    return {
        "sub": account.sub,
        "aud": WLCG_AUDIENCE,
        "scope": " ".join(scope),
        "wlcg.ver": "1.0",
        "wlcg.groups": wlcg_groups(account, scope),
    }
