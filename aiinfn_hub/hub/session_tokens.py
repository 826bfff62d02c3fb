"""Which token of the IAM each session has: written when it starts, renewed while it runs, taken away when it must not.

Only the hub process does this: two that refresh would end each other's access tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from jupyterhub import orm

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.issuing import Issuer, facts_of, files_of
from aiinfn_hub.hub.session_objects import SessionObjects
from aiinfn_hub.identity.audit import Act, Fact
from aiinfn_hub.identity.broker import Issued
from aiinfn_hub.pods import names

if TYPE_CHECKING:
    from aiinfn_hub.catalogue import TokenPolicy
    from aiinfn_hub.hub.authenticator import IamAuthenticator

#: Seconds for which a start waits for its token; later the file comes by itself, while the session runs already.
PATIENCE_S = 5.0


class Session(Protocol):
    """What is asked of a spawner."""

    name: str
    user: Any
    authenticator: Any
    orm_spawner: Any

    @property
    def objects(self) -> SessionObjects:
        """What the session has in Kubernetes."""


@dataclass(frozen=True)
class Given:
    """What a session has: the uid of its pod, and its token; None where it was taken away."""

    uid: str
    issued: Issued | None


class SessionTokens:
    """The tokens of the sessions of all people; what was issued is remembered while this process lives.

    A hub that starts anew knows nothing of the tokens that its predecessor wrote, and writes new ones.
    """

    def __init__(self, rules: IamAuthenticator, issuer: Issuer) -> None:
        self._rules = rules
        self._issuer = issuer
        self._given: dict[tuple[str, str], Given] = {}

    async def begin(self, session: Session, uid: str) -> None:
        """Give a token to a session that starts, whose pod has this uid. A start does not fail for want of it."""
        self._given.pop(_key(session), None)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.keep(session, uid)
        except TimeoutError:
            self._rules.log.warning("The session %s/%s starts without its token.", session.user.name, session.name)

    async def keep(self, session: Session, uid: str) -> None:
        """See to it that a session has the token that it should have, or none. Says in the log what went wrong."""
        policy = self._rules.platform.tokens
        if policy is None:
            return
        try:
            await self._keep(session.user, session, uid, policy)
        except AiinfnError as error:
            self._rules.log.warning("The session %s/%s has no new token: %s", session.user.name, session.name, error)

    async def _keep(self, user: Any, session: Session, uid: str, policy: TokenPolicy) -> None:
        known = self._given.get(_key(session))
        here = known is not None and known.uid == uid
        held = known.issued if known is not None and here else None
        if is_shared(session.orm_spawner) or not self._issuer.may_have(user.name):
            if held is not None or not here:
                await self._take(user, session, uid, held)
            return
        issued = await self._issuer.next(user, policy, held)
        if issued is not None:
            await self._write(user, session, uid, issued)

    async def _take(self, user: Any, session: Session, uid: str, held: Issued | None) -> None:
        """Take the files away, and end the token, which somebody may have copied."""
        await self._put(user, session, uid, {})
        self._given[_key(session)] = Given(uid, None)
        why = "The server is shared." if is_shared(session.orm_spawner) else "The person's login, or a group, is gone."
        self._rules.outbox.put(Act(what="token-taken", about=user.name, why=why, facts={"server": session.name}))
        if held is not None:
            # Where it is the login's own, that gets another one when it is next asked for.
            await self._rules.provider.revoke(held.text)

    async def _write(self, user: Any, session: Session, uid: str, issued: Issued) -> None:
        await self._put(user, session, uid, files_of(issued))
        self._given[_key(session)] = Given(uid, issued)
        facts: dict[str, Fact] = {"server": session.name} | facts_of(issued)
        self._rules.outbox.put(Act(what="token-issued", about=user.name, why="The session runs.", facts=facts))

    async def _put(self, user: Any, session: Session, uid: str, files: dict[str, str]) -> None:
        labels = {names.KIND: names.SESSION, names.PERSON: names.slug(user.name)}
        await session.objects.put_iam_token(files, labels, uid)

    async def forget(self, alive: Collection[tuple[str, str]]) -> None:
        """End the tokens of sessions that are gone: all but these, by the names of person and server."""
        for key in [key for key in self._given if key not in alive]:
            issued = self._given.pop(key).issued
            # The login's own is not the session's to end.
            if issued is None or not self._rules.broker.exchanges:
                continue
            try:
                await self._rules.provider.revoke(issued.text)
            except AiinfnError as error:
                self._rules.log.warning("The token of the session %s/%s ends by itself: %s", *key, error)


def _key(session: Session) -> tuple[str, str]:
    return session.user.name, session.name


def is_shared(server: Any) -> bool:
    """Whether somebody else may use the server (JupyterHub's shares); asked of the database, where they end too."""
    shares = sa.select(orm.Share).where(orm.Share.spawner_id == server.id)
    db = sa.orm.object_session(server)
    return db is not None and any(not share.expired for share in db.execute(shares).scalars())


async def first_token(session: Session, uid: str) -> None:
    """Give a session that starts its token, where the authenticator has tokens for sessions."""
    tokens = getattr(session.authenticator, "session_tokens", None)
    if isinstance(tokens, SessionTokens):
        await tokens.begin(session, uid)
