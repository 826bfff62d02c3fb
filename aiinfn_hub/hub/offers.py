"""One person's offer, asked from the service in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import url_concat

from aiinfn_hub.contract.offer import Offer
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.sessions.availability import Seen


class OfferSource:
    """Asks the service for one person's offer, and remembers the last good answer and when it came.

    However many pages look at the same time, one question is under way.

    Args:
        person: the person's name.
        service_url: where the service is; "" if there is none.
        key_file: holds the key by which the hub speaks to the service; read at each question, because it is rotated.
        deadline_s: seconds to wait for an answer.
        clock: Unix seconds.
    """

    def __init__(
        self,
        person: str,
        service_url: str,
        key_file: Path,
        *,
        deadline_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.person = person
        self.seen = Seen(failing="nobody has asked yet")
        self._url = url_concat(f"{service_url.rstrip('/')}/api/offer", {"person": person}) if service_url else ""
        self._key_file = key_file
        self._deadline_s = deadline_s
        self._clock = clock
        self._asked = float("-inf")
        self._asking: asyncio.Task[Seen] | None = None

    async def look(self, max_age_s: float = 1.0) -> Seen:
        """What is known now, from an answer (or a failure) at most `max_age_s` old. Never raises."""
        if self._asking is None and self._clock() - self._asked >= max_age_s:
            self._asking = asyncio.ensure_future(self._refresh())
        if self._asking is None:
            return self.seen
        return await asyncio.shield(self._asking)

    async def _refresh(self) -> Seen:
        try:
            self.seen = Seen(await self._ask(), self._clock())
        except Unavailable as error:
            self.seen = replace(self.seen, failing=error.message)
        finally:
            self._asked = self._clock()
            self._asking = None
        return self.seen

    async def _ask(self) -> Offer:
        if not self._url:
            raise Unavailable("no service is configured")
        try:
            key = self._key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unavailable("the hub has no key for the service") from error
        try:
            # A redirect would carry the key to wherever it points.
            answer = await AsyncHTTPClient().fetch(
                self._url,
                headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
                connect_timeout=self._deadline_s,
                request_timeout=self._deadline_s,
                follow_redirects=False,
            )
            offer = msgspec.json.decode(answer.body, type=Offer)
        except HTTPClientError as error:
            # 599 is tornado's own number for "no answer".
            said = f"answers {error.code}" if error.code != 599 else "does not answer"
            raise Unavailable(f"the service {said}") from error
        except OSError as error:
            raise Unavailable("the service does not answer") from error
        except msgspec.MsgspecError as error:
            raise Unavailable("the service answers something else") from error
        if offer.person != self.person:
            raise Unavailable("the service answers for somebody else")
        return offer
