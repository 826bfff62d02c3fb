"""Where the ledger's sources disagree, record by record, and what to do about each.

What is compared lies in the database: the pods that were seen, the records, what runners said of their own pods, what
the hub, Kueue and Prometheus said of others, and the months that are closed. A job's own word never changes a record
(security rule 6); here it is only held beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import sqlalchemy as sa

from aiinfn_hub.accounting import months
from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.fold import HEARTBEAT_S, SKEW_S
from aiinfn_hub.accounting.rollups import moment
from aiinfn_hub.accounting.signing import fingerprint
from aiinfn_hub.accounting.witnesses import Disagreement, testimony
from aiinfn_hub.contract.jobs import FINAL
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.store.ledger_tables import month, record
from aiinfn_hub.store.tables import attempt, run

#: Seconds between two clocks that are worth a word; below, it is the time that a message takes.
FLAG_S = 5.0


def reconcile(
    connection: sa.Connection,
    *,
    since: float,
    until: float,
    now: float,
    signers: Collection[str] = (),
    months_since: float = 0.0,
) -> list[Disagreement]:
    """All that touch the window [since, until), in Unix seconds, and all that touch closed months.

    Args:
        connection: to the database.
        since: begin of the window.
        until: its end.
        now: the time.
        signers: public keys of those who may sign; empty for everybody.
        months_since: closed months that ended before this time are not looked at.
    """
    touches = sa.and_(record.c.created_at < until, sa.or_(record.c.held_to.is_(None), record.c.held_to > since))
    return [
        *_quarantined(connection, touches),
        *_skewed(connection, touches),
        *_unseen(connection, touches, now=now),
        *_inferred(connection, touches),
        *_overdue(connection, touches),
        *_unrecorded(connection, since=since, until=until),
        *_unlike_the_runner(connection, touches),
        *testimony(connection, since=since, until=until, now=now),
        *_seals(connection, signers, months_since),
        *_news(connection, months_since),
    ]


def _quarantined(connection: sa.Connection, touches: sa.ColumnElement[bool]) -> Iterator[Disagreement]:
    query = sa.select(record.c.pod_uid, record.c.node, record.c.quarantine).where(touches, record.c.quarantine > "")
    for row in connection.execute(query):
        yield Disagreement(
            "quarantine",
            row.pod_uid,
            row.quarantine,
            f"Set the clock of {row.node or 'its node'}; if it ran, correct its month when that is closed.",
        )


def _skewed(connection: sa.Connection, touches: sa.ColumnElement[bool]) -> Iterator[Disagreement]:
    """A container that starts before its pod has a node, or ends after it was seen to be over: two clocks."""
    behind, ahead = record.c.held_from - record.c.ran_from, record.c.ran_to - record.c.last_seen
    query = sa.select(record.c.pod_uid, record.c.node, behind.label("behind"), ahead.label("ahead")).where(
        touches, GOOD, sa.or_(behind > FLAG_S, ahead > FLAG_S)
    )
    for row in connection.execute(query):
        way, seconds = ("behind", row.behind) if (row.behind or 0.0) > FLAG_S else ("ahead", row.ahead)
        yield Disagreement(
            "clock-skew",
            row.pod_uid,
            f"The clock of {row.node or 'its node'} is {seconds:.0f} s {way}, and so is what it says of the end.",
            "Set the clock; a record may be wrong by as much, and above a minute it counts nothing.",
        )


def _unseen(connection: sa.Connection, touches: sa.ColumnElement[bool], *, now: float) -> Iterator[Disagreement]:
    query = sa.select(record.c.pod_uid, record.c.node, record.c.last_seen).where(
        touches,
        record.c.held_to.is_(None),
        record.c.held_from.is_not(None),
        record.c.last_seen < now - 2 * HEARTBEAT_S,
    )
    for row in connection.execute(query):
        yield Disagreement(
            "out-of-sight",
            row.pod_uid,
            f"It is open, and was last seen {format_duration(now - row.last_seen)} ago.",
            "Look whether the service runs and sees the cluster; it closes what is gone when it does.",
        )


def _inferred(connection: sa.Connection, touches: sa.ColumnElement[bool]) -> Iterator[Disagreement]:
    query = sa.select(record.c.pod_uid, record.c.held_to, record.c.uncertainty_s).where(
        touches, record.c.end_source == "last-seen", record.c.uncertainty_s > HEARTBEAT_S
    )
    for row in connection.execute(query):
        yield Disagreement(
            "end-inferred",
            row.pod_uid,
            f"It ended at {moment(row.held_to)} or up to {format_duration(row.uncertainty_s)} later; nobody saw it.",
            "Look into the node's or the site's own accounting, and correct the month if it matters.",
        )


def _overdue(connection: sa.Connection, touches: sa.ColumnElement[bool]) -> Iterator[Disagreement]:
    """Held by the ledger, over for the offload room."""
    query = (
        sa.select(record.c.pod_uid, run.c.id, run.c.state, run.c.finished_at)
        .join(run, run.c.id == record.c.run_id)
        .where(touches, record.c.held_to.is_(None), run.c.state.in_([state.value for state in FINAL]))
        .where(run.c.finished_at < record.c.last_seen - SKEW_S)
    )
    for row in connection.execute(query):
        yield Disagreement(
            "job-over",
            row.pod_uid,
            f"The job {row.id} is {row.state} since {moment(row.finished_at)}, and its pod still holds its devices.",
            "Look why the pod does not end; deleting it gives the devices back.",
        )


def _unrecorded(connection: sa.Connection, *, since: float, until: float) -> Iterator[Disagreement]:
    query = (
        sa.select(attempt.c.pod_uid, attempt.c.run_id, attempt.c.number, attempt.c.started_at)
        .join(record, record.c.pod_uid == attempt.c.pod_uid, isouter=True)
        .where(record.c.pod_uid.is_(None), attempt.c.started_at >= since, attempt.c.started_at < until)
    )
    for row in connection.execute(query):
        yield Disagreement(
            "never-seen",
            row.pod_uid,
            f"Attempt {row.number} of the job {row.run_id} spoke at {moment(row.started_at)}; its pod was never seen.",
            "Look for a gap of the service at that time, and correct the month.",
        )


def _unlike_the_runner(connection: sa.Connection, touches: sa.ColumnElement[bool]) -> Iterator[Disagreement]:
    """A pod that is said to have ended well before its runner was last heard."""
    query = (
        sa.select(record.c.pod_uid, record.c.held_to, attempt.c.last_seen)
        .join(attempt, attempt.c.pod_uid == record.c.pod_uid)
        .where(touches, record.c.held_to.is_not(None), attempt.c.last_seen > record.c.held_to + SKEW_S)
    )
    for row in connection.execute(query):
        yield Disagreement(
            "ended-before-its-runner",
            row.pod_uid,
            f"It ended at {moment(row.held_to)}, and its runner was heard until {moment(row.last_seen)}.",
            "The node's clock, or a gap in the watch: compare with the node's log before you correct the month.",
        )


def _seals(connection: sa.Connection, signers: Collection[str], since: float) -> Iterator[Disagreement]:
    for closed in months.closed_months(connection, since=since):
        if not closed.whole:
            yield Disagreement(
                "seal-broken",
                closed.month,
                "Its sums, its corrections or a signature are not those that were sealed.",
                "Compare with a backup: somebody has changed the database by hand.",
            )
        for signer in sorted(closed.signers.difference(signers) if signers else closed.signers & {""}):
            who = f"the key {fingerprint(signer)}, which is not on the list" if signer else "nobody"
            yield Disagreement(
                "not-signed",
                closed.month,
                f"It, or a correction in it, is signed by {who}.",
                "Ask who closed it; a month that was closed before there were signatures has none.",
            )


def _news(connection: sa.Connection, since: float) -> Iterator[Disagreement]:
    query = sa.select(month.c.start).where(month.c.until > since).order_by(month.c.start)
    for start in connection.execute(query).scalars().all():
        if found := months.news(connection, start):
            hours = sum(delta["weighted_s"] for delta in found.values()) / 3600
            yield Disagreement(
                "month-changed",
                months.name_of(start),
                f"Records say {hours:+.2f} GPU-h more than the closed month, in {len(found)} of its sums.",
                f"aiinfn accounting correct --month {months.name_of(start)} --from-records --reason ...",
            )
