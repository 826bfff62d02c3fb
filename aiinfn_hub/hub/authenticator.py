"""JupyterHub's authenticator for INDIGO IAM: thin over `aiinfn_hub.identity`, which knows what IAM does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oauthenticator.generic import GenericOAuthenticator
from traitlets import Enum, Float, Unicode, default

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import Forbidden, InvalidInput, NotAuthenticated, RemoteFailed
from aiinfn_hub.hub.checks import Checks
from aiinfn_hub.hub.issuing import Issuer
from aiinfn_hub.hub.job_tokens import JobTokens
from aiinfn_hub.hub.login import IamCallbackHandler, IamLoginHandler, tell_login_page
from aiinfn_hub.hub.mail import verified
from aiinfn_hub.hub.outbox import Outbox
from aiinfn_hub.hub.platform_file import current_platform
from aiinfn_hub.hub.rounds import Rounds
from aiinfn_hub.hub.session_tokens import SessionTokens
from aiinfn_hub.hub.user_model import kept, model_of, unchanged
from aiinfn_hub.identity.audit import Act
from aiinfn_hub.identity.bindings import Bindings
from aiinfn_hub.identity.broker import Broker
from aiinfn_hub.identity.claims import PROFILES, groups_of
from aiinfn_hub.identity.person import may_enter
from aiinfn_hub.identity.provider import Client, IamProvider, challenge_of
from aiinfn_hub.identity.standing import REFUSALS, Standings
from aiinfn_hub.identity.uids import Uids


class IamAuthenticator(GenericOAuthenticator):
    """Login with INDIGO IAM; who may enter, and who operates, is in the platform file.

    Usernames are bound to the IAM's `sub`. Groups become JupyterHub groups by their full path, at every refresh. While
    the IAM does not answer, everybody stays as they are, for as long as `outage_grace`; what it refuses holds at once.
    """

    login_handler = IamLoginHandler
    callback_handler = IamCallbackHandler
    refusals = REFUSALS  # for templates/login.html

    issuer = Unicode(
        help="The IAM's address, exactly as its discovery document writes it; INDIGO IAM's ends with a slash.",
    ).tag(config=True)
    platform_file = Unicode(
        help="The platform file; its `access` says which groups may log in and which operate the platform.",
    ).tag(config=True)
    binding_file = Unicode(
        "aiinfn-bindings.sqlite",
        help="The SQLite file that remembers which username belongs to which `sub`. Back it up with JupyterHub's "
        "database: without it, whoever logs in first gets the name, and the home.",
    ).tag(config=True)
    groups_profile = Enum(
        ["", *PROFILES],
        default_value="",
        help="The JWT profile of the IAM client, which says what claim holds the groups: iam, wlcg or aarc. Empty "
        "takes the first of their claims that is there.",
    ).tag(config=True)
    contact = Unicode(
        help="Whom a refused person may ask: a mail address or a page. Empty names the IAM itself.",
    ).tag(config=True)
    refresh_leeway = Float(
        300.0,
        help="Seconds. A token that lives no longer than this, or than auth_refresh_age, is renewed at a refresh: "
        "one that dies between two refreshes would be no use to anybody.",
    ).tag(config=True)
    refresh_patience = Float(
        8.0,
        help="Seconds that a request waits for the IAM to answer a refresh; then the person stays logged in.",
    ).tag(config=True)
    outage_grace = Float(
        8 * 3600.0,
        help="Seconds that rights outlive the IAM's last word, while it does not answer. Then nothing new can be "
        "started; the login, and sessions that run, stay.",
    ).tag(config=True)
    clock_skew = Float(
        60.0,
        help="Seconds by which the IAM's clock and ours may differ when an ID token is checked.",
    ).tag(config=True)

    @default("login_service")
    def _login_service_default(self) -> str:
        return "INDIGO IAM"

    @default("scope")
    def _scope_default(self) -> list[str]:
        return ["openid", "profile", "email", "offline_access", "wlcg.groups"]

    @default("username_claim")
    def _username_claim_default(self) -> str:
        return "preferred_username"

    @default("manage_groups")
    def _manage_groups_default(self) -> bool:
        return True

    @default("enable_auth_state")
    def _enable_auth_state_default(self) -> bool:
        return True

    @default("auth_refresh_strict")
    def _auth_refresh_strict_default(self) -> bool:
        return True  # a refresh fails here on a refusal only, never on silence

    @default("basic_auth")
    def _basic_auth_default(self) -> bool:
        return True

    @default("any_allow_config")
    def _any_allow_config_default(self) -> bool:
        return True  # the platform file has it

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Mistakes in the settings stop the hub at its start, not the first person who logs in.
        for name in ("issuer", "platform_file", "client_id"):
            if not getattr(self, name):
                raise InvalidInput(f"IamAuthenticator.{name} is not set.")
        if not self.enable_pkce:
            raise InvalidInput("IamAuthenticator.enable_pkce cannot be off.", hint="The nonce is made from it.")
        _ = self.platform
        self.bindings = Bindings(Path(self.binding_file))
        self.uids = Uids(Path(self.binding_file))
        self.provider = IamProvider(
            self.issuer,
            client=Client(id=self.client_id, secret=self.client_secret, basic_auth=self.basic_auth),
            http=self.http_client,
            options=self.http_request_kwargs,
            skew_s=self.clock_skew,
        )
        self.standings = Standings(self.outage_grace)
        self.outbox = Outbox(Path(self.binding_file).with_name("aiinfn-audit.sqlite"), self.log)
        self.checks = Checks(self)
        self.broker = Broker(self.provider, log=self.log)
        self.issuing = Issuer(self)
        self.session_tokens = SessionTokens(self, self.issuing)
        self.job_tokens = JobTokens(self, self.issuing)
        self.rounds = Rounds.begin(self)
        self._refreshing: dict[str, asyncio.Task[dict[str, Any] | bool]] = {}

    @property
    def platform(self) -> Platform:
        """The platform file as it is now: who may enter changes without a restart of the hub."""
        return current_platform(Path(self.platform_file))

    @property
    def audiences(self) -> tuple[str, ...]:
        """Whom the platform file makes tokens for; a client of the IAM may have them by default."""
        tokens = self.platform.tokens
        return tokens.audiences if tokens else ()

    @property
    def login_scope(self) -> list[str]:
        """What a login asks for: a later token can have less of it, never more."""
        platform = self.platform
        asked = [f"wlcg.groups:{group}" for group in platform.access.optional_groups]
        return list(dict.fromkeys([*self.scope, *asked, *(platform.tokens.scopes if platform.tokens else ())]))

    async def authenticate(self, handler: Any, data: Any = None, **_kwargs: Any) -> dict[str, Any]:
        """From the code that the browser brought to JupyterHub's model of the user.

        Raises:
            NotAuthenticated: code or ID token are not good.
            Forbidden: the person is in no group that may enter, or the username is somebody else's.
            Unavailable: the IAM does not answer.
        """
        try:
            model = await self._came_back(handler, data)
        except (NotAuthenticated, Forbidden) as error:
            who = str(error.details.get("name", ""))
            self.outbox.put(Act(what="login-refused", actor=who, about=who, why=error.message, done=False))
            raise
        name, facts = model["name"], {"groups": model["groups"], "admin": model["admin"]}
        self.outbox.put(Act(what="login", actor=name, about=name, why="The IAM says who it is.", facts=facts))
        return model

    async def _came_back(self, handler: Any, data: Any) -> dict[str, Any]:
        sent = self.build_access_tokens_request_params(handler, data)
        verifier = sent["code_verifier"]
        tokens = await self.provider.redeem(sent["code"], redirect_uri=sent["redirect_uri"], verifier=verifier)
        proof = await self.provider.verify(tokens.id_token, nonce=challenge_of(verifier))
        sub = proof["sub"]
        await self.provider.check_access(tokens.access_token, sub=sub, audiences=self.audiences)
        userinfo = await self.provider.userinfo(tokens.access_token)
        preferred = str(userinfo.get(self.username_claim) or "")
        state = {"sub": sub, "id_claims": proof} | kept(tokens, time.time()) | verified(userinfo)
        name = await asyncio.to_thread(self.bindings.name_for, sub, preferred)
        model = self.model(name, userinfo, state)
        if model["groups"] is None:
            raise RemoteFailed(
                "The login provider does not say which groups you are in.",
                hint="Please tell the operators: the IAM client lacks the scope, or has another JWT profile.",
            )
        if not await self.check_allowed(name, model):
            raise self._refusal(name, model["groups"])
        # Bound only now: whom we refuse takes no name from anybody.
        await asyncio.to_thread(self.bindings.bind, sub, preferred)
        posix = self.platform.posix
        if posix is not None:
            await asyncio.to_thread(self.uids.login, name, posix, userinfo)
        self.standings.heard(name)
        return model

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """Who is in an allowed group of the platform file, or an operator, or whom JupyterHub's settings name."""
        if auth_model is None:  # JupyterHub asks so for users that it has already
            return True
        return may_enter(self.platform, auth_model["groups"] or ()) or await super().check_allowed(username, auth_model)

    async def refresh_user(self, user: Any, handler: Any = None, **_kwargs: Any) -> dict[str, Any] | bool:
        """What the IAM says now: a new model; False if it says that the login is over; True if it says nothing.

        Never raises: JupyterHub would take the person for a stranger, drop the activity of the running sessions, and
        the culler would stop them. Requests of the same person at the same time share one refresh, because the second
        would end the access token of the first.
        """
        task = self._refreshing.get(user.name)
        if task is None or (task.done() and not isinstance(task.result(), dict)):
            task = self._refreshing[user.name] = asyncio.create_task(self.checks.of(user))
        try:
            model = await asyncio.wait_for(asyncio.shield(task), self.refresh_patience)
        except TimeoutError:
            # The task goes on; new tokens that it gets are saved by the next refresh.
            self.log.warning("The IAM takes long; %s stays logged in.", user.name)
            return True
        self._refreshing.pop(user.name, None)
        standing = self.standings.of(user.name)
        if model is False and handler is not None and standing is not None:
            tell_login_page(handler, standing)
        return model

    def model(self, name: str, userinfo: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
        """JupyterHub's model of a user; where the claim of the groups is missing, None leaves things as they are.

        Raises:
            NotAuthenticated: userinfo speaks of somebody else.
            InvalidInput: the claim of the groups is no list.
        """
        if userinfo.get("sub") != state["sub"]:
            raise NotAuthenticated("The login provider speaks of another person than before.")
        state = state | {"oauth_user": dict(userinfo)}
        profile: Any = self.groups_profile or None  # the trait allows the names of PROFILES only
        groups = groups_of(userinfo, profile)
        if groups is None:
            return unchanged(name, state)
        admin = name in self.admin_users or not set(groups).isdisjoint(self.platform.access.admin_groups)
        state["heard_at"] = time.time()
        return model_of(name, state, groups, admin=admin)

    def _refusal(self, name: str, groups: list[str]) -> Forbidden:
        """Which group is missing, and whom to ask."""
        needed = " or ".join(self.platform.access.allowed_groups)
        held = f"only in {', '.join(groups)}" if groups else "in no group at all"
        return Forbidden(
            f"{name} may not use {self.platform.name}: it is for members of the group {needed}, "
            f"and the login provider says that you are {held}.",
            hint=f"Ask for membership at {self.contact or self.issuer}, then log in again.",
            details={"name": name},
        )
