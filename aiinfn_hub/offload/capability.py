"""The two secrets of a run: the capability that is delivered with the job, and the token that each attempt gets for it.

Only hashes are stored. The tokens have 256 random bits, so a plain SHA-256 keeps them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import Conflict, Expired, Forbidden
from aiinfn_hub.offload import checkpoints, frames, runs
from aiinfn_hub.offload.observe import Contact
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store import tables

_T = tables.attempt
#: Seconds from submission to the last moment at which a pod can introduce itself, however long the queue.
CAPABILITY_S = 30 * 24 * 3600.0
#: Seconds that an attempt's token outlives the person's time: fetching inputs, delivering results.
TOKEN_SLACK_S = 3600.0
HEARTBEAT_S = 5.0


class Grant(NamedTuple):
    """What a pod gets for the capability: its own token, and the number of its attempt.

    `limit_s` are the seconds left for it; `restore` says that there is something to go on from.
    """

    token: str
    attempt: int
    limit_s: float
    restore: bool


def mint() -> str:
    """A new secret."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(secret: str, stored: str) -> bool:
    """Whether this is the secret; takes the same time for every answer."""
    return bool(stored) and hmac.compare_digest(digest(secret), stored)


def give(connection: sa.Connection, run_id: str, *, now: float) -> str:
    """A new capability of the run; an earlier one is worth nothing any more."""
    secret = mint()
    run = runs.get(connection, run_id, lock=True)
    expires = run.submitted_at + CAPABILITY_S
    runs.note(connection, run_id, now=now, capability_hash=digest(secret), capability_expires_at=expires)
    return secret


def check(connection: sa.Connection, run_id: str, capability: str, *, now: float) -> Run:
    """The run, if this is its capability and still good.

    Raises:
        Forbidden: it is not the capability of this run.
        Expired: the run is over, or the capability too old.
        NotFound: no such run.
    """
    run = runs.get(connection, run_id, lock=True)
    if not same(capability, run.capability_hash):
        raise Forbidden("This is not the capability of this run.")
    _check_open(run)
    if run.capability_expires_at is None or now > run.capability_expires_at:
        raise Expired("The capability of this run is too old.")
    return run


def exchange(connection: sa.Connection, run_id: str, capability: str, pod_uid: str, *, now: float) -> Grant:
    """Trade the capability for a token of a new attempt: once for each pod. Earlier attempts are fenced off.

    Whether the pod belongs to the run is the caller's to find out, at the cluster.

    Raises:
        Forbidden: it is not the capability of this run, or the pod has another run's token.
        Conflict: this pod has had its token.
        Expired: the run is over, or the capability too old.
    """
    run = check(connection, run_id, capability, now=now)
    if connection.execute(sa.select(_T.c.number).where(_T.c.pod_uid == pod_uid)).first() is not None:
        raise Conflict("This pod has had its token; a capability is exchanged once.")
    mine = _T.c.run_id == run_id
    last = connection.execute(sa.select(sa.func.max(_T.c.number)).where(mine)).scalar() or 0
    number, token = max(run.attempt, last + 1), mint()
    connection.execute(
        _T.update().where(mine & _T.c.ended_at.is_(None)).values(ended_at=now, end_reason="a newer attempt took over")
    )
    row = {"run_id": run_id, "number": number, "pod_uid": pod_uid, "token_hash": digest(token)}
    connection.execute(_T.insert().values(**row, started_at=now, last_seen=now))
    if last:
        # What an earlier attempt delivered may not fit what this one will.
        connection.execute(tables.result.delete().where(tables.result.c.run_id == run_id))
        frames.announce(connection, run, number, f"attempt {number} starts here", now=now)
    # A pod of ours proves that everything is in place, whatever we managed to write down.
    if run.state is JobState.STAGING:
        runs.move(connection, run_id, JobState.QUEUED, now=now)
    reason = run.reason if run.state is JobState.RUNNING else "It has started."
    runs.move(connection, run_id, JobState.RUNNING, now=now, reason=reason, attempt=number, started_at=now)
    return Grant(token, number, limit_s(connection, run, number), checkpoints.usable(connection, run))


def limit_s(connection: sa.Connection, run: Run, number: int) -> float:
    """Seconds that an attempt may take: the run's, without those that the attempts before it have used."""
    earlier = (_T.c.run_id == run.id) & (_T.c.number < number)
    used = connection.execute(sa.select(sa.func.sum(_T.c.last_seen - _T.c.started_at)).where(earlier)).scalar() or 0.0
    return max(0.0, run.wanted.resources.time_s - used)


def authenticate(connection: sa.Connection, run_id: str, token: str, *, now: float) -> tuple[Run, int]:
    """The run (locked) and the attempt that this token speaks for; notes that it spoke.

    Raises:
        Forbidden: no token of this run.
        Conflict: a newer attempt has taken over.
        Expired: the run is over, or the token too old.
    """
    run = runs.get(connection, run_id, lock=True)
    rows = connection.execute(sa.select(_T).where(_T.c.run_id == run_id)).mappings().all()
    mine = next((row for row in rows if same(token, row["token_hash"])), None)
    if mine is None:
        raise Forbidden("This is no token of this run.")
    _check_open(run)
    if any(row["number"] > mine["number"] for row in rows):
        raise Conflict("A newer attempt of this run has taken over.")
    if now > mine["started_at"] + run.wanted.resources.time_s + TOKEN_SLACK_S:
        raise Expired("This token is too old.")
    this = (_T.c.run_id == run_id) & (_T.c.number == mine["number"])
    connection.execute(_T.update().where(this).values(last_seen=now))
    return run, mine["number"]


def contact(connection: sa.Connection, run_id: str) -> Contact:
    """The attempt that spoke last."""
    query = sa.select(_T.c.pod_uid, _T.c.last_seen).where(_T.c.run_id == run_id).order_by(_T.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    return Contact(row.pod_uid, row.last_seen) if row is not None else Contact()


def contacts(connection: sa.Connection) -> dict[str, Contact]:
    """`contact` of every run that is not over."""
    query = sa.select(_T.c.run_id, _T.c.pod_uid, _T.c.last_seen).join(tables.run).order_by(_T.c.number)
    rows = connection.execute(query.where(tables.run.c.state.in_(runs.ACTIVE)))
    return {row.run_id: Contact(row.pod_uid, row.last_seen) for row in rows}


def close(connection: sa.Connection, run_id: str, reason: str, *, now: float) -> None:
    """End the attempt of a run that is over."""
    open_ = (_T.c.run_id == run_id) & _T.c.ended_at.is_(None)
    connection.execute(_T.update().where(open_).values(ended_at=now, end_reason=reason))


def _check_open(run: Run) -> None:
    # A lost one may still deliver the truth: its node has come back.
    if run.final and run.state is not JobState.LOST:
        raise Expired(f"This run is over: {run.state.value}.")
