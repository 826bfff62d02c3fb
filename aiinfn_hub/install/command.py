"""`aiinfn platform`: check a platform file, render what a cluster needs of it, print its JSON Schema or the example."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from aiinfn_hub.catalogue.loader import example_path, load_platform, problem_line
from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.errors import CatalogueInvalid, InvalidInput
from aiinfn_hub.install.render import PARTS, render


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `platform` to the command line."""
    parser = subparsers.add_parser("platform", help="check a platform file, and render what it asks for")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="report every mistake of platform files",
        description="Report every mistake of platform files, with line, path and nearest valid key.",
        epilog="Exit codes: 0 no mistake, 1 mistakes, 2 wrong usage.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument("--json", action="store_true", help="print JSON, for programs")
    check.set_defaults(func=_check)
    rendering = actions.add_parser(
        "render",
        help="print what a cluster needs, as YAML for kubectl apply",
        description="Print, as YAML documents:\n" + "".join(f"  {name:10}{use}\n" for name, (use, _) in PARTS.items()),
        epilog="Exit codes: 0 printed, 1 the file has mistakes or does not say enough, 2 wrong usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rendering.add_argument("part", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    rendering.add_argument("file", type=Path, metavar="FILE")
    rendering.set_defaults(func=_render)
    schema = actions.add_parser("schema", help="print the JSON Schema, for editors")
    schema.set_defaults(func=_schema)
    example = actions.add_parser("example", help="print a commented example, to start from")
    example.set_defaults(func=_example)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a platform file, as editors read it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Platform.model_json_schema()}


def _check(args: argparse.Namespace) -> int:
    problems: list[dict[str, Any]] = []
    good: list[str] = []
    for path in args.files:
        try:
            good.append(f"{path}: no mistakes: {_summary(load_platform(path))}.")
        except CatalogueInvalid as error:
            problems += error.details["problems"]
    if args.json:
        print(json.dumps({"problems": problems}, indent=2))
        return 1 if problems else 0
    lines = _table(problems, shutil.get_terminal_size().columns) if sys.stdout.isatty() else map(problem_line, problems)
    print("\n".join([*good, *lines]))
    return 1 if problems else 0


def _render(args: argparse.Namespace) -> int:
    platform = load_platform(args.file)
    try:
        print(render(args.part, platform), end="")
    except InvalidInput as error:
        raise InvalidInput(f"{args.file}: {error.message}", hint=error.hint) from error
    return 0


def _schema(_args: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0


def _example(_args: argparse.Namespace) -> int:
    print(example_path().read_text(encoding="utf-8"), end="")
    return 0


def _summary(platform: Platform) -> str:
    sections = ("flavours", "images", "volumes", "sites", "activities")
    return ", ".join(f"{len(getattr(platform, section))} {section}" for section in sections)


def _table(problems: Sequence[dict[str, Any]], width: int) -> Iterator[str]:
    """Columns for a terminal of so many characters; what is long is wrapped in its column."""
    for file in dict.fromkeys(problem["file"] for problem in problems):
        here = [problem for problem in problems if problem["file"] == file]
        paths = max(len("path"), *(len(problem["path"]) for problem in here))
        yield f"{file}: {len(here)} to correct"
        yield f"  {'line':>5}  {'path':{paths}}  what is wrong"
        for problem in here:
            nearest = f" (nearest: {problem['nearest']})" if problem["nearest"] else ""
            indent = " " * (paths + 11)
            text = textwrap.wrap(problem["message"] + nearest, max(width - len(indent), 30), break_on_hyphens=False)
            yield f"  {problem['line']:>5}  {problem['path']:{paths}}  " + f"\n{indent}".join(text)
