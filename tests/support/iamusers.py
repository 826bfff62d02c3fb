"""People as an authenticator sees them, without JupyterHub; and the settings of ours for an IAM of the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import _serialize_state
from support.iam import CLIENT_ID, CLIENT_SECRET, SCOPE, BreakableIam, Browser
from traitlets.config import Config

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.local.iam.grants import challenge_of


@dataclass
class Group:
    name: str


@dataclass
class User:
    """What the authenticator sees of JupyterHub's user."""

    name: str
    admin: bool = False
    groups: list[Group] = field(default_factory=list)
    auth_state: dict[str, Any] | None = None
    _auth_refreshed: float | None = None
    spawner: Any = None

    async def get_auth_state(self) -> dict[str, Any] | None:
        return self.auth_state

    @property
    def encrypted_auth_state(self) -> str:
        return repr(self.auth_state)

    async def save_auth_state(self, state: dict[str, Any] | None) -> None:
        self.auth_state = state

    def sync_groups(self, names: list[str]) -> None:
        self.groups = [Group(name) for name in names]

    def save(self, model: Any) -> None:
        """What JupyterHub does with the model of a login or a refresh."""
        assert isinstance(model, dict), model
        assert model["name"] == self.name
        self.auth_state = model["auth_state"]
        if model["admin"] is not None:
            self.admin = model["admin"]
        if model["groups"] is not None:
            self.groups = [Group(name) for name in model["groups"]]

    @property
    def rights(self) -> tuple[list[str], bool]:
        return [group.name for group in self.groups], self.admin


@dataclass
class Handler:
    """JupyterHub's callback handler: the code of the URL, the verifier of the cookie."""

    code: str
    verifier: str

    def get_argument(self, name: str) -> str:
        assert name == "code"
        return self.code

    def get_state_cookie(self) -> str:
        return _serialize_state({"code_verifier": self.verifier})


def settings_of(issuer: str, callback: str) -> dict[str, Any]:
    """Of `IamAuthenticator`, as an operator writes them."""
    return {
        "issuer": issuer,
        "platform_file": str(example_path()),
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "oauth_callback_url": callback,
    }


def stock_settings(issuer: str, callback: str) -> dict[str, Any]:
    """Of OAuthenticator's own class, as its documentation says."""
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "oauth_callback_url": callback,
        "authorize_url": f"{issuer}authorize",
        "token_url": f"{issuer}token",
        "userdata_url": f"{issuer}userinfo",
        "username_claim": "preferred_username",
        "scope": SCOPE.split(),
        "enable_auth_state": True,
        "manage_groups": True,
        "auth_state_groups_key": "oauth_user.groups",
    }


def made(settings: dict[str, Any], **changes: Any) -> IamAuthenticator:
    # No pauses between tries: the tests of the provider look at those.
    authenticator = IamAuthenticator(config=Config(IamAuthenticator=settings | changes))
    authenticator.provider._pauses = ()
    return authenticator


async def login(
    authenticator: GenericOAuthenticator, iam: BreakableIam, username: str = "scientist", scope: str = SCOPE
) -> dict[str, Any]:
    browser = Browser(iam)
    code = await browser.code(username, nonce=challenge_of(browser.verifier), scope=scope)
    model = await authenticator.get_authenticated_user(Handler(code, browser.verifier), None)
    assert isinstance(model, dict)
    return model


async def logged_in(authenticator: GenericOAuthenticator, iam: BreakableIam, **more: str) -> User:
    model = await login(authenticator, iam, **more)
    user = User(model["name"])
    user.save(model)
    return user


async def alive(authenticator: IamAuthenticator, iam: BreakableIam, token: str) -> bool:
    """Whether the IAM says that the token is good."""
    found = json.loads(await authenticator.provider._post(f"{iam.issuer}introspect", {"token": token}))
    return bool(found["active"])
