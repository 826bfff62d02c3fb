"""The reference pages that are made from the code: errors, settings, routes, platform file, states, command, doctor."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from aiinfn_hub import errors
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.cli import GROUP, build_parser
from aiinfn_hub.contract.jobs import FINAL, TRANSITIONS
from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.install.doctor.table import CHECKS, OTHERS
from aiinfn_hub.service.openapi import document


def cell(text: object) -> str:
    """Text for a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(header: tuple[str, ...], rows: list[tuple[object, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell(value) for value in row) + " |"


def error_codes() -> Iterator[str]:
    yield "# Errors\n\nEvery answer that is not a success has a body of this form; `code` never changes.\n"
    yield '```json\n{"error": {"code": "forbidden", "message": "...", "hint": "...", "details": {}}}\n```\n'
    yield from table(
        ("code", "HTTP status", "meaning"),
        [(f"`{kind.code}`", kind.status, inspect.getdoc(kind)) for kind in errors.all_errors()],
    )


def traits() -> Iterator[str]:
    yield "# Settings of the hub\n\nWhat our two classes add to those of KubeSpawner and GenericOAuthenticator.\n"
    for kind in (AiinfnSpawner, IamAuthenticator):
        yield f"\n## {kind.__name__}\n"
        own = kind.class_own_traits(config=True)
        rows = [(f"`{name}`", trait.help, f"`{trait.default_value!r}`") for name, trait in sorted(own.items())]
        yield from table(("setting", "meaning", "default"), rows)


def states() -> Iterator[str]:
    yield "# States of a job\n\nThe same words in magic, panel, REST and metrics.\n"
    rows = [
        (f"`{state}`", ", ".join(f"`{s}`" for s in sorted(follow)) or "-", "yes" if state in FINAL else "")
        for state, follow in TRANSITIONS.items()
    ]
    yield from table(("state", "may be followed by", "final"), rows)


def routes() -> Iterator[str]:
    yield "# REST API\n\nOf the service; the whole document is served as `api/openapi.json`.\n"
    rows = [
        (f"`{method.upper()}`", f"`{path}`", operation.get("summary", ""))
        for path, item in sorted(document()["paths"].items())
        for method, operation in item.items()
        if method in ("get", "post", "put", "head", "delete")
    ]
    yield from table(("method", "path", "what it does"), rows)


def platform_file() -> Iterator[str]:
    yield "# The platform file\n\n`aiinfn platform check FILE` finds every mistake;"
    yield "`aiinfn platform schema` is for editors.\n"
    schema: dict[str, Any] = Platform.model_json_schema()
    for name, part in ({"Platform": schema} | schema["$defs"]).items():
        if "properties" not in part:
            continue
        yield f"\n## {name}\n\n{part.get('description', '')}\n"
        required = part.get("required", ())
        rows = [
            (f"`{key}`", _kind(value), "yes" if key in required else f"`{value.get('default', '')}`")
            for key, value in part["properties"].items()
        ]
        yield from table(("key", "value", "required, or default"), rows)


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return str(value["$ref"]).rsplit("/", 1)[-1]
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "anyOf" in value:
        return " or ".join(_kind(choice) for choice in value["anyOf"])
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    return str(value.get("description") or value.get("type", ""))


def doctor() -> Iterator[str]:
    yield "# Codes of the doctor\n\nWhat `aiinfn doctor` names; a code never changes. A note is no mistake: with notes"
    yield "alone, the command exits with 0. With each it prints where it was seen and the line that mends it.\n"
    for group in dict.fromkeys(check.group for check in CHECKS):
        yield f"\n## {group}\n"
        rows = [
            (f"`{check.code}`", check.says, "note" if check.level == "note" else "", "yes" if check.compares else "")
            for check in CHECKS
            if check.group == group
        ]
        yield from table(("code", "what it does to people", "", "needs `--platform`"), rows)
    yield "\n## Not known\n"
    yield from table(("code", "meaning"), [(f"`{code}`", says) for code, says in OTHERS.items()])


def command() -> Iterator[str]:
    yield "# The aiinfn command\n"
    yield from _help(parser(), "##")


def _help(parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    yield f"\n{level} `{parser.prog}`\n\n```text\n{parser.format_help()}```\n"
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _help(child, level)


def parser() -> argparse.ArgumentParser:
    return build_parser(entry_points(group=GROUP))


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "errors": error_codes,
    "hub-settings": traits,
    "job-states": states,
    "rest-api": routes,
    "platform-file": platform_file,
    "command": command,
    "doctor": doctor,
}


def write(folder: Path) -> None:
    """Write every page that changed (Sphinx rebuilds by time)."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, page in PAGES.items():
        text = "\n".join(page()) + "\n"
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
