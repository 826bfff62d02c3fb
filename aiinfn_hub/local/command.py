"""`aiinfn demo`: the embedded platform from the command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.local.demo import Demo, Options
from aiinfn_hub.local.home import default_home

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no public name for it

NOTE = (
    "Its accelerators are pretended, and its accounts are not isolated from each other: "
    "every pod is a process of yours."
)
NEXT = """What to try:
  1. Open {hub_url} and log in as scientist.
  2. Choose a slice of an A100 and start a session; the form of another browser shows one fewer.
  3. In a notebook:   x = [1, 2, 3]
                      %%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait
                      total = sum(x) * 7
  4. See it in the panel: {panel_url}
Stop with Ctrl-C; files and records are kept in {home}."""


def register(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("demo", help="run the whole platform on this machine", description=NOTE)
    parser.add_argument(
        "--port", type=int, default=8000, help="where the hub listens on 127.0.0.1 (default: %(default)s)"
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=default_home(),
        help="folder of its state (default: aiinfn/demo in the XDG state directory)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write addresses and accounts, once it is ready")
    parser.add_argument("--platform", type=Path, default=example_path(), metavar="FILE", help="platform file to offer")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="use this cluster (with Kueue, and every right) in place of the embedded one: what is shipped is applied, "
        "and this machine joins it as tainted nodes that serve the platform's namespace",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--fixed-passwords", action="store_true", help="each account's password is its name (tests; random otherwise)"
    )
    parser.add_argument("--debug", action="store_true", help="log more, everywhere")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Start it, and stay until Ctrl-C or SIGTERM."""
    options = Options(
        port=arguments.port,
        home=arguments.home,
        platform_file=arguments.platform.absolute(),
        kubeconfig=arguments.kubeconfig,
        json_file=arguments.json,
        browser=not arguments.no_browser,
        fixed_passwords=arguments.fixed_passwords,
        debug=arguments.debug,
    )
    return asyncio.run(_serve(options, Console()))


async def _serve(options: Options, console: Console) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    status = console.status("starting") if console.is_terminal else None

    def say(step: str) -> None:
        loop.call_soon_threadsafe(status.update if status else console.print, step)

    demo = Demo(options, say)
    logging.basicConfig(
        filename=demo.home.path / "logs" / "demo.log",
        level=logging.DEBUG if options.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    starting = asyncio.create_task(demo.start())
    if status:
        status.start()
    try:
        await _first(starting, stop)
        if stop.is_set():
            return 130
        _show(console, starting.result(), demo)
        if options.browser and _has_display():
            await asyncio.to_thread(webbrowser.open, starting.result()["hub_url"])
        await stop.wait()
        console.print("Stopping ...")
    finally:
        if status:
            status.stop()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await demo.stop()
    return 0


def _has_display() -> bool:
    """Whether a browser would open in a window; one in this terminal would take it from us."""
    return sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


async def _first(starting: asyncio.Task[dict[str, Any]], stop: asyncio.Event) -> None:
    """Until it is ready, failed, or Ctrl-C was pressed, whatever comes first."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()


def _show(console: Console, info: dict[str, Any], demo: Demo) -> None:
    addresses = Table(title="aiinfn demo", title_justify="left", show_header=False)
    for name, key in (
        ("JupyterHub", "hub_url"),
        ("panel", "panel_url"),
        ("metrics", "metrics_url"),
        ("IAM", "iam_issuer"),
        ("kubeconfig", "kubeconfig"),
    ):
        addresses.add_row(name, info[key])
    console.print(addresses)
    accounts = Table("account", "password", "groups", "role")
    for account in info["accounts"]:
        accounts.add_row(account["username"], account["password"], ", ".join(account["groups"]), account["role"])
    console.print(accounts)
    console.print(NOTE, style="yellow")
    console.print(NEXT.format(home=demo.home.path, **info), markup=False, highlight=False)
