"""`aiinfn doctor`: look at a cluster and name its traps."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from pathlib import Path

from aiinfn_hub.catalogue import Platform, load_platform
from aiinfn_hub.errors import AiinfnError, CatalogueInvalid
from aiinfn_hub.install.doctor.facts import Facts
from aiinfn_hub.install.doctor.findings import examine
from aiinfn_hub.install.doctor.reader import PATIENCE_S, read
from aiinfn_hub.install.doctor.shown import as_json, as_text
from aiinfn_hub.install.doctor.table import CHECKS
from aiinfn_hub.kube.client import KubeClient

EPILOG = (
    "Exit codes: 0 nothing found (notes aside), 1 something found, or something that could not be looked at, "
    "2 wrong usage or a platform file with mistakes, 3 the cluster does not answer."
)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="look at a cluster and name its traps",
        description="Look at a cluster, change nothing, and name each trap: what it does to people, where it was seen, "
        "and the line that mends it.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="of the cluster; else $KUBECONFIG, or the pod's own"
    )
    parser.add_argument(
        "--platform", type=Path, metavar="FILE", help="compare with what is rendered from this platform file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(func=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    try:
        platform = load_platform(args.platform) if args.platform else None
    except CatalogueInvalid as error:
        return _refused(error, 2)
    try:
        facts = asyncio.run(_read(args.kubeconfig, platform, str(args.platform or "platform.yaml")))
    except AiinfnError as error:
        return _refused(error, 3)
    findings = examine(facts, CHECKS)
    if args.json:
        print(as_json(findings))
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = shutil.get_terminal_size().columns
        print(as_text(findings, made=len(CHECKS), width=width, coloured=coloured))
    return 1 if any(finding.level != "note" for finding in findings) else 0


def _refused(error: AiinfnError, code: int) -> int:
    print(f"aiinfn: {error}", file=sys.stderr)
    return code


async def _read(kubeconfig: Path | None, platform: Platform | None, file: str) -> Facts:
    client = await KubeClient.connect(kubeconfig, request_s=PATIENCE_S)
    try:
        return await read(client, platform, file)
    finally:
        await client.close()
