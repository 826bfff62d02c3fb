"""Who used how much of what, in any window: from the longest sums that fit, and from records where there are none.

A window is [since, until) in Unix seconds; a record counts with the part of its held time that lies in the window, and
an open one up to `until`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.amounts import GOOD, amounts, counts, overlap, put_aside
from aiinfn_hub.accounting.rollups import Span, cover, summed
from aiinfn_hub.accounting.subjects import NAME, alias_of
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.engine import among
from aiinfn_hub.store.ledger_tables import AMOUNTS, COUNTS, GROUPS, correction, record, rollup, subject

#: What an hour of a column is called in an answer.
HOURS = {
    "waited_hours": "waited_s",
    "held_hours": "held_s",
    "running_hours": "ran_s",
    "device_hours": "device_s",
    "weighted_gpu_hours": "weighted_s",
    "compute_gpu_hours": "compute_s",
    "memory_gpu_hours": "memory_s",
    "cpu_core_hours": "core_s",
    "memory_gib_hours": "byte_s",
    "storage_gib_hours": "storage_byte_s",
    "observed_hours": "observed_s",
    "inferred_hours": "inferred_s",
    "measured_device_hours": "measured_s",
}
_GIB = 2.0**30


def by_group(
    connection: sa.Connection,
    *,
    since: float,
    until: float,
    by: Sequence[str] = ("activity",),
    person: str | None = None,
    activity: str | None = None,
) -> list[dict[str, Any]]:
    """One row a group, in order: the number of records, and the hours of `HOURS`.

    Waited time is that of records that began in the window, from their creation on.
    Held time reaches from a node to the last container's end, and is what is charged; running time from the first
    container's start. Device hours count units as they are, weighted ones in whole cards of reference: by the larger
    share of a slice, and by its share of the cores or of the memory alone.
    Of the device hours, `measured_device_hours` were measured, and of these `active_device_hours` did something;
    `energy_kwh` is of whole cards. They are None where nobody measured.
    `observed_hours` are the part of the held ones that was seen. `inferred_hours` are those of which nobody knows
    whether they were held: what an open record held since it was last seen, and the time between the last look at a pod
    and the list that lacked it. `quarantined` records have times that cannot be true: they are no `records`, and have
    no hours.

    Raises:
        InvalidInput: `by` names no column of `ledger_tables.GROUPS`, or one twice.
    """
    unknown = [name for name in by if name not in GROUPS]
    if unknown:
        raise InvalidInput(f"Usage cannot be grouped by {unknown[0]!r}.", hint=f"Use one of {', '.join(GROUPS)}.")
    if len(set(by)) < len(by):
        raise InvalidInput(f"Usage is grouped by {', '.join(by)}, which has one of them twice.")
    found = sums(connection, cover(connection, since, until), by=by, person=person, activity=activity)
    names = _names(connection, {key[by.index("person")] for key in found}) if "person" in by else {}
    return sorted((_row(by, key, group, names) for key, group in found.items()), key=lambda r: [r[name] for name in by])


def sums(
    connection: sa.Connection,
    spans: Iterable[Span],
    *,
    by: Sequence[str],
    person: str | None = None,
    activity: str | None = None,
) -> dict[tuple[str, ...], dict[str, float]]:
    """The sums of `ledger_tables.COUNTS` and `AMOUNTS` over these spans, by group; people are aliases."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for number, span in enumerate(spans):
        for query in _queries(span, by, person, activity):
            for row in connection.execute(query).mappings():
                if row["started"] is None:  # a sum over nothing, by nothing
                    continue
                group = found.setdefault(tuple(row[name] for name in by), dict.fromkeys(COUNTS + AMOUNTS, 0.0))
                for name in COUNTS + AMOUNTS:
                    group[name] += row[name] if number == 0 or name != "carried" else 0
    return found


def _queries(span: Span, by: Sequence[str], person: str | None, activity: str | None) -> list[sa.Select[Any]]:
    def scope(table: sa.Table) -> list[sa.ColumnElement[bool]]:
        mine = [table.c.person == alias_of(person)] if person is not None else []
        return mine if activity is None else [*mine, table.c.activity == activity]

    if span.grain:
        period = (rollup.c.grain == span.grain, rollup.c.start >= span.start, rollup.c.start < span.until)
        keys = [rollup.c[name] for name in by]
        kept = sa.select(*keys, *summed(span.start)).where(*period, *scope(rollup)).group_by(*keys)
        return [kept, _corrections(span, by).where(*scope(correction))] if span.grain == "month" else [kept]
    # Not the columns themselves: SQLite would read all records in the order of an index, to save sorting the few.
    groups = [sa.func.coalesce(record.c[name], sa.literal_column("''")).label(name) for name in by]
    columns = counts(span.start, span.until) | amounts(span.start, span.until)
    sums_of = (sa.func.sum(column).label(name) for name, column in columns.items())
    query = sa.select(*groups, *sums_of).group_by(*groups)
    # Two questions, because each has an index of its own.
    return [
        query.where(*scope(record), GOOD, overlap(span.start, span.until)),
        query.where(*scope(record), put_aside(span.start, span.until)),
    ]


def _corrections(span: Span, by: Sequence[str]) -> sa.Select[Any]:
    """What was corrected in the closed months of a span; it counts where the whole month does."""
    keys = [correction.c[name] for name in by]
    columns = [sa.func.sum(correction.c[name]).label(name) for name in COUNTS + AMOUNTS]
    within = (correction.c.month >= span.start, correction.c.month < span.until)
    return sa.select(*keys, *columns).where(*within).group_by(*keys)


def _names(connection: sa.Connection, people: Iterable[str]) -> dict[str, str]:
    query = sa.select(subject.c.alias, NAME.label("name")).where(among(connection, subject.c.alias, people))
    return {row.alias: row.name for row in connection.execute(query)}


def _row(
    by: Sequence[str], key: tuple[str, ...], sums: Mapping[str, float], names: Mapping[str, str]
) -> dict[str, Any]:
    hours = {
        name: sums[column] / 3600.0 / (_GIB if column.endswith("byte_s") else 1.0) for name, column in HOURS.items()
    }
    said = {name: names.get(value, value) if name == "person" else value for name, value in zip(by, key, strict=True)}
    records = int(sums["started"] + sums["carried"])
    # Missing is never zero: without a measurement nobody knows.
    known = sums["measured_s"] > 0
    active = {
        "active_device_hours": sums["active_s"] / 3600.0 if known else None,
        "energy_kwh": sums["energy_j"] / 3.6e6 if sums["energy_j"] > 0 else None,
    }
    return said | {"records": records} | hours | active | {"quarantined": int(sums["quarantined"])}


def coverage(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the time in these rows that was seen, 0 to 1; None where there is none."""
    observed, inferred = (sum(row[name] for row in rows) for name in ("observed_hours", "inferred_hours"))
    return observed / (observed + inferred) if observed + inferred > 0 else None


def certainty(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How much of it was seen, in sentences: a sum that does not say so is taken for the truth."""
    share, lines = coverage(rows), []
    if share is not None:
        minutes = 60 * sum(row["inferred_hours"] for row in rows)
        lines.append(f"{100 * share:.1f} % observed, {minutes:.0f} min inferred.")
    if quarantined := sum(row["quarantined"] for row in rows):
        lines.append(f"{quarantined} in quarantine: their times cannot be true, and they count nothing.")
    return lines
