"""What the hub does by itself for people who are not looking: their rights are checked, their sessions' tokens renewed.

JupyterHub checks somebody who makes a request. A person whose browser is closed makes none, and whose session runs all
the same; and a job waits in the queue for whoever has gone home.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.utils import utcnow

from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.hub.user_model import refresh

if TYPE_CHECKING:
    from aiinfn_hub.hub.authenticator import IamAuthenticator

#: Seconds between two rounds; a change of who shares a session begins one at once.
EVERY_S = 15.0
#: Who has no session is checked that many times less often (with JupyterHub's default of 5 min: once an hour), and for
#: so long after being seen for the last time.
ABSENT_TIMES, ABSENT_FOR = 12, timedelta(days=7)
#: And no more of them in a round, so that a hub of thousands is not busy with them when it starts.
ABSENT_AT_ONCE = 40
#: People at the same time; the provider has a limit of its own for requests.
AT_ONCE = 10


class Rounds:
    """Over everybody that `hub` knows.

    Args:
        rules: the authenticator.
        hub: JupyterHub's application.
        every_s: seconds between two rounds.
    """

    def __init__(self, rules: IamAuthenticator, hub: Any, *, every_s: float = EVERY_S) -> None:
        self._rules = rules
        self._hub = hub
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)

    @classmethod
    def begin(cls, rules: IamAuthenticator) -> asyncio.Task[None] | None:
        """Begin them for the authenticator of a running JupyterHub, which cancels the task when it ends."""
        hub = rules.parent
        return asyncio.create_task(cls(rules, hub).run(), name="rounds") if isinstance(hub, JupyterHub) else None

    async def run(self) -> None:
        """Go round for ever."""
        with _shares_tell(self._wake.set):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._wake.wait()
                self._wake.clear()
                try:
                    await self.round()
                except Exception:  # a background loop is one of the two places for this
                    self._rules.log.exception("A round over all people failed.")

    async def round(self) -> None:
        """Look once at everybody who has a session, and at those whose turn it is among the others."""
        users = [self._hub.users[id_] for id_ in list(self._hub.users)]
        here = [user for user in users if sessions_of(user)]
        # First what must not wait for an IAM that hangs: a guest reads the file.
        shared = set(self._hub.db.execute(sa.select(orm.Share.spawner_id)).scalars())
        at_risk = [user for user in here if any(one.orm_spawner.id in shared for one, _ in sessions_of(user))]
        await self._each(at_risk, self._keep_tokens)
        await self._each(here, self._look_after)
        await self._each(self._absent({user.id for user in here}), self._check)
        await self._rules.session_tokens.forget(
            {(user.name, name) for user in users for name, spawner in user.spawners.items() if spawner.active}
        )

    async def _check(self, user: Any) -> None:
        """Ask the IAM about somebody."""
        await refresh(self._rules, user)

    async def _look_after(self, user: Any) -> None:
        if _is_due(user, self._rules.auth_refresh_age):
            await self._check(user)
        await self._keep_tokens(user)

    async def _keep_tokens(self, user: Any) -> None:
        for session, uid in sessions_of(user):
            await self._rules.session_tokens.keep(session, uid)

    def _absent(self, here: set[int]) -> list[Any]:
        """Some of those without a session who were here lately: their tickets and jobs go on without them."""
        lately = sa.select(orm.User.id).where(orm.User.last_activity > utcnow(with_tz=False) - ABSENT_FOR)
        at_home = (id_ for id_ in self._hub.db.execute(lately).scalars() if id_ not in here)
        age_s, loaded = ABSENT_TIMES * self._rules.auth_refresh_age, self._hub.users
        # Whom the hub has not loaded was not asked about since it started.
        due = [id_ for id_ in at_home if id_ not in loaded or _is_due(loaded[id_], age_s)]
        return [self._hub.users[id_] for id_ in due[:ABSENT_AT_ONCE]]

    async def _each(self, users: Iterable[Any], what: Callable[[Any], Awaitable[None]]) -> None:
        async def one(user: Any) -> None:
            async with self._slots:
                try:
                    await what(user)
                except Exception:  # one person's mishap is not everybody's
                    self._rules.log.exception("%s could not be looked after.", user.name)

        await asyncio.gather(*(one(user) for user in users))


def _is_due(user: Any, age_s: float) -> bool:
    """Whether the IAM was asked about the person longer ago than that; JupyterHub's own mark, so both share answers."""
    asked_at = user._auth_refreshed  # noqa: SLF001
    return asked_at is None or time.monotonic() - asked_at >= age_s


def sessions_of(user: Any) -> list[tuple[AiinfnSpawner, str]]:
    """The sessions that run, each with the uid of its pod; one that starts looks after itself."""
    found = []
    for spawner in user.spawners.values():
        pod = spawner.reflected() if isinstance(spawner, AiinfnSpawner) and spawner.ready else None
        if pod is not None:
            found.append((spawner, pod["metadata"]["uid"]))
    return found


@contextmanager
def _shares_tell(changed: Callable[[], None]) -> Iterator[None]:
    """Call back when somebody is given a share in a server, or loses it; JupyterHub has no hook for that."""
    events = [(name, lambda *_args: changed()) for name in ("after_insert", "after_delete")]
    for name, listener in events:
        sa.event.listen(orm.Share, name, listener)
    try:
        yield
    finally:
        for name, listener in events:
            sa.event.remove(orm.Share, name, listener)
