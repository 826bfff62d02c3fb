"""What a server was last started with: what its form is filled in with, and what starts with one click.

JupyterHub stores the options of a start before it is tried, also those that cannot work. What worked is ours to keep,
in the state of the server, which outlives its end and restarts of the hub.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions import quick
from aiinfn_hub.sessions.diagnosis import HOME_FULL
from aiinfn_hub.sessions.form import Attempt, understood
from aiinfn_hub.sessions.options import RESCUE
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.records import image_of, remembered

_KEY, _FULL_KEY, _RECORDS_KEY = "aiinfn_worked", "aiinfn_home_full", "aiinfn_records"
_FULL_NOTICE = (
    "Your home is full. A rescue start is chosen below: the session starts all the same, shows what fills your home, "
    "and you delete what you do not need."
)


class LastChoice:
    """Of one server.

    Attributes:
        worked: the options of its last session that ran; empty before the first.
        records: those that ran, with their images, the last one first.
        attempt: what a link says or was just refused, until the form has shown it.
    """

    def __init__(self) -> None:
        self.worked: dict[str, Any] = {}
        self.records: list[dict[str, Any]] = []
        self.attempt: Attempt | None = None
        self._full: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What JupyterHub is to keep."""
        kept = {_KEY: self.worked, _FULL_KEY: self._full, _RECORDS_KEY: self.records}
        return {key: value for key, value in kept.items() if value}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what it kept."""
        self.worked, self._full = (dict(state.get(key) or {}) for key in (_KEY, _FULL_KEY))
        self.records = list(state.get(_RECORDS_KEY) or ())

    def ran(
        self, options: Mapping[str, Any], start: asyncio.Future[Any] | None, pod: Mapping[str, Any] | None = None
    ) -> None:
        """A session with these options runs, unless its start (None: of an earlier hub) failed and it is being removed.

        That a home was full is not true for the next one.
        """
        if start is not None and (not start.done() or start.cancelled() or start.exception() is not None):
            return
        self.worked, self._full = {name: value for name, value in options.items() if name != RESCUE}, {}
        image = image_of(pod)
        if image:
            self.records = remembered(self.records, self.worked, image, time.time())

    def failed(self, cause: str, options: Mapping[str, Any]) -> None:
        """A session with these options did not start; where that helps, the form has a rescue start chosen."""
        # Kept in the state: JupyterHub makes a new spawner after each start that failed.
        self._full = {**options, RESCUE: "1"} if cause == HOME_FULL else {}

    def take(self, waiting: Mapping[str, Any] | None) -> Attempt:
        """What the form is filled in with: once a link or a mistake, else what waits in the queue, else what worked."""
        attempt, self.attempt = self.attempt, None
        if attempt is None and waiting is None and self._full:
            return Attempt(self._full, notice=_FULL_NOTICE)
        return attempt or Attempt(self.worked if waiting is None else waiting)

    def read(
        self, platform: Platform, person: Person, fields: Mapping[str, Sequence[Any]]
    ) -> tuple[dict[str, Any], AiinfnError | None]:
        """The options of a posted form, or of its button, and what is wrong with them."""
        if quick.FIELD not in fields:
            return understood(platform, person, fields)
        try:
            return quick.chosen(platform, choices(platform, person), self.worked, fields), None
        except AiinfnError as error:
            return {}, error
