"""The ledger over HTTP. Everybody sees the own records, a PI sums and names of the own activities, an operator all."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from aiinfn_hub.accounting import refusals, reports, usage
from aiinfn_hub.accounting.reconcile import reconcile
from aiinfn_hub.errors import Forbidden, InvalidInput
from aiinfn_hub.identity.person import Person
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.store.engine import Database

DAY = 86400.0
#: What a PI may read of a record that is somebody else's (security rule 17: never source, outputs or environment).
PI_COLUMNS = (
    "pod_uid",
    "kind",
    "person",
    "activity",
    "flavour",
    "units",
    "held_from",
    "held_to",
    "last_seen",
    "end_source",
    "quarantine",
)


def scope(viewer: Person, *, person: str | None, activity: str | None) -> tuple[str | None, str | None, bool]:
    """(person, activity, whether other people's details are left out) that this viewer may ask for.

    Raises:
        Forbidden: the records are not the viewer's to see.
    """
    if viewer.admin:
        return person, activity, False
    if activity is not None and leads(viewer, activity):
        return person, activity, True
    if person not in (None, viewer.name):
        raise Forbidden(
            f"The records of {person} are not yours to see.",
            hint="A PI sees the own activity: add activity=NAME." if viewer.pi_of else "",
        )
    return viewer.name, activity, False


def leads(viewer: Person, activity: str) -> bool:
    """Whether the sums of an activity are this viewer's to see."""
    return viewer.admin or activity in viewer.pi_of


class LedgerHandler(ApiHandler):
    """What the routes of the ledger share: the window and the scope."""

    def initialize(self, database: Database) -> None:
        """Given by `routes`."""
        self.database = database

    def window(self, default_days: float) -> tuple[float, float]:
        """`since` and `until` of the query, in Unix seconds; nothing was held yet of what is to come."""
        now = time.time()
        until = min(float(self.argument("until", now, float)), now)
        since = float(self.argument("since", until - default_days * DAY, float))
        if since >= until:
            raise InvalidInput("The window is empty: `since` is not before `until`.")
        return since, until

    def scope(self) -> tuple[str | None, str | None, bool]:
        """The scope that was asked for, if it is allowed."""
        person, activity = self.argument("person", None, str), self.argument("activity", None, str)
        return scope(self.caller.person, person=person, activity=activity)


class RecordsHandler(LedgerHandler):
    """GET: records that touch the window, newest first."""

    async def get(self) -> None:
        """Query: since, until, person, activity, limit."""
        since, until = self.window(30)
        person, activity, sums = self.scope()
        limit = min(self.argument("limit", 1000, int), 10_000)
        rows = await self.database.read(
            reports.records, since=since, until=until, person=person, activity=activity, limit=limit
        )
        if sums:
            rows = [{name: row[name] for name in PI_COLUMNS} for row in rows]
        self.send({"since": since, "until": until, "records": rows})


class UsageHandler(LedgerHandler):
    """GET: hours by person, activity, flavour or kind, the share of them that was seen (null: none), and refusals."""

    async def get(self) -> None:
        """Query: since, until, person, activity, by (comma list)."""
        since, until = self.window(30)
        person, activity, _ = self.scope()
        by = tuple(self.argument("by", "activity,flavour", str).split(","))
        rows = await self.database.read(
            usage.by_group, since=since, until=until, by=by, person=person, activity=activity
        )
        refused = await self.database.read(refusals.refused, since=since, until=until, person=person, activity=activity)
        found = {"usage": rows, "coverage": usage.coverage(rows), "refused": refused}
        self.send({"since": since, "until": until} | found)


class OccupationHandler(LedgerHandler):
    """GET: mean units held over time, by flavour. Those over everybody are for everybody, an activity's are not."""

    async def get(self) -> None:
        """Query: since, until, steps, activity."""
        since, until = self.window(1)
        steps, activity = self.argument("steps", 96, int), self.argument("activity", None, str)
        if activity is not None and not leads(self.caller.person, activity):
            raise Forbidden(f"What {activity} holds is for its PI and the operators.", hint="Leave `activity` out.")
        series = await self.database.read(reports.occupation, since=since, until=until, steps=steps, activity=activity)
        self.send({"since": since, "until": until, "steps": steps, "series": series})


class ReconcileHandler(LedgerHandler):
    """GET: where the ledger's sources disagree, and what to do about it; for operators."""

    async def get(self) -> None:
        """Query: since, until.

        Raises:
            Forbidden: the caller does not operate the platform.
        """
        if not self.caller.person.admin:
            raise Forbidden(
                "What disagrees in the ledger is for operators.", hint="Your own records say how sure they are."
            )
        since, until = self.window(7)
        found = await self.database.read(reconcile, since=since, until=until, now=time.time())
        self.send({"since": since, "until": until, "disagreements": [asdict(one) for one in found]})


def routes(prefix: str, *, database: Database) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """The routes of the ledger below `prefix`."""
    given = {"database": database}
    return [
        (rf"{prefix}/api/accounting/records", RecordsHandler, given),
        (rf"{prefix}/api/accounting/usage", UsageHandler, given),
        (rf"{prefix}/api/accounting/occupation", OccupationHandler, given),
        (rf"{prefix}/api/accounting/reconcile", ReconcileHandler, given),
    ]
