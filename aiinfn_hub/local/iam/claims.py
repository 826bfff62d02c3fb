"""What the tokens and userinfo say of an account, in the claims of INDIGO IAM's profiles `iam` and `wlcg`; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.local.iam.accounts import Account

SCOPES = ("openid", "profile", "email", "offline_access", "wlcg.groups", "storage.read:/", "storage.modify:/")
WLCG_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"


def granted(requested: str) -> tuple[str, ...]:
    """The scopes of the request that the client may have; the others are left out without a word, as IAM does."""
    return tuple(scope for scope in dict.fromkeys(requested.split()) if scope in SCOPES)


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
    if "wlcg.groups" in scope:
        claims["wlcg.groups"] = list(account.groups)
    return claims


def of_access_token(account: Account, scope: Sequence[str]) -> dict[str, Any]:
    """What the access token says beside who issued it, for whom and how long."""
    if "wlcg.groups" not in scope:
        return {"sub": account.sub}
    return {
        "sub": account.sub,
        "aud": WLCG_AUDIENCE,
        "scope": " ".join(scope),
        "wlcg.ver": "1.0",
        "wlcg.groups": list(account.groups),
    }
