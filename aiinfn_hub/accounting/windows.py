"""What the subcommands of `aiinfn accounting` have in common: the window that is asked for, and the database."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from aiinfn_hub.accounting.rollups import end_of, moment
from aiinfn_hub.errors import InvalidInput

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


def add_database(parser: argparse.ArgumentParser) -> None:
    """The option that says where the ledger is."""
    parser.add_argument(
        "--database", type=Path, required=True, metavar="FILE", help="database_url_file of the service's settings"
    )


def add_window(parser: argparse.ArgumentParser) -> None:
    """The options that `window` reads."""
    parser.add_argument("--month", metavar="YYYY-MM", help="a month, UTC; without a window it is the present one")
    parser.add_argument("--since", metavar="TIME", help="as in 2026-11-01 or 2026-11-01T12:00")
    parser.add_argument("--until", metavar="TIME", help="not included; without it, now")


def window(month: str | None, since: str | None, until: str | None, *, now: float) -> tuple[float, float]:
    """The window that was asked for, in Unix seconds and up to now; the present month where none was.

    Raises:
        InvalidInput: what was written is no time, both ways were used, or the window is empty.
    """
    if month and (since or until):
        raise InvalidInput("--month is a window already.", hint="Use --month, or --since and --until.")
    begin, end = month_of(month or moment(now)[:7])
    if since:
        begin, end = _moment(since, "--since"), now
    if until:
        end = _moment(until, "--until")
    end = min(end, now)  # nothing was held yet of what is to come
    if begin >= end:
        raise InvalidInput(
            f"From {moment(begin)} to {moment(end)} there is no time.", hint="--since is the earlier one."
        )
    return begin, end


def month_of(text: str) -> tuple[float, float]:
    """Begin and end of a month of UTC that is written as 2026-11.

    Raises:
        InvalidInput: it is none.
    """
    match = _MONTH.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1970:
        raise InvalidInput(f"{text!r} is no month.", hint="Write it as 2026-11.")
    begin = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC).timestamp()
    return begin, end_of("month", begin)


def _moment(text: str, option: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{option} {text!r} is no time.", hint="Write it as 2026-11-01 or 2026-11-01T12:00."
        ) from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
