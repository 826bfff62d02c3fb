"""`aiinfn accounting`: who used how much of which accelerator, for which activity, from the ledger's own database."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiinfn_hub.accounting import usage
from aiinfn_hub.contract.columns import columns
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.tables import GROUPS

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)
#: The columns of numbers: key of a row of `by_group`, what stands above it, how it is written.
NUMBERS = (
    ("records", "NUMBER", "{:.0f}"),
    ("held_hours", "HELD H", "{:.2f}"),
    ("running_hours", "RUN H", "{:.2f}"),
    ("device_hours", "DEVICE H", "{:.2f}"),
    ("weighted_gpu_hours", "GPU-H", "{:.2f}"),
    ("cpu_core_hours", "CORE-H", "{:.2f}"),
    ("memory_gib_hours", "GIB-H", "{:.2f}"),
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
    report.add_argument(
        "--database", type=Path, required=True, metavar="FILE", help="database_url_file of the service's settings"
    )
    report.add_argument("--month", metavar="YYYY-MM", help="a month, UTC; without a window it is the present one")
    report.add_argument("--since", metavar="TIME", help="as in 2026-11-01 or 2026-11-01T12:00")
    report.add_argument("--until", metavar="TIME", help="not included; without it, now")
    report.add_argument("--by", default="activity,flavour,kind", metavar="COLUMNS", help=", ".join(GROUPS))
    report.add_argument("--activity", metavar="NAME", help="only this one")
    report.add_argument("--person", metavar="NAME", help="only this one")
    report.add_argument("--json", action="store_true", help="print JSON, for programs")
    report.set_defaults(func=_report)


def _report(args: argparse.Namespace) -> int:
    now = time.time()
    since, until = window(args.month, args.since, args.until, now=now)
    by = tuple(part.strip() for part in args.by.split(","))
    database = Database(_url(args.database))
    try:
        rows = asyncio.run(
            database.read(usage.by_group, since=since, until=until, by=by, person=args.person, activity=args.activity)
        )
    finally:
        database.close()
    found = summary(rows, since=since, until=until, by=by)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print(as_text(found))
    return 0


def summary(rows: Sequence[Mapping[str, Any]], *, since: float, until: float, by: Sequence[str]) -> dict[str, Any]:
    """The report as programs read it: window (ISO 8601, UTC), rows, their sums, and how much of it was seen."""
    total = {key: sum(row[key] for row in rows) for key in (rows[0] if rows else {}) if key not in GROUPS}
    return {
        "since": _iso(since),
        "until": _iso(until),
        "by": list(by),
        "rows": [dict(row) for row in rows],
        "total": total,
        "coverage": usage.coverage(rows),
    }


def as_text(found: Mapping[str, Any]) -> str:
    """The report as people read it."""
    head = f"From {found['since']} to {found['until']}"
    if not found["rows"]:
        return f"{head}: nobody held anything."
    lines = [[*(str(row[name]) for name in found["by"]), *_numbers(row)] for row in found["rows"]]
    titles = [*(name.upper() for name in found["by"]), *(title for _, title, _ in NUMBERS)]
    total = ["total", *[""] * (len(found["by"]) - 1), *_numbers(found["total"])]
    table = columns([titles, *lines, total], right=len(found["by"]))
    return "\n".join([head, "", table, "", *usage.certainty(found["rows"])])


def window(month: str | None, since: str | None, until: str | None, *, now: float) -> tuple[float, float]:
    """The window that was asked for, in Unix seconds and up to now; the present month where none was.

    Raises:
        InvalidInput: what was written is no time, both ways were used, or the window is empty.
    """
    if month and (since or until):
        raise InvalidInput("--month is a window already.", hint="Use --month, or --since and --until.")
    begin, end = _month(month or f"{datetime.fromtimestamp(now, UTC):%Y-%m}")
    if since:
        begin, end = _moment(since, "--since"), now
    if until:
        end = _moment(until, "--until")
    end = min(end, now)  # nothing was held yet of what is to come
    if begin >= end:
        raise InvalidInput(f"From {_iso(begin)} to {_iso(end)} there is no time.", hint="--since is the earlier one.")
    return begin, end


def _month(text: str) -> tuple[float, float]:
    match = _MONTH.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1970:
        raise InvalidInput(f"{text!r} is no month.", hint="Write it as 2026-11.")
    year, number = int(match[1]), int(match[2])
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=UTC).timestamp(), datetime(*after, 1, tzinfo=UTC).timestamp()


def _moment(text: str, option: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{option} {text!r} is no time.", hint="Write it as 2026-11-01 or 2026-11-01T12:00."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [form.format(row[key]) for key, _, form in NUMBERS]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def _url(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NotFound(
            f"There is no file {path} to read.", hint="database_url_file of the service says where."
        ) from error
