"""When a unit is free again, for who looks at the form and for who waits: from the ledger, kept for some seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from aiinfn_hub.accounting.history import Cases, cases, holders
from aiinfn_hub.capacity.forecast import ENOUGH, Holder, forecast
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import Expected, Offer
from aiinfn_hub.sessions.tickets import Ticket
from aiinfn_hub.store.engine import Database

#: Seconds for which the same is said to everybody, and for which the cases of the last weeks are kept.
KEEP_S, KEEP_CASES_S = 10.0, 600.0


class Forecasts:
    """Adds what is expected to offers."""

    def __init__(self, database: Database, platform: Platform) -> None:
        self._database = database
        self._elsewhere = [site.name for site in platform.sites if site.kind != "local"]
        self._holders: dict[str, list[Holder]] = {}
        self._holders_at = float("-inf")
        self._cases: Cases = {}
        self._cases_at = float("-inf")
        self._said: dict[tuple[str, int], Expected | None] = {}

    async def add(self, offer: Offer, waiting: Sequence[Ticket], now: float) -> Offer:
        """The offer, with what is expected for each flavour of which nothing is free, and for each ticket.

        Args:
            offer: of one person.
            waiting: everybody's tickets, oldest first.
            now: Unix seconds.

        Raises:
            Unavailable: the database does not answer.
        """
        lines: dict[str, list[str]] = {}
        for ticket in waiting:
            if not ticket.offer.admitted:
                lines.setdefault(ticket.offer.flavour, []).append(ticket.offer.uid)
        taken = {
            f.flavour for f in offer.flavours if f.unit == "unit" and f.total > 0 >= f.free and not f.unknown_since
        }
        mine = {ticket.uid for ticket in offer.tickets}
        if not taken and not any(mine.intersection(line) for line in lines.values()):
            return offer
        await self._look(now)
        flavours = [
            msgspec.structs.replace(f, expected=self._expected(f.flavour, len(lines.get(f.flavour, ())) + 1, now))
            if f.flavour in taken
            else f
            for f in offer.flavours
        ]
        tickets = [
            msgspec.structs.replace(t, expected=self._expected(t.flavour, lines[t.flavour].index(t.uid) + 1, now))
            if t.uid in lines.get(t.flavour, ())
            else t
            for t in offer.tickets
        ]
        return msgspec.structs.replace(offer, flavours=flavours, tickets=tickets)

    async def _look(self, now: float) -> None:
        if now - self._cases_at >= KEEP_CASES_S:
            self._cases, self._cases_at = await self._database.read(cases, now=now), now
        if now - self._holders_at >= KEEP_S:
            self._holders, self._holders_at = await self._database.read(holders, elsewhere=self._elsewhere), now
            self._said = {}

    def _expected(self, flavour: str, place: int, now: float) -> Expected | None:
        key = (flavour, place)
        if key not in self._said:
            self._said[key] = expected(self._holders.get(flavour, ()), self._cases, flavour, place=place, now=now)
        return self._said[key]


def expected(known: Sequence[Holder], past: Cases, flavour: str, *, place: int, now: float) -> Expected | None:
    """What is expected of these holders of a flavour. Pure.

    Jobs only borrow what they have: Kueue takes it back for a session, one after the other.
    """
    sessions = [holder for holder in known if holder.kind != "job"]
    behind = place - sum(holder.units for holder in known if holder.kind == "job")
    if behind <= 0:
        return Expected(gives_way=True)
    found = forecast(sessions, similar(past, flavour), place=behind, now=now)
    return Expected(found.early, found.late, found.limit, found.cases) if found else None


def similar(known: Cases, flavour: str) -> Mapping[str, Sequence[float]]:
    """The cases by kind: those of the flavour if there are enough, else those of all flavours. Pure."""
    found = {}
    for kind in {kind for _, kind in known}:
        own = known.get((flavour, kind), [])
        everybody = sorted(share for (_, other), shares in known.items() if other == kind for share in shares)
        found[kind] = own if len(own) >= ENOUGH else everybody
    return found
