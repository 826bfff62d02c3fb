"""`aiinfn accounting`: who used how much of which accelerator, for which activity, from the ledger's own database."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiinfn_hub.accounting import books_command, refusals, usage
from aiinfn_hub.accounting.rollups import moment
from aiinfn_hub.accounting.windows import add_database, add_window, window
from aiinfn_hub.contract.columns import columns
from aiinfn_hub.store.command import opened
from aiinfn_hub.store.ledger_tables import GROUPS

#: The columns of numbers: key of a row of `by_group`, what stands above it, how it is written.
NUMBERS = (
    ("records", "NUMBER", "{:.0f}"),
    ("held_hours", "HELD H", "{:.2f}"),
    ("running_hours", "RUN H", "{:.2f}"),
    ("device_hours", "DEVICE H", "{:.2f}"),
    ("weighted_gpu_hours", "GPU-H", "{:.2f}"),
    ("cpu_core_hours", "CORE-H", "{:.2f}"),
    ("memory_gib_hours", "MEM GIB-H", "{:.2f}"),
    ("storage_gib_hours", "DISK GIB-H", "{:.2f}"),
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `accounting` to the command line."""
    parser = subparsers.add_parser("accounting", help="who used what, from the ledger")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    report = actions.add_parser(
        "report",
        help="hours by activity, flavour, kind or person",
        description="Hours that were held in a window of UTC. GPU-h are weighted: 1 is an hour of the card of "
        "weight 1 in the platform file, and each record keeps the weight of its day.",
    )
    add_database(report)
    add_window(report)
    report.add_argument("--by", default="activity,flavour,kind", metavar="COLUMNS", help=", ".join(GROUPS))
    report.add_argument("--activity", metavar="NAME", help="only this one")
    report.add_argument("--person", metavar="NAME", help="only this one")
    report.add_argument("--json", action="store_true", help="print JSON, for programs")
    report.set_defaults(func=_report)
    books_command.register(actions)


def _report(args: argparse.Namespace) -> int:
    now = time.time()
    since, until = window(args.month, args.since, args.until, now=now)
    by = tuple(part.strip() for part in args.by.split(","))
    scope = {"person": args.person, "activity": args.activity}
    with opened(args.database) as database:
        rows = database.run(usage.by_group, since=since, until=until, by=by, **scope)
        refused = database.run(refusals.refused, since=since, until=until, **scope)
    found = summary(rows, since=since, until=until, by=by) | {"refused": refused}
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print(as_text(found))
    return 0


def summary(rows: Sequence[Mapping[str, Any]], *, since: float, until: float, by: Sequence[str]) -> dict[str, Any]:
    """The report as programs read it: window (ISO 8601, UTC), rows, their sums, and how much of it was seen."""
    total = {key: _sum(row[key] for row in rows) for key in (rows[0] if rows else {}) if key not in GROUPS}
    return {
        "since": moment(since),
        "until": moment(until),
        "by": list(by),
        "rows": [dict(row) for row in rows],
        "total": total,
        "coverage": usage.coverage(rows),
    }


def _sum(values: Iterable[float | None]) -> float | None:
    """Of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def as_text(found: Mapping[str, Any]) -> str:
    """The report as people read it."""
    head = f"From {found['since']} to {found['until']}"
    refused = _refused(found["refused"])
    if not found["rows"]:
        return "\n".join([f"{head}: nobody held anything.", *refused])
    lines = [[*(str(row[name]) for name in found["by"]), *_numbers(row)] for row in found["rows"]]
    titles = [*(name.upper() for name in found["by"]), *(title for _, title, _ in NUMBERS), "ACTIVE"]
    total = ["total", *[""] * (len(found["by"]) - 1), *_numbers(found["total"])]
    table = columns([titles, *lines, total], right=len(found["by"]))
    return "\n".join([head, "", table, "", *usage.certainty(found["rows"]), *refused])


def _refused(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was asked for and not given: what to buy next, or whom to give more."""
    if not rows:
        return []
    titles = ["ACTIVITY", "FLAVOUR", "KIND", "QUOTA", "ASKS", "GPU-H"]
    names = ("activity", "flavour", "kind", "quota")
    lines = [
        [*(row[name] or "-" for name in names), str(row["asks"]), f"{row['weighted_gpu_hours']:.2f}"] for row in rows
    ]
    return ["", "Asked for and refused:", "", columns([titles, *lines], right=len(names))]


def _numbers(row: Mapping[str, Any]) -> list[str]:
    active, measured = row["active_device_hours"], row["measured_device_hours"]
    share = f"{100 * active / measured:.0f} %" if active is not None and measured else "-"
    return [*(form.format(row[key]) for key, _, form in NUMBERS), share]
