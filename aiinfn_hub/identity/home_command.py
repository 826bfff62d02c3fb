"""`aiinfn users home`: what happens to the home of somebody who leaves."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.identity import homes
from aiinfn_hub.identity.bindings import Bindings
from aiinfn_hub.identity.uids import Uids
from aiinfn_hub.pods.storage import filled


def register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add `home` to the actions of `aiinfn users`."""
    home = actions.add_parser(
        "home",
        help="archive or delete the home of somebody who leaves",
        description="Where the storage of the homes is mounted, as a user who may read and delete all of it. Without "
        "--yes it only says what it would do. The username stays theirs for ever, and so do the records of what they "
        "used; files in shares belong to the activity and stay there.",
    )
    home.add_argument("name", metavar="NAME")
    home.add_argument("--platform", type=Path, required=True, metavar="FILE", help="the platform file")
    home.add_argument("--root", type=Path, required=True, metavar="DIR", help="where the claim of the homes is mounted")
    home.add_argument("--archive", type=Path, metavar="DIR", help="write NAME-DATE.tar.gz there, and read it again")
    home.add_argument("--delete", action="store_true", help="delete the home, after the archive if there is one")
    home.add_argument("--yes", action="store_true", help="do it")
    home.set_defaults(func=_home)
    return home


def _home(args: argparse.Namespace) -> int:
    found = _found(args)
    print(f"{found.path}: {found.entries} files and folders, {_megabytes(found.size_bytes)}, of user {found.uid}.")
    if args.archive is None and not args.delete:
        print("Nothing was asked: add --archive DIR, --delete or both.")
        return 0
    target = None
    if args.archive is not None:
        if not args.archive.is_dir() or args.archive.resolve().is_relative_to(found.path.resolve()):
            raise InvalidInput(
                f"{args.archive} is no folder for archives.", hint="It must be there, outside of the home."
            )
        target = args.archive / f"{found.path.name}-{datetime.now(UTC):%Y-%m-%d}.tar.gz"
    if not args.yes:
        steps = [f"archive it as {target}"] * bool(target) + ["delete it"] * args.delete
        print(f"Would {' and then '.join(steps)}. Nothing was changed: say it with --yes.")
        return 0
    if target:
        print(f"Archived as {target}, {_megabytes(homes.archive(found, target))}.")
    if args.delete:
        homes.delete(found)
        print(f"Deleted. {args.name} would start with an empty home; whether they may log in is decided at the IAM.")
    return 0


def _found(args: argparse.Namespace) -> homes.Home:
    """The home, if the username is one of ours and the folder is that person's."""
    if not args.file.is_file():
        raise NotFound(
            f"There is no file {args.file}.", hint="IamAuthenticator.binding_file of the hub says where it is."
        )
    if args.name not in {one.name for one in Bindings(args.file).everybody()}:
        raise NotFound(f"Nobody here is {args.name!r}.", hint="aiinfn users list shows who is.")
    platform = load_platform(args.platform)
    if platform.home is None:
        raise InvalidInput(f"{args.platform} has no volume of kind home.")
    home = homes.look(args.root, filled(platform.home.sub_path, args.name, platform.activities[0]))
    homes.check_owner(home, Uids(args.file).known(args.name) if platform.posix else None)
    return home


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
