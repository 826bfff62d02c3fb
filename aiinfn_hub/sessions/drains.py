"""Sessions that are to end: when, why, and whether they may stay after all.

Their person lost the right to them, a quota is used up, their time is over, or nobody uses them.

The decision is pure; what was decided is in the database, because a notice period outlives a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import insert

_T = tables.drain
#: Rights are lost one after the other; the notice of the first holds for all of them.
_RIGHTS = frozenset({"inactive", "groups", "activity"})


@dataclass(frozen=True)
class Running:
    """A session that holds something, by the uid of its pod."""

    uid: str
    person: str
    server: str
    activity: str


@dataclass(frozen=True)
class Drain:
    """A session that is to end at `due`; times in Unix seconds."""

    uid: str
    person: str
    server: str
    activity: str
    reason: str
    sentence: str
    next_step: str
    since: float
    due: float


@dataclass(frozen=True)
class Plan:
    """What to do now: drains that begin, that are called off, and those whose time has come."""

    begin: tuple[Drain, ...] = ()
    call_off: tuple[Drain, ...] = ()
    stop: tuple[Drain, ...] = ()


def plan(
    running: Iterable[Running],
    lapses: Mapping[str, Lapse | None],
    drains: Mapping[str, Drain],
    *,
    now: float,
    notice_s: float,
) -> Plan:
    """The next acts.

    Args:
        running: every session there is.
        lapses: by uid; None for one that may go on. What is missing is not known now, and stays as it is.
        drains: those under way, by uid; what has none of these sessions any more is called off.
        now: Unix seconds.
        notice_s: between the notice and the end.
    """
    begin, call_off, stop, seen = [], [], [], set()
    for one in running:
        seen.add(one.uid)
        known = drains.get(one.uid)
        if one.uid not in lapses:
            continue
        lapse = lapses[one.uid]
        if lapse is None:
            call_off += [known] if known else []
            continue
        due = now if lapse.at_once else max(lapse.due or 0.0, now + notice_s)
        if known is None or (lapse.at_once and known.due > now) or not _same(known.reason, lapse.kind):
            known = Drain(**asdict(one), **_words(lapse), since=now, due=due)
            begin.append(known)
        if known.due <= now:
            stop.append(known)
    call_off += [drain for uid, drain in drains.items() if uid not in seen]
    return Plan(tuple(begin), tuple(call_off), tuple(stop))


def _same(before: str, now: str) -> bool:
    return before == now or {before, now} <= _RIGHTS


def _words(lapse: Lapse) -> dict[str, str]:
    return {"reason": lapse.kind, "sentence": lapse.sentence, "next_step": lapse.next_step}


def drains(connection: sa.Connection) -> dict[str, Drain]:
    """Those under way, by uid."""
    return {row["uid"]: Drain(**row) for row in connection.execute(sa.select(_T)).mappings()}


def keep(connection: sa.Connection, decided: Plan) -> None:
    """Write down what begins and what is called off."""
    for one in decided.begin:
        values = asdict(one)
        statement = insert(connection, _T).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=["uid"], set_=values))
    gone = [one.uid for one in decided.call_off]
    connection.execute(sa.delete(_T).where(_T.c.uid.in_(gone)))
