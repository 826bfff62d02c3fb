"""`aiinfn service`: the service process from the command line."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from aiinfn_hub.service.config import load_config

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it


def register(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("service", help="run the service beside the hub")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run_parser = commands.add_parser("run", help="run until SIGTERM")
    run_parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, YAML or JSON")
    run_parser.add_argument("--debug", action="store_true", help="log more")
    run_parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the service until it is told to stop."""
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # One line a request, with addresses that hold capabilities of nobody, but too many of them.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return asyncio.run(_serve(arguments.config))


async def _serve(path: Path) -> int:
    from aiinfn_hub.service.app import Service  # noqa: PLC0415  JupyterHub takes a second to import; --help need not

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # What was imported stays: a round of the garbage collector over all of it would hold up every request for 0.2 s.
    gc.collect()
    gc.freeze()
    service = Service(load_config(path), logging.getLogger("aiinfn.service"))
    await service.start()
    try:
        await stop.wait()
    finally:
        await service.stop()
    return 0
