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
from aiinfn_hub.hub.user_model import apply

if TYPE_CHECKING:
    from aiinfn_hub.hub.authenticator import IamAuthenticator

#: Seconds between two rounds; a change of who shares a session begins one at once.
EVERY_S = 15.0
#: Who has no session is checked that many times less often (with JupyterHub's default of 5 min: once an hour), and for
#: so long after being seen for the last time.
ABSENT_TIMES, ABSENT_FOR = 12, timedelta(days=7)
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
        await self._each(here, self._look_after)
        at_home = self._absent({user.id for user in here})
        await self._each(at_home, lambda user: self.check(user, ABSENT_TIMES * self._rules.auth_refresh_age))
        self._rules.session_tokens.forget({uid for user in here for _, uid in sessions_of(user)})

    async def check(self, user: Any, max_age_s: float) -> None:
        """Ask the IAM about somebody of whom it was not asked for that long."""
        asked_at = user._auth_refreshed  # noqa: SLF001  JupyterHub's own mark, so that one question serves both
        if asked_at is not None and time.monotonic() - asked_at < max_age_s:
            return
        model = await self._rules.refresh_user(user)
        if isinstance(model, dict):
            await apply(user, model)

    async def _look_after(self, user: Any) -> None:
        await self.check(user, self._rules.auth_refresh_age)
        for session, uid in sessions_of(user):
            await self._rules.session_tokens.keep(session, uid)

    def _absent(self, here: set[int]) -> list[Any]:
        """Those without a session who were here lately: their tickets and jobs go on without them."""
        lately = sa.select(orm.User.id).where(orm.User.last_activity > utcnow(with_tz=False) - ABSENT_FOR)
        found = self._hub.db.execute(lately).scalars()
        return [self._hub.users[id_] for id_ in found if id_ not in here]

    async def _each(self, users: Iterable[Any], what: Callable[[Any], Awaitable[None]]) -> None:
        async def one(user: Any) -> None:
            async with self._slots:
                try:
                    await what(user)
                except Exception:  # one person's mishap is not everybody's
                    self._rules.log.exception("%s could not be looked after.", user.name)

        await asyncio.gather(*(one(user) for user in users))


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
