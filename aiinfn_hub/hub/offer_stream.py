"""The stream that keeps the numbers of an open spawn form fresh: `GET /hub/aiinfn/offer`, server-sent events.

It is a handler of the hub, because browsers cannot open an EventSource from a hub page to a service: they send
Sec-Fetch-Mode: cors, and HubOAuth then asks for the service's own XSRF token.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.user import User
from tornado import web
from tornado.iostream import StreamClosedError

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub import tickets
from aiinfn_hub.hub.feed import Feed
from aiinfn_hub.sessions.availability import live
from aiinfn_hub.sessions.profiles import choices

#: Seconds between two messages at the least.
MOMENT_S = 0.3


class OfferStream(BaseHandler):
    """Tells the person who is logged in what is free: when it changes, and every few seconds.

    All pages of one person share one question to the service. Every minute it is checked again that the person may
    still be here: a stream outlives the answer that JupyterHub gives once per request.
    """

    # As in JupyterHub's own progress stream: another site's page must not even hold a connection open.
    _xsrf_safe_methods: frozenset[str] = frozenset()

    def initialize(self, interval_s: float = 5.0, authorise_s: float = 60.0) -> None:
        """Seconds between two messages, and between two checks of the person."""
        self.interval_s = interval_s
        self.authorise_s = authorise_s
        self._closed = asyncio.Event()
        self._news: asyncio.Event | None = None
        # What the person may choose; a change of what is free is no reason to find that out again.
        self._open: tuple[dict[str, str], list[str]] = ({}, [])
        self._looked_at = float("-inf")

    def get_content_type(self) -> str:
        """What BaseHandler puts into the header."""
        return "text/event-stream"

    def on_connection_close(self) -> None:
        """The tab was closed or hidden: stop at once, not at the next message."""
        self._closed.set()
        if self._news is not None:
            self._news.set()
        super().on_connection_close()

    async def get(self) -> None:
        """Send until the tab goes away or the person may no longer look."""
        user = self._person(self.current_user)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        feed = Feed.of(self.settings, user.spawner.service)
        with feed.listen() as self._news:
            await self._send(user, feed, self._news)

    async def _send(self, user: User, feed: Feed, news: asyncio.Event) -> None:
        checked = time.monotonic()
        while not self._closed.is_set():
            if time.monotonic() - checked >= self.authorise_s:
                if await self._again() is not user:
                    return
                checked = time.monotonic()
            try:
                news.clear()
                message = await self._message(user, feed)
                self.write(f"data: {json.dumps(message)}\n\n")
                await self.flush()
            except StreamClosedError:
                return
            await self._pause(news)

    def _person(self, user: Any) -> User:
        """The caller, if a person: a login page is no answer to an EventSource, so no redirect.

        Raises:
            web.HTTPError: nobody is logged in, or a service speaks.
        """
        if not isinstance(user, User):
            raise web.HTTPError(403, "Log in to see what is free.")
        return user

    async def _again(self) -> User | None:
        """Whom the cookie belongs to now, asked as for a new request."""
        for memo in ("_jupyterhub_user", "_refreshed_users"):
            self.__dict__.pop(memo, None)
        user = await self.get_current_user()
        return user if isinstance(user, User) else None

    async def _message(self, user: User, feed: Feed) -> dict[str, Any]:
        spawner = user.spawner
        # Slightly younger than the interval, so that two tabs share a question however their clocks lie.
        seen = feed.freshen(await spawner.offers.look(self.interval_s * 0.8))
        # The hub itself knows first when a session leaves the queue.
        starting = {"starting": [one.name for one in user.spawners.values() if one.active]}
        if time.monotonic() - self._looked_at >= self.interval_s:
            self._open, self._looked_at = _open(spawner), time.monotonic()
        return live(seen, *self._open) | starting

    async def _pause(self, news: asyncio.Event) -> None:
        """Until there is news of what is free, the tab is closed, or it is time; and never for less than a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(MOMENT_S, self.interval_s)):
                await self._closed.wait()
        with suppress(TimeoutError):
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes in the same moment as the event.
            async with asyncio.timeout(max(0.0, self.interval_s - MOMENT_S)):
                await news.wait()


def _open(spawner: Any) -> tuple[dict[str, str], list[str]]:
    """Titles of the flavours by name, and the activities, that somebody may choose."""
    try:
        offered = choices(spawner.platform, spawner.person)
    except AiinfnError:
        return {}, []
    titles = {choice.flavour.name: choice.flavour.title for choice in offered.flavours if choice.open}
    return titles, [activity.name for activity in offered.activities]


def extra_handlers(interval_s: float = 5.0, authorise_s: float = 60.0) -> list[tuple[Any, ...]]:
    """For `c.JupyterHub.extra_handlers`; everything else the handlers take from the person's spawner."""
    return [
        (r"/aiinfn/offer", OfferStream, {"interval_s": interval_s, "authorise_s": authorise_s}),
        *tickets.handlers(),
    ]
