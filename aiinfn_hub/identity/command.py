"""`aiinfn users`: which username belongs to which subject of the IAM; looked at, and mended, while the hub runs.

And what stays of somebody who leaves: `home_command`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

from aiinfn_hub.contract.columns import columns
from aiinfn_hub.errors import NotFound
from aiinfn_hub.identity import home_command
from aiinfn_hub.identity.bindings import Binding, Bindings
from aiinfn_hub.identity.uids import Uids


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `users` to the command line."""
    parser = subparsers.add_parser("users", help="list and mend which username belongs to whom")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="everybody who ever logged in, with their subject at the IAM")
    listing.set_defaults(func=_list)
    show = actions.add_parser("show", help="one person, by username or subject")
    show.add_argument("who", metavar="NAME|SUB")
    show.set_defaults(func=_show)
    give = actions.add_parser(
        "give",
        help="give a username, and the home that goes with it, to a subject",
        description="For somebody whom the IAM has given a new subject (the account was deleted and made again), or "
        "who had a home here before the first login. Without --yes it only says what it would do. A username is never "
        "free again: who had it cannot log in any more, and is refused with the reason.",
    )
    give.add_argument("name", metavar="NAME")
    give.add_argument("sub", metavar="SUB", help="the subject, as the IAM shows it on the person's page (a UUID)")
    give.add_argument("--yes", action="store_true", help="do it")
    give.set_defaults(func=_give)
    number = actions.add_parser(
        "uid",
        help="give a username another POSIX user",
        description="For somebody whose number has changed at the IAM. Without --yes it only says what it would do. "
        "The files do not change: chown the home.",
    )
    number.add_argument("name", metavar="NAME")
    number.add_argument("uid", metavar="UID", type=int)
    number.add_argument("--yes", action="store_true", help="do it")
    number.set_defaults(func=_uid)
    for action in (listing, show, give, number, home_command.register(actions)):
        action.add_argument(
            "--file", type=Path, required=True, metavar="FILE", help="IamAuthenticator.binding_file of the hub"
        )
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="print JSON, for programs")


def _list(args: argparse.Namespace) -> int:
    _print(_table(args.file).everybody(), args)
    return 0


def _show(args: argparse.Namespace) -> int:
    everybody = _table(args.file).everybody()
    found = [one for one in everybody if args.who in (one.name, one.sub)]
    if not found:
        near = get_close_matches(args.who, [one.name for one in everybody], n=3)
        raise NotFound(f"Nobody here is {args.who!r}.", hint=f"Did you mean {' or '.join(near)}?" if near else "")
    _print(found, args)
    return 0


def _give(args: argparse.Namespace) -> int:
    before = _table(args.file).give(args.name, args.sub, dry_run=not args.yes)
    if not args.yes:
        whose = f"now of {before.sub}, since {before.bound} UTC" if before else "which nobody has"
        print(f"Would give the username {args.name}, {whose}, to {args.sub}. Nothing was changed: say it with --yes.")
        return 0
    print(f"The username {args.name} belongs to {args.sub}. It holds from the next login.")
    if before is not None and before.sub != args.sub:
        print(f"Whoever is still logged in as {before.sub} should be logged out: delete the tokens of {args.name}.")
    return 0


def _uid(args: argparse.Namespace) -> int:
    _table(args.file)
    before = Uids(args.file).put(args.name, args.uid, dry_run=not args.yes)
    whose = f"now {before}" if before is not None else "which has none"
    if not args.yes:
        print(f"Would make {args.name}, {whose}, the user {args.uid}. Nothing was changed: say it with --yes.")
        return 0
    print(f"{args.name} is the user {args.uid} from the next start of a session. Give that user the files of the home.")
    return 0


def _table(path: Path) -> Bindings:
    if not path.is_file():
        # `Bindings` would make one, in which everybody is missing.
        raise NotFound(f"There is no file {path}.", hint="IamAuthenticator.binding_file of the hub says where it is.")
    return Bindings(path)


def _print(found: list[Binding], args: argparse.Namespace) -> None:
    uids = Uids(args.file).everybody()
    if args.json:
        json.dump([asdict(one) | {"uid": uids.get(one.name)} for one in found], sys.stdout, indent=1)
        print()
        return
    rows: list[tuple[str, ...]] = [
        ("USERNAME", "UID", "SUBJECT", "NAME AT THE IAM", "SINCE (UTC)"),
        *((o.name, str(uids.get(o.name, "-")), o.sub, o.preferred, o.bound) for o in found),
    ]
    if not uids:  # people have none of their own here
        rows = [(row[0], *row[2:]) for row in rows]
    print(columns(rows))
