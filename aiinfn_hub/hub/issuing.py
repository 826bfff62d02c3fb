"""Whether somebody may have a token of the IAM now, and the next one; for sessions and for jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from aiinfn_hub.errors import NotAuthenticated
from aiinfn_hub.hub.user_model import refresh
from aiinfn_hub.identity.audit import Fact
from aiinfn_hub.identity.broker import Issued
from aiinfn_hub.pods import iam_token

if TYPE_CHECKING:
    from aiinfn_hub.catalogue import TokenPolicy
    from aiinfn_hub.hub.authenticator import IamAuthenticator


class Issuer:
    """Issues tokens from people's logins, which it refreshes where that helps."""

    def __init__(self, rules: IamAuthenticator, clock: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._clock = clock

    def may_have(self, name: str) -> bool:
        """Not whom the IAM, or the platform file, has refused; silence is no refusal."""
        standing = self._rules.standings.of(name)
        return standing is None or (standing.reason == "outage" and not standing.over)

    async def next(self, user: Any, policy: TokenPolicy, held: Issued | None) -> Issued | None:
        """The token that follows the one that is held; None while that one is good.

        Raises:
            NotAuthenticated: the login is over.
            AiinfnError: there is none to be had now.
        """
        if held is not None and not self._is_over(held, policy):
            return None
        issued = await self._issued(user, policy)
        return None if held is not None and issued.text == held.text else issued

    def _is_over(self, held: Issued, policy: TokenPolicy) -> bool:
        """Whether it ends soon; a login's own token also with the refresh that ended it, which only the login knows."""
        return held.is_due(self._clock()) or held.policy != policy or not self._rules.broker.exchanges

    async def _issued(self, user: Any, policy: TokenPolicy) -> Issued:
        for _ in range(2):
            login = await user.get_auth_state() or {}
            try:
                if login.get("access_token"):
                    issued = await self._rules.broker.issue(policy, login)
                    if issued is not None:
                        return issued
            except NotAuthenticated:
                self._rules.log.debug("The access token of %s's login is dead; refreshing it.", user.name)
            await refresh(self._rules, user)
        raise NotAuthenticated("The login has no access token any more.", hint="Log in again.")


def facts_of(issued: Issued) -> dict[str, Fact]:
    """What the audit says of a token."""
    return {
        "scopes": list(issued.about.scopes),
        "missing": list(issued.about.missing),
        "audiences": list(issued.about.audiences),
        "expires_at": issued.about.expires_at,
    }


def files_of(issued: Issued) -> dict[str, str]:
    """What a pod sees of it."""
    return {iam_token.TOKEN: issued.text, iam_token.ABOUT: msgspec.json.encode(issued.about).decode()}
