"""Closed months: what was reported stays, and what is known later is a correction with a name and a reason.

Each hash is over what it seals and over the one before it: the months in their order, and in a month its corrections.
Who closes or corrects signs it. Names are not part of it, so that erasing somebody breaks no seal, and neither are
amounts that are zero, so that a later version which counts more breaks none either.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from aiinfn_hub.accounting import rollups, usage
from aiinfn_hub.accounting.rollups import Span, begin_of, end_of
from aiinfn_hub.accounting.signing import Signer, holds
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_hub.store.engine import lock
from aiinfn_hub.store.ledger_tables import AMOUNTS, COUNTS, GROUPS, correction, month, rolled, rollup

#: Seconds below which a difference is the rounding of sums, not news.
TRIFLE_S = 0.5


def close(connection: sa.Connection, start: float, *, by: str, signer: Signer, now: float) -> dict[str, Any]:
    """Close the month that begins at `start` (Unix seconds, UTC); the row of table `month`.

    Raises:
        Conflict: it is closed, it is not over, an earlier one is open, or something in it is still in the air.
    """
    lock(connection, rolled)
    end = end_of("month", start)
    _may_close(connection, start, end, now=now)
    while rollups.roll(connection, now=now):
        pass
    if (Span(start, end, "month")) not in rollups.cover(connection, start, end):
        raise Conflict(
            f"{name_of(start)} cannot be closed: something that it holds has not been seen since its end.",
            hint="Once the service runs and sees the cluster again, it can.",
        )
    before = connection.execute(sa.select(month.c.sha256).order_by(month.c.start.desc()).limit(1)).scalar() or ""
    sums = _sums(connection, start)
    seal = _seal(before, name_of(start), sums)
    row = {
        "start": start,
        "until": end,
        "closed_at": now,
        "closed_by": by,
        "sums": len(sums),
        "sha256": seal,
        "signer": signer.public,
        "signature": signer.sign(seal),
    }
    connection.execute(sa.insert(month).values(row))
    return row


def _may_close(connection: sa.Connection, start: float, end: float, *, now: float) -> None:
    if connection.execute(sa.select(month).where(month.c.start == start)).first():
        raise Conflict(f"{name_of(start)} is closed.", hint="What is known later is a correction.")
    if end + rollups.SETTLE_S > now:
        raise Conflict(f"{name_of(start)} is not over.", hint="Months are of UTC.")
    closed = connection.execute(sa.select(sa.func.max(month.c.until))).scalar()
    first = rollups.first_moment(connection)
    expected = closed if closed is not None else begin_of("month", first) if first is not None else start
    if expected < start:
        raise Conflict(f"{name_of(expected)} is open.", hint="Months are closed in their order.")
    if expected > start:
        raise Conflict(f"{name_of(start)} lies before the first month that has anything in it.")


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who corrects, why, and from what: "records", or "typed"."""

    by: str
    reason: str
    source: str = "records"


def correct(
    connection: sa.Connection,
    start: float,
    deltas: Mapping[tuple[str, ...], Mapping[str, float]],
    author: Author,
    *,
    signer: Signer,
    now: float,
) -> list[dict[str, Any]]:
    """Add corrections to a closed month: by group of `ledger_tables.GROUPS` (people as aliases), what is to be added.

    Raises:
        InvalidInput: there is nothing to correct, or no reason is given.
        NotFound: the month is not closed.
    """
    lock(connection, rolled)
    closed = connection.execute(sa.select(month).where(month.c.start == start)).mappings().first()
    if closed is None:
        raise NotFound(f"{name_of(start)} is not closed.", hint="An open month follows its records by itself.")
    if not author.reason.strip():
        raise InvalidInput("A correction needs a reason.", hint="It is read in a year by somebody who was not there.")
    if not deltas:
        raise InvalidInput(f"There is nothing to correct in {name_of(start)}.")
    rows = []
    known = corrections(connection, start)
    before, revision = (known[-1]["sha256"], len(known)) if known else (closed["sha256"], 0)
    for key, delta in sorted(deltas.items()):
        revision += 1
        said = {"made_at": now, "made_by": author.by, "source": author.source, "reason": author.reason.strip()}
        said["signer"] = signer.public
        amounts = {name: int(delta.get(name, 0)) for name in COUNTS} | {n: float(delta.get(n, 0)) for n in AMOUNTS}
        row = {"month": start, "revision": revision} | said | dict(zip(GROUPS, key, strict=True)) | amounts
        before = row["sha256"] = _seal(before, revision, [row])
        row["signature"] = signer.sign(before)
        rows.append(row)
    connection.execute(sa.insert(correction), rows)
    return rows


def corrections(connection: sa.Connection, start: float) -> list[dict[str, Any]]:
    """Those of a month, in their order."""
    query = sa.select(correction).where(correction.c.month == start).order_by(correction.c.revision)
    return [dict(row) for row in connection.execute(query).mappings()]


def news(connection: sa.Connection, start: float) -> dict[tuple[str, ...], dict[str, float]]:
    """By how much the records of now differ from a closed month and what was taken over from them since, by group."""
    now = usage.sums(connection, [Span(start, end_of("month", start))], by=GROUPS)
    then: dict[tuple[str, ...], Counter[str]] = {}
    taken_over = [row for row in corrections(connection, start) if row["source"] == "records"]
    for row in [*_sums(connection, start), *taken_over]:
        key = tuple(row[name] for name in GROUPS)
        then.setdefault(key, Counter()).update({name: row[name] for name in COUNTS + AMOUNTS})
    zero = dict.fromkeys(COUNTS + AMOUNTS, 0.0)
    found = {}
    for key in now.keys() | then.keys():
        delta = {name: now.get(key, zero)[name] - then.get(key, zero)[name] for name in COUNTS + AMOUNTS}
        # Bytes times seconds are large numbers: what is a trifle in them is judged by the time.
        if any(
            abs(delta[name]) >= (1 if name in COUNTS else TRIFLE_S) for name in delta if not name.endswith("byte_s")
        ):
            found[key] = delta
    return found


@dataclass(frozen=True)
class Closed:
    """A closed month as it stands now.

    Attributes:
        month: as 2026-11.
        corrections: how many there are.
        whole: its sums and corrections are those that were sealed, and every signature is its signer's.
        signers: public keys; "" is what nobody signed, before there were signatures.
    """

    month: str
    closed_at: float
    closed_by: str
    sha256: str
    corrections: int
    whole: bool
    signers: frozenset[str]


def closed_months(connection: sa.Connection, *, since: float = 0.0) -> list[Closed]:
    """Those that end after a time (Unix seconds), looked through; the oldest first."""
    found, before = [], ""
    for row in connection.execute(sa.select(month).order_by(month.c.start)).mappings():
        if row["until"] <= since:
            before = row["sha256"]
            continue
        name, fixes = name_of(row["start"]), corrections(connection, row["start"])
        seals = [_seal(before, name, _sums(connection, row["start"]))]
        before = last = row["sha256"]
        for fix in fixes:
            bare = {key: value for key, value in fix.items() if key not in ("sha256", "signature")}
            seals.append(_seal(last, fix["revision"], [bare]))
            last = fix["sha256"]
        sealed = [dict(row), *fixes]
        whole = all(one["sha256"] == seal and _is_signed(one) for one, seal in zip(sealed, seals, strict=True))
        signers = frozenset(one["signer"] for one in sealed)
        found.append(Closed(name, row["closed_at"], row["closed_by"], before, len(fixes), whole, signers))
    return found


def _is_signed(row: Mapping[str, Any]) -> bool:
    """By who is named there. What was closed before there were signatures names nobody."""
    return not row["signer"] or holds(row["signer"], row["sha256"], row["signature"])


def name_of(start: float) -> str:
    """A month as 2026-11."""
    return rollups.moment(start)[:7]


def _sums(connection: sa.Connection, start: float) -> list[dict[str, Any]]:
    columns = [rollup.c[name] for name in GROUPS + COUNTS + AMOUNTS]
    mine = (rollup.c.grain == "month", rollup.c.start == start)
    return [dict(row) for row in connection.execute(sa.select(*columns).where(*mine).order_by(*columns[:6])).mappings()]


def _seal(before: str, what: str | int, content: Sequence[Mapping[str, Any]]) -> str:
    """The hash over the one before and the content, written in one way."""
    amounts = COUNTS + AMOUNTS
    bare = [{key: value for key, value in row.items() if value or key not in amounts} for row in content]
    text = msgspec.json.encode([before, what, bare], order="deterministic")
    return hashlib.sha256(text).hexdigest()
