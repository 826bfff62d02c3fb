"""The audit in the service: fetches the hub's acts, keeps its own, and shows both to operators."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from aiinfn_hub.errors import AiinfnError, Forbidden
from aiinfn_hub.identity import audit
from aiinfn_hub.identity.audit import Act
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.store.engine import Database

#: Seconds between two questions to the hub.
EVERY_S = 5.0
MAX_LIMIT = 1000


class Audit:
    """Both sources, one table."""

    def __init__(
        self, database: Database, hub: HubApi, *, every_s: float = EVERY_S, log: logging.Logger | None = None
    ) -> None:
        self.database = database
        self._hub = hub
        self._every_s = every_s
        self._log = log or logging.getLogger("aiinfn.audit")

    async def note(self, act: Act) -> None:
        """Keep an act of the service itself.

        Raises:
            Unavailable: the database does not answer; the log has it.
        """
        self._log.info("audit %s", act.line)
        await self.database.write(audit.record, [act])

    async def run(self) -> None:
        """Fetch for ever. The hub forgets what we have stored, and nothing sooner."""
        away = ""
        while True:
            try:
                await self.fetch()
                away = ""
            except AiinfnError as error:
                if str(error) != away:  # once, not every few seconds of an outage
                    self._log.warning("The hub's acts come later: %s", error)
                away = str(error)
            await asyncio.sleep(self._every_s)

    async def fetch(self) -> None:
        """Take what the hub has, until it has no more."""
        stored: list[str] = []
        while acts := await self._hub.acts(stored):
            await self.database.write(audit.record, acts)
            stored = [act.id for act in acts]


class AuditHandler(ApiHandler):
    """GET: who did what, the newest first; for operators."""

    def initialize(self, database: Database) -> None:
        """Given by the application."""
        self.database = database

    async def get(self) -> None:
        """Query: person, what, before, limit.

        Raises:
            Forbidden: the caller does not operate the platform.
        """
        if not self.caller.person.admin:
            raise Forbidden("The audit is for operators.")
        found = await self.database.read(
            audit.acts,
            person=self.argument("person", None, str),
            what=self.argument("what", None, str),
            before=self.argument("before", None, float),
            limit=max(1, min(self.argument("limit", 100, int), MAX_LIMIT)),
        )
        self.send({"acts": [msgspec.to_builtins(act) for act in found]})


def routes(prefix: str, *, database: Database) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """The route below `prefix`."""
    return [(rf"{prefix}/api/audit", AuditHandler, {"database": database})]
