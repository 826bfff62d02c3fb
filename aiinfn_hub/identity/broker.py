"""The token of the IAM that a session carries: short, for named uses only, and without a refresh token.

A token exchange (RFC 8693) is preferred: its token outlives the login's next refresh, and can be for one audience. An
IAM allows it only to clients that an administrator has named; the others give out the login's own access token, which a
refresh has narrowed first. That one dies at the login's next refresh, when the session gets the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.catalogue import TokenPolicy
from aiinfn_hub.contract.token import About
from aiinfn_hub.errors import NotAuthenticated, RemoteFailed
from aiinfn_hub.identity.provider import IamProvider

#: How an IAM says that a client may not exchange tokens (RFC 6749, 5.2): INDIGO IAM takes the grant away from clients,
#: and says so with a 401.
NOT_ENABLED = frozenset({"unsupported_grant_type", "unauthorized_client", "invalid_client"})
#: After so long it is asked again: it may have been a mistake that somebody has mended.
ASK_AGAIN_S = 3600.0
#: A session's token is renewed when it lives no longer than this, which leaves time for an IAM that is away for a while
#: and for the kubelet, or when half of a shorter life is over.
LEEWAY_S = 600.0
#: The scope by which a token could be renewed without us.
OFFLINE = "offline_access"


@dataclass(frozen=True)
class Issued:
    """A token, and what it is for."""

    text: str = field(repr=False)
    about: About
    policy: TokenPolicy
    life_s: float

    def is_due(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return self.about.expires_at - now < min(LEEWAY_S, self.life_s / 2)


class Broker:
    """Issues tokens of one IAM client."""

    def __init__(
        self, provider: IamProvider, *, clock: Callable[[], float] = time.time, log: logging.Logger | None = None
    ) -> None:
        self._refused_at = float("-inf")
        self._provider = provider
        self._clock = clock
        self._log = log or logging.getLogger("aiinfn.broker")

    @property
    def exchanges(self) -> bool:
        """Whether the client may exchange tokens, as far as is known."""
        return self._clock() - self._refused_at > ASK_AGAIN_S

    async def issue(self, policy: TokenPolicy, login: Mapping[str, Any]) -> Issued | None:
        """A token for these uses, of the person with this login; None if the login has to be narrowed first.

        Args:
            policy: which uses.
            login: the encrypted auth_state: `sub`, `access_token`, `scope`, `expires_at`.

        Raises:
            NotAuthenticated: the login's access token is dead.
            Unavailable: the IAM does not answer.
            RemoteFailed: it refuses, or what it gives is for others than was asked.
        """
        if self.exchanges:
            try:
                return await self._exchanged(policy, login)
            except RemoteFailed as error:
                if error.details.get("error") not in NOT_ENABLED:
                    raise
                self._refused_at = self._clock()
                self._log.warning("Sessions carry the login's own, narrowed token: %s", error.message)
        return None if OFFLINE in login["scope"] else self._own(policy, login)

    def narrow(self, scope: Sequence[str]) -> str:
        """The scope of a refresh, for a login that asked for `scope`; "" leaves it as it is."""
        return "" if self.exchanges else " ".join(one for one in scope if one != OFFLINE)

    async def _exchanged(self, policy: TokenPolicy, login: Mapping[str, Any]) -> Issued:
        # What the login has not got, because it was not asked for or was denied, would make the whole exchange fail.
        wanted = [scope for scope in policy.scopes if scope in login["scope"]]
        if not wanted:
            asked = " ".join(policy.scopes)
            raise RemoteFailed(f"The login has none of {asked}.", hint="A new login asks for them.")
        tokens = await self._provider.exchange(
            login["access_token"], scope=" ".join(wanted), audience=" ".join(policy.audiences)
        )
        claims = await self._provider.check_access(
            tokens.access_token, sub=login["sub"], audiences=policy.audiences, exact=bool(policy.audiences)
        )
        granted = tuple(tokens.scope.split()) or tuple(wanted)  # left out where it is what was asked (RFC 6749, 5.1)
        if OFFLINE in granted or tokens.refresh_token:
            raise RemoteFailed("The login provider's exchange gave a token that can be renewed without us.")
        now = self._clock()
        ends = now + tokens.expires_in if tokens.expires_in else float((claims or {}).get("exp", now))
        return Issued(tokens.access_token, _about(policy, granted, ends, policy.audiences), policy, ends - now)

    def _own(self, policy: TokenPolicy, login: Mapping[str, Any]) -> Issued:
        left_s = login["expires_at"] - self._clock()
        if left_s <= 0:
            raise NotAuthenticated("The login's access token has ended.", details={"reason": "ended"})
        return Issued(
            login["access_token"], _about(policy, tuple(login["scope"]), login["expires_at"], ()), policy, left_s
        )


def _about(policy: TokenPolicy, granted: tuple[str, ...], ends: float, audiences: tuple[str, ...]) -> About:
    missing = tuple(scope for scope in policy.scopes if scope not in granted)
    return About(expires_at=ends, scopes=granted, missing=missing, audiences=audiences)
