"""`aiinfn platform`: check a platform file, render or explain it, print its JSON Schema or the example."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aiinfn_hub.catalogue.document import read_document
from aiinfn_hub.catalogue.loader import example_path, load_platform, problem_line, problem_of
from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.errors import AiinfnError, CatalogueInvalid, InvalidInput, NotFound
from aiinfn_hub.identity.access import rulings
from aiinfn_hub.install.render import PARTS, render


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `platform` to the command line."""
    parser = subparsers.add_parser("platform", help="check a platform file, and render what it asks for")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="report every mistake of platform files",
        description="Report every mistake of platform files, with line, path and nearest valid key.",
        epilog="Exit codes: 0 no mistake (notes aside), 1 mistakes, 2 wrong usage, 3 the cluster does not answer.",
    )
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument(
        "--against-cluster",
        action="store_true",
        help="compare with the nodes, claims and namespaces of a cluster, too",
    )
    check.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="of the cluster; else $KUBECONFIG, or the pod's own"
    )
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
    _register_explain(actions)
    schema = actions.add_parser("schema", help="print the JSON Schema, for editors")
    schema.set_defaults(func=_schema)
    example = actions.add_parser("example", help="print a commented example, to start from")
    example.set_defaults(func=_example)


def _register_explain(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = actions.add_parser(
        "explain",
        help="say why somebody sees a flavour, or does not",
        description="Say what the platform file grants to somebody in these groups, rule by rule, and what is missing.",
        epilog="Exit codes: 0 told, 1 the file has mistakes or no such flavour, 2 wrong usage.",
    )
    explain.add_argument("file", type=Path, metavar="FILE")
    explain.add_argument(
        "--group", action="append", default=[], metavar="PATH", help="of the person at the IAM; once for each"
    )
    explain.add_argument("--flavour", metavar="NAME", help="only what decides about this one")
    explain.add_argument("--json", action="store_true", help="print JSON, for programs")
    explain.set_defaults(func=_explain)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a platform file, as editors read it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Platform.model_json_schema()}


def _check(args: argparse.Namespace) -> int:
    problems: list[dict[str, Any]] = []
    good: dict[Path, Platform] = {}
    for path in args.files:
        try:
            good[path] = load_platform(path)
        except CatalogueInvalid as error:
            problems += error.details["problems"]
    notes: list[dict[str, Any]] = []
    if args.against_cluster and good:
        try:
            _compare(args.kubeconfig, good, problems, notes)
        except AiinfnError as error:
            print(f"aiinfn: {error}", file=sys.stderr)
            return 3
    if args.json:
        print(json.dumps({"problems": problems} | ({"notes": notes} if args.against_cluster else {}), indent=2))
    else:
        wrong = {problem["file"] for problem in problems}
        right = [f"{p}: no mistakes: {_summary(platform)}." for p, platform in good.items() if str(p) not in wrong]
        print("\n".join([*right, *_lines(problems, notes)]))
    return 1 if problems else 0


def _compare(
    kubeconfig: Path | None,
    good: Mapping[Path, Platform],
    problems: list[dict[str, Any]],
    notes: list[dict[str, Any]],
) -> None:
    """Add what the cluster has otherwise.

    Raises:
        AiinfnError: the cluster does not answer.
    """
    # Its client takes a second to import, which a check of the file alone need not wait for.
    from aiinfn_hub.install.against_reader import compare_all  # noqa: PLC0415

    remarks = asyncio.run(compare_all(kubeconfig, list(good.values())))
    for path, found in zip(good, remarks, strict=True):
        document = read_document(path.read_text(encoding="utf-8"))
        for remark in sorted(found, key=lambda one: document.line(one.finding.location)):
            problem = problem_of(str(path), document, remark.finding)
            (notes if remark.note else problems).append(problem)


def _lines(problems: Sequence[dict[str, Any]], notes: Sequence[dict[str, Any]]) -> Iterator[str]:
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        yield from _table(problems, width, "to correct")
        yield from _table(notes, width, "to know")
    else:
        yield from map(problem_line, problems)
        yield from (problem_line(note | {"message": f"note: {note['message']}"}) for note in notes)


def _render(args: argparse.Namespace) -> int:
    platform = load_platform(args.file)
    try:
        print(render(args.part, platform), end="")
    except InvalidInput as error:
        raise InvalidInput(f"{args.file}: {error.message}", hint=error.hint) from error
    return 0


def _explain(args: argparse.Namespace) -> int:
    platform = load_platform(args.file)
    found = rulings(platform, args.group)
    if args.flavour:
        known = [flavour.name for flavour in platform.flavours]
        if args.flavour not in known:
            near = get_close_matches(args.flavour, known, n=1) or known
            raise NotFound(f"{args.file} has no flavour {args.flavour!r}.", hint=f"Did you mean {' or '.join(near)}?")
        found = tuple(one for one in found if one.about in ("", args.flavour) and not one.id.startswith("operator"))
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            print(f"{'yes' if one.granted else 'no ':3}  {one.sentence}  [{one.id}]")
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


def _table(problems: Sequence[dict[str, Any]], width: int, what: str) -> Iterator[str]:
    """Columns for a terminal of so many characters; what is long is wrapped in its column."""
    for file in dict.fromkeys(problem["file"] for problem in problems):
        here = [problem for problem in problems if problem["file"] == file]
        paths = max(len("path"), *(len(problem["path"]) for problem in here))
        yield f"{file}: {len(here)} {what}"
        yield f"  {'line':>5}  {'path':{paths}}  what is wrong"
        for problem in here:
            nearest = f" (nearest: {problem['nearest']})" if problem["nearest"] else ""
            indent = " " * (paths + 11)
            text = textwrap.wrap(problem["message"] + nearest, max(width - len(indent), 30), break_on_hyphens=False)
            yield f"  {problem['line']:>5}  {problem['path']:{paths}}  " + f"\n{indent}".join(text)
