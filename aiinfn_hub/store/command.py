"""`aiinfn database`: a copy of everything in one file, and back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from aiinfn_hub.errors import NotFound
from aiinfn_hub.store.backup import backup, restore
from aiinfn_hub.store.engine import Database


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `database` to the command line."""
    parser = subparsers.add_parser("database", help="a copy of the service's database in one file, and back")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, work, text in (
        ("backup", backup, "write everything into one file, while the service runs"),
        ("restore", restore, "fill an empty database from such a file, also one of the other kind"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.add_argument("file", type=Path, metavar="FILE", help="gzipped lines of JSON; it has people's names")
        action.add_argument(
            "--database", type=Path, required=True, metavar="FILE", help="database_url_file of the service's settings"
        )
        action.set_defaults(func=_runs(work))


def _runs(work: Callable[..., int]) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        with opened(args.database) as database:
            count = work(database, args.file, said=lambda line: print(line, file=sys.stderr))
        print(f"{args.file}: {count} rows.")
        return 0

    return run


def opened(path: Path) -> Database:
    """The database whose URL is in a file.

    Raises:
        NotFound: there is no such file.
    """
    try:
        return Database(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise NotFound(
            f"There is no file {path} to read.", hint="database_url_file of the service says where."
        ) from error
