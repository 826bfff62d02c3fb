"""`aiinfn accounting close`, `correct`, `reconcile` and `erase`: what an operator does to the ledger by hand."""

from __future__ import annotations

import argparse
import getpass
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiinfn_hub.accounting import months, rollups
from aiinfn_hub.accounting.months import Author
from aiinfn_hub.accounting.reconcile import reconcile
from aiinfn_hub.accounting.rollups import moment
from aiinfn_hub.accounting.signing import Signer, fingerprint, known_signers
from aiinfn_hub.accounting.subjects import aliases, erase
from aiinfn_hub.accounting.windows import add_database, add_window, month_of, window
from aiinfn_hub.contract.columns import columns
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.command import opened
from aiinfn_hub.store.ledger_tables import GROUPS

#: Of a correction that is typed: option, column, and by what its hours are multiplied.
TYPED = (("held_hours", "held_s"), ("device_hours", "device_s"), ("gpu_hours", "weighted_s"))


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the four to `aiinfn accounting`."""
    close = _action(actions, "close", "seal a month: its sums stay, and later news are corrections", _close)
    close.add_argument("--month", required=True, metavar="YYYY-MM")
    _add_key(close)
    correct = _action(actions, "correct", "add to a closed month, or with a minus take from it", _correct)
    correct.add_argument("--month", required=True, metavar="YYYY-MM")
    _add_key(correct)
    correct.add_argument("--reason", required=True, metavar="TEXT", help="why, for whoever reads it in a year")
    correct.add_argument("--from-records", action="store_true", help="what the records say by now")
    for name in GROUPS:
        correct.add_argument(f"--{name}", metavar="NAME", help="whose sum it is, for hours that are typed")
    for option, _ in TYPED:
        correct.add_argument(f"--{option.replace('_', '-')}", type=float, metavar="HOURS", help="for example -2.5")
    check = _action(actions, "reconcile", "where the sources disagree, and what to do", _reconcile)
    add_window(check)
    check.add_argument("--signers", type=Path, metavar="FILE", help="public keys of who may sign, one a line")
    forget = _action(actions, "erase", "take a person's name out of the ledger; no sum changes", _erase)
    forget.add_argument("--person", required=True, metavar="NAME")


def _add_key(parser: argparse.ArgumentParser) -> None:
    text = "your Ed25519 key, as ssh-keygen -t ed25519 makes it; it signs what you do"
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help=text)


def _signer(args: argparse.Namespace) -> Signer:
    return Signer.of_file(args.key, lambda: getpass.getpass(f"Passphrase of {args.key}: "))


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_database(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(func=run)
    return parser


def _close(args: argparse.Namespace) -> int:
    start, _ = month_of(args.month)
    now, signer = time.time(), _signer(args)
    with opened(args.database) as database:
        while database.run(rollups.roll, now=now):
            pass  # a day at a time: in the transaction of the close, the service would wait for all of it
        row = database.run(months.close, start, by=getpass.getuser(), signer=signer, now=now)
    signed = f"signed by {fingerprint(signer.public)}"
    sentence = f"{args.month} is closed: {row['sums']} sums, sha256 {row['sha256']}, {signed}."
    return _say(args, {"month": args.month} | {name: row[name] for name in ("sums", "sha256", "signer")}, sentence)


def _correct(args: argparse.Namespace) -> int:
    start, _ = month_of(args.month)
    signer = _signer(args)
    with opened(args.database) as database:
        if args.from_records:
            deltas = database.run(months.news, start)
        else:
            key = _key(args)
            alias = database.run(aliases, [key["person"]], now=time.time())[key["person"]] if key["person"] else ""
            deltas = {tuple((key | {"person": alias}).values()): _typed(args)}
        source = "records" if args.from_records else "typed"
        author = Author(by=getpass.getuser(), reason=args.reason, source=source)
        rows = database.run(months.correct, start, deltas, author, signer=signer, now=time.time())
    hours = sum(row["weighted_s"] for row in rows) / 3600
    sentence = f"{args.month}: {len(rows)} corrections, {hours:+.2f} GPU-h. sha256 {rows[-1]['sha256']}."
    return _say(args, {"month": args.month, "corrections": rows}, sentence)


def _key(args: argparse.Namespace) -> dict[str, str]:
    key = {name: getattr(args, name) or "" for name in GROUPS}
    missing = [name for name in ("activity", "flavour", "kind") if not key[name]]
    if missing:
        raise InvalidInput(f"--{missing[0]} is missing: whose sum is to change?", hint="Or use --from-records.")
    return key


def _typed(args: argparse.Namespace) -> dict[str, float]:
    found = {column: getattr(args, option) * 3600 for option, column in TYPED if getattr(args, option) is not None}
    if not any(found.values()):
        raise InvalidInput("By how many hours? Give --gpu-hours, --device-hours or --held-hours.")
    return found


def _reconcile(args: argparse.Namespace) -> int:
    now = time.time()
    since, until = window(args.month, args.since, args.until, now=now)
    signers = known_signers(args.signers) if args.signers else set()
    with opened(args.database) as database:
        found = database.run(reconcile, since=since, until=until, now=now, signers=signers)
    head = f"From {moment(since)} to {moment(until)}"
    lines = [[one.kind, one.about, one.sentence] for one in found]
    steps = sorted({f"{one.kind}: {one.next_step}" for one in found})
    table = columns([["WHAT", "ABOUT", "WHAT DISAGREES"], *lines])
    text = "\n".join([head, "", table, "", "What to do:", *steps]) if found else f"{head}: nothing disagrees."
    _say(args, {"since": moment(since), "until": moment(until), "disagreements": [asdict(one) for one in found]}, text)
    return 1 if found else 0


def _erase(args: argparse.Namespace) -> int:
    with opened(args.database) as database:
        alias = database.run(erase, args.person)
    return _say(args, {"alias": alias}, f"The ledger knows {args.person} as {alias} from now on, and not who that is.")


def _say(args: argparse.Namespace, found: dict[str, Any], text: str) -> int:
    print(json.dumps(found, indent=1) if args.json else text)
    return 0
