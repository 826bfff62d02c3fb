"""What the IAM says of somebody who is logged in already, as a model of JupyterHub's."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING, Any

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotAuthenticated
from aiinfn_hub.hub.user_model import kept, model_of, unchanged
from aiinfn_hub.identity.audit import Act, Fact
from aiinfn_hub.identity.broker import OFFLINE
from aiinfn_hub.identity.claims import PROFILES, groups_of
from aiinfn_hub.identity.provider import Tokens
from aiinfn_hub.identity.standing import Standing

if TYPE_CHECKING:
    from aiinfn_hub.hub.authenticator import IamAuthenticator

#: Claims of an ID token that are about it, and not about the person (OpenID Connect Core, 2).
ABOUT_THE_TOKEN = frozenset(
    {"iss", "aud", "exp", "iat", "nbf", "jti", "azp", "nonce", "auth_time", "acr", "amr", "at_hash"}
)
OF_GROUPS = frozenset(chain.from_iterable(PROFILES.values()))


class Checks:
    """The checks of one authenticator. One at a time for a person: see `IamAuthenticator.refresh_user`."""

    def __init__(self, rules: IamAuthenticator) -> None:
        self._rules = rules
        self._started = time.time()

    async def of(self, user: Any) -> dict[str, Any] | bool:
        """A new model; False if the IAM says that the login is over; True if it says nothing. Never raises."""
        stood = self._rules.standings.of(user.name)
        model = await self._said(user)
        self._audit_standing(user, stood)
        if isinstance(model, dict) and model["groups"] is not None:
            self._audit_rights(user, model)
        return model

    def _audit_standing(self, user: Any, stood: Standing | None) -> None:
        """Tell that somebody stands worse than before. The IAM's silence is nobody's act, until it costs rights."""
        stands = self._rules.standings.of(user.name)
        if stands is None or (stands.reason == "outage" and not stands.over) or not _differ(stands, stood):
            return
        act = Act(
            what="standing",
            about=user.name,
            why=stands.words.sentence,
            done=False,
            facts={"reason": stands.reason},
        )
        self._rules.outbox.put(act)

    def _audit_rights(self, user: Any, model: dict[str, Any]) -> None:
        """Tell which groups come and go, and whether somebody operates the platform."""
        stands = self._rules.standings.of(user.name)
        before, now = {group.name for group in user.groups}, set(model["groups"])
        admin = bool(user.admin) if model["admin"] is None else bool(model["admin"])
        if before != now or admin != user.admin:
            facts: dict[str, Fact] = {"gained": sorted(now - before), "lost": sorted(before - now), "admin": admin}
            why = stands.words.sentence if stands else "The IAM says so."
            self._rules.outbox.put(Act(what="rights", about=user.name, why=why, facts=facts))

    async def _said(self, user: Any) -> dict[str, Any] | bool:
        state: dict[str, Any] = {}
        try:
            state = await user.get_auth_state() or {}
            return await self._checked(user, state)
        except NotAuthenticated as error:
            return self._refused(user, state, error)
        except AiinfnError as error:
            self._rules.log.warning("%s could not be checked, and stays logged in: %s", user.name, error)
        except Exception:
            # A request of somebody who has done nothing wrong; see `IamAuthenticator.refresh_user`.
            self._rules.log.exception("The check of %s failed, who stays logged in.", user.name)
        return self._unheard(user, state) or True

    def _refused(self, user: Any, state: dict[str, Any], error: NotAuthenticated) -> dict[str, Any] | bool:
        standing = self._rules.standings.refused(user.name, error.details.get("reason", ""))
        self._rules.log.info("%s must log in again: %s", user.name, error.details.get("reason", error.message))
        if standing.reason == "inactive" and (user.groups or user.admin):
            # False alone would leave the groups in place until the next login: first they go, then the login.
            return model_of(user.name, state, (), admin=False)
        return False

    def _unheard(self, user: Any, state: dict[str, Any]) -> dict[str, Any] | None:
        """Nothing was said of the person: a model without rights once the grace is over, else None."""
        # Nothing is kept of people who logged in before this was: the hub's start is the best that is known.
        standing = self._rules.standings.silent(user.name, state.get("heard_at", self._started))
        admin = user.name in self._rules.admin_users
        if not standing.over or not (user.groups or (user.admin and not admin)):
            return None
        self._rules.log.warning("%s keeps the login and loses the rights: %s", user.name, standing.words.sentence)
        return model_of(user.name, state, (), admin=admin)

    async def _checked(self, user: Any, state: dict[str, Any]) -> dict[str, Any]:
        if not state.get("sub") or not state.get("access_token"):
            raise NotAuthenticated("There are no tokens to check with.", details={"reason": "no tokens kept"})
        userinfo, state = await self._asked(user.name, state)
        if userinfo is None:
            return self._unheard(user, state) or unchanged(user.name, state)
        try:
            model = self._rules.model(user.name, userinfo, state)
        except InvalidInput as error:
            self._rules.log.warning("What the IAM says of %s cannot be used: %s", user.name, error)
            return self._unheard(user, state) or unchanged(user.name, state)
        if model["groups"] is None:
            self._rules.log.warning("The IAM sends no groups of %s, who keeps those of before.", user.name)
            return self._unheard(user, state) or model
        if await self._rules.check_allowed(user.name, model):
            self._rules.standings.heard(user.name)
            return model
        if not user.admin and {group.name for group in user.groups} == set(model["groups"]):
            raise NotAuthenticated("No group that may enter is left.", details={"reason": "groups"})
        self._rules.standings.refused(user.name, "groups")
        self._rules.log.info("%s is no longer in a group that may enter.", user.name)
        return model

    async def _asked(self, name: str, state: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Userinfo, or None where the IAM does not give it today; and the state, with new tokens where they were due.

        Raises:
            NotAuthenticated: the login is over.
            Unavailable: the IAM does not answer, and no token changed.
        """
        renewable = bool(state.get("refresh_token"))
        lives_s = state.get("expires_at", 0.0) - time.time()
        narrower = self._narrower()
        wide = bool(narrower) and OFFLINE in state.get("scope", ())
        soon = lives_s <= max(self._rules.refresh_leeway, self._rules.auth_refresh_age)
        if not renewable or not (soon or wide):
            try:
                return await self._rules.provider.userinfo(state["access_token"]), state
            except NotAuthenticated:
                # Somebody else may have refreshed: that ends our access token, not the login.
                if not renewable:
                    raise
        tokens = await self._rules.provider.refresh(state["refresh_token"], narrower)
        state = state | {key: value for key, value in kept(tokens, time.time()).items() if value}
        try:
            await self._rules.provider.check_access(
                tokens.access_token, sub=state["sub"], audiences=self._rules.audiences
            )
            return await self._proved(tokens, state) or await self._rules.provider.userinfo(tokens.access_token), state
        except AiinfnError as error:
            # The new tokens must be saved whatever happens: the old access token is dead.
            self._rules.log.warning("%s has new tokens, but could not be checked: %s", name, error)
            return None, state

    async def _proved(self, tokens: Tokens, state: dict[str, Any]) -> dict[str, Any]:
        """What the ID token of a refresh says of the person, which saves a request; {} where userinfo has to be asked.

        A provider may send one with a refresh (OpenID Connect Core, 12.2); it is made at that moment, as userinfo is.
        """
        if not tokens.id_token:
            return {}
        profile: Any = self._rules.groups_profile or None  # the trait allows the names of PROFILES only
        try:
            proof = await self._rules.provider.verify(tokens.id_token)
            if proof["sub"] != state["sub"] or groups_of(proof, profile) is None:
                return {}
        except (NotAuthenticated, InvalidInput) as error:
            self._rules.log.warning("The ID token of a refresh cannot be used: %s", error)
            return {}
        # What it does not repeat is as it was; but not groups, of which another claim may be the older one.
        before = {name: value for name, value in state.get("oauth_user", {}).items() if name not in OF_GROUPS}
        return before | {name: value for name, value in proof.items() if name not in ABOUT_THE_TOKEN}

    def _narrower(self) -> str:
        """The scope of a refresh: that of the login, unless sessions carry the login's own token."""
        rules = self._rules
        # The platform file is looked at only where it matters: this runs for hundreds of people at the same moment.
        if rules.broker.exchanges or rules.platform.tokens is None:
            return ""
        return rules.broker.narrow(rules.login_scope)


def _differ(now: Standing, before: Standing | None) -> bool:
    return before is None or (now.reason, now.over) != (before.reason, before.over)
