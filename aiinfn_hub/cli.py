"""The `aiinfn` command; its subcommands are entry points of the group `aiinfn.commands`.

Exit codes: 0 done; 1 it did not work, and stderr says why and what to do next; 2 wrong usage; 130 interrupted.
A subcommand is a function `register(subparsers)` whose parsers set `func`: from the arguments to an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from aiinfn_hub import __version__
from aiinfn_hub.errors import AiinfnError, Unavailable

GROUP = "aiinfn.commands"
#: Where a subcommand lives, and the extra that brings what it imports; the first that fits.
EXTRAS = {"aiinfn_hub.local": "aiinfn[demo]", "aiinfn_hub": "aiinfn[hub]", "aiinfn_labext": "aiinfn[lab]"}
OTHER = "another package"
EPILOG = "Exit codes: 0 done, 1 it did not work (stderr says why), 2 wrong usage, 130 interrupted."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Raises:
        SystemExit: by argparse, with 0 after help and version, with 2 on wrong usage.
    """
    argv = sys.argv[1:] if argv is None else argv
    commands = _needed(list(entry_points(group=GROUP)), argv)
    args = build_parser(commands).parse_args(argv)
    try:
        code = int(args.func(args))
        sys.stdout.flush()
    except AiinfnError as error:
        return _say(error)
    except ModuleNotFoundError as error:
        # A command may import what it needs only when it runs.
        return _say(_lacking(commands[0], error))
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; without this, Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def build_parser(commands: Iterable[EntryPoint]) -> argparse.ArgumentParser:
    """The parser with these subcommands; one that cannot be imported is listed with what it needs."""
    parser = argparse.ArgumentParser(prog="aiinfn", description="Sessions, jobs and accounting of GPUs.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"aiinfn {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in sorted(commands, key=lambda command: command.name):
        try:
            register = command.load()
        except ImportError as error:
            _register_missing(subparsers, command, error)
        else:
            register(subparsers)
    return parser


def _say(error: AiinfnError) -> int:
    print(f"aiinfn: {error.message}", error.hint, sep="\n" if error.hint else "", file=sys.stderr)
    return 1


def _needed(commands: list[EntryPoint], argv: Sequence[str]) -> list[EntryPoint]:
    """The one command that is called, so that `aiinfn offload` does not wait for the imports of the hub; or all."""
    return [command for command in commands if command.name in argv[:1]] or commands


def _register_missing(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser], command: EntryPoint, error: ImportError
) -> None:
    lacking = _lacking(command, error)

    def refuse(_args: argparse.Namespace) -> int:
        raise lacking

    # Nobody types NUL: so whatever follows the command is taken, options too, and answered with what is missing.
    parser = subparsers.add_parser(command.name, help=f"needs {_extra(command)}", add_help=False, prefix_chars="\0")
    parser.add_argument("rest", nargs="*")
    parser.set_defaults(func=refuse)


def _lacking(command: EntryPoint, error: ImportError) -> AiinfnError:
    needs = _extra(command)
    hint = f"See who ships {command.module}." if needs == OTHER else f"Install it: pip install '{needs}'"
    return Unavailable(f"`aiinfn {command.name}` needs {needs}: {error}.", hint=hint)


def _extra(command: EntryPoint) -> str:
    """The extra of our distribution that brings what the command imports."""
    return next((extra for place, extra in EXTRAS.items() if f"{command.module}.".startswith(f"{place}.")), OTHER)
