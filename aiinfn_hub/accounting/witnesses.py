"""What the hub, Kueue and Prometheus say of the pods in the ledger, held beside its records.

The hub's words are its acts in the audit; Kueue's and Prometheus' are observations of kinds "began" and "ended". None
of them changes a record: nobody but the pod watch sees all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.admissions import KUEUE
from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.fold import HEARTBEAT_S, SKEW_S
from aiinfn_hub.accounting.measuring import PROMETHEUS
from aiinfn_hub.accounting.rollups import DAY, moment
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.store.ledger_tables import observation, record
from aiinfn_hub.store.tables import audit

#: Seconds for which something must have held a device, before it is worth a word that nobody measured it.
MEASURABLE_S = 600.0
#: Up to when a record is known to have held something.
_KNOWN_TO = sa.func.coalesce(record.c.held_to, record.c.last_seen)


@dataclass(frozen=True)
class Disagreement:
    """One of them.

    Attributes:
        kind: what sort, in one word with hyphens.
        about: the pod's uid, or the month.
        sentence: what disagrees.
        next_step: what to do.
    """

    kind: str
    about: str
    sentence: str
    next_step: str


def testimony(connection: sa.Connection, *, since: float, until: float, now: float) -> Iterator[Disagreement]:
    """Where somebody else disagrees with a record that began in the window [since, until), in Unix seconds."""
    begins = (record.c.held_from >= since, record.c.held_from < until, GOOD)
    for check in (_kueue, _admitted, _measured, _active):
        yield from check(connection, begins)
    for of_the_hub in (_stopped, _started):
        yield from of_the_hub(connection, begins, since)
    yield from _unseen(connection, since=since, until=min(until, now - 2 * HEARTBEAT_S))


def _said(
    connection: sa.Connection, source: str, kind: str, *conditions: sa.ColumnElement[bool]
) -> Iterator[sa.Row[Any]]:
    query = (
        sa.select(record.c.pod_uid, record.c.node, record.c.held_from, _KNOWN_TO.label("known_to"))
        .add_columns(observation.c.observed_at.label("at"))
        .join(observation, observation.c.pod_uid == record.c.pod_uid)
        .where(observation.c.source == source, observation.c.kind == kind, *conditions)
    )
    yield from connection.execute(query)


def _kueue(connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...]) -> Iterator[Disagreement]:
    for row in _said(connection, KUEUE, "began", *begins, observation.c.observed_at > record.c.held_from + SKEW_S):
        yield Disagreement(
            "held-before-admitted",
            row.pod_uid,
            f"It had a node from {moment(row.held_from)} on, and Kueue let it in at {moment(row.at)}.",
            "Look who took its gate away; the queue had not given it that place.",
        )
    for row in _said(connection, KUEUE, "ended", *begins, observation.c.observed_at + SKEW_S < _KNOWN_TO):
        yield Disagreement(
            "held-after-release",
            row.pod_uid,
            f"Kueue gave its place away at {moment(row.at)}, and it was still there at {moment(row.known_to)}.",
            "Look why the pod did not end; until then two hold what one has.",
        )


def _admitted(connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...]) -> Iterator[Disagreement]:
    """What held a device without Kueue's word, once Kueue is heard of others of its kind."""
    word = sa.select(observation.c.id).where(
        observation.c.source == KUEUE, observation.c.kind == "began", observation.c.pod_uid == record.c.pod_uid
    )
    query = sa.select(record.c.pod_uid, record.c.namespace, record.c.units, record.c.held_from)
    for kind in ("session", "job"):
        first = connection.execute(_first_heard(kind)).scalar()
        if first is None:
            continue
        others = (record.c.kind == kind, record.c.created_at > first, record.c.units > 0, ~sa.exists(word))
        for row in connection.execute(query.where(*begins, *others)):
            yield Disagreement(
                "never-admitted",
                row.pod_uid,
                f"It held {row.units} units from {moment(row.held_from)} on, and Kueue never let it in.",
                f"Look who makes pods in {row.namespace} that pass by the queue; they are charged all the same.",
            )


def _first_heard(kind: str) -> sa.Select[tuple[float]]:
    """When Kueue was first heard of a session, or of a job."""
    said = sa.select(observation.c.observed_at).join(record, record.c.pod_uid == observation.c.pod_uid)
    return said.where(record.c.kind == kind, observation.c.source == KUEUE).order_by(observation.c.id).limit(1)


def _acts(what: str, since: float) -> sa.Subquery:
    """Acts about pods since a day before; by their time first, because the audit is kept for ever."""
    query = sa.select(audit.c.facts["uid"].as_string().label("uid"), audit.c.at)
    return query.where(audit.c.at >= since - DAY, audit.c.what == what).subquery(what.replace("-", "_"))


def _stopped(
    connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...], since: float
) -> Iterator[Disagreement]:
    stop = _acts("session-stopped", since)
    query = sa.select(record.c.pod_uid, stop.c.at, _KNOWN_TO.label("known_to"))
    for row in connection.execute(
        query.join(stop, stop.c.uid == record.c.pod_uid).where(*begins, stop.c.at + SKEW_S < _KNOWN_TO)
    ):
        yield Disagreement(
            "held-after-its-stop",
            row.pod_uid,
            f"The hub had stopped it by {moment(row.at)}, and it was still there at {moment(row.known_to)}.",
            "Look why its node does not end it; deleting the pod by force frees its devices.",
        )


def _started(
    connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...], since: float
) -> Iterator[Disagreement]:
    """Sessions that the hub did not start, once it says what it starts."""
    start = _acts("session-started", since)
    oldest = sa.select(audit.c.at).where(audit.c.what == "session-started").order_by(audit.c.at).limit(1)
    first = connection.execute(oldest).scalar()
    if first is None:
        return
    query = (
        sa.select(record.c.pod_uid, record.c.held_from)
        .join(start, start.c.uid == record.c.pod_uid, isouter=True)
        .where(*begins, record.c.kind == "session", record.c.created_at > first, start.c.uid.is_(None))
        .where(record.c.held_from + 2 * HEARTBEAT_S < _KNOWN_TO)
    )
    for row in connection.execute(query):
        yield Disagreement(
            "not-of-the-hub",
            row.pod_uid,
            f"It holds its place since {moment(row.held_from)}, and the hub does not say that it started it.",
            "Look who made the pod: a start that was cut short leaves one, and so does somebody by hand.",
        )


def _unseen(connection: sa.Connection, *, since: float, until: float) -> Iterator[Disagreement]:
    start = _acts("session-started", since)
    query = (
        sa.select(start.c.uid, start.c.at)
        .join(record, record.c.pod_uid == start.c.uid, isouter=True)
        .where(start.c.at >= since, start.c.at < until, record.c.pod_uid.is_(None))
    )
    for row in connection.execute(query):
        yield Disagreement(
            "never-seen",
            row.uid,
            f"The hub started it at {moment(row.at)}; its pod was never seen.",
            "Look for a gap of the service at that time, and correct the month.",
        )


def _measured(connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...]) -> Iterator[Disagreement]:
    query = sa.select(record.c.pod_uid, record.c.node, record.c.length_s, record.c.units).where(
        *begins, record.c.measured_s == 0, record.c.length_s >= MEASURABLE_S
    )
    for row in connection.execute(query):
        yield Disagreement(
            "not-measured",
            row.pod_uid,
            f"It held {row.units} units for {format_duration(row.length_s)}, and Prometheus knows nothing of it.",
            f"Look whether DCGM's exporter runs on {row.node or 'its node'} and names pods.",
        )


def _active(connection: sa.Connection, begins: tuple[sa.ColumnElement[bool], ...]) -> Iterator[Disagreement]:
    for row in _said(connection, PROMETHEUS, "ended", *begins, observation.c.observed_at > _KNOWN_TO + SKEW_S):
        yield Disagreement(
            "active-after-its-end",
            row.pod_uid,
            f"It ended at {moment(row.known_to)}, and its devices were at work in its name until {moment(row.at)}.",
            f"Look for a process that was left on {row.node or 'its node'}; it is not charged.",
        )
