"""The spawn form with what is free on a large cluster, beside KubeSpawner's own form, which is static.

    make bench ARGS=form

push       seconds from a change at the service to 200 open forms of 200 people, over a real hub  |  1 s
form       `AiinfnSpawner.spawn_form`, each for another person: the offer is asked over HTTP, and counted anew, because
           a pod has changed since the last one  |  `KubeSpawner.get_options_form` over as many profiles
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
from bench.figures import Sheet, p
from bench.spawners import ACTIVITY, kubeconfig_of_spawners, spawner
from kubespawner import KubeSpawner
from support.cluster_records import node, pod
from support.fakecache import FakeCache
from support.hubfakes import FakeUser, write_platform
from support.offerservice import KEY, offer_service
from support.plainhub import plain_hub
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler
from traitlets.config import Config

from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.catalogue import Platform, example_path, load_platform

NODES, PODS = 1000, 10_000
#: Slices that are free after the change.
CHANGED = 1
NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "x",
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "x", "user": {}}],
}


class _Offers(RequestHandler):
    """What the service answers, from the real arithmetic."""

    def initialize(self, reporter: Reporter, pods: FakeCache) -> None:
        self.reporter, self.pods = reporter, pods

    def get(self) -> None:
        uid = f"pod-{time.monotonic_ns() % PODS}"
        self.pods.put(pod(uid=uid, node=f"n{time.monotonic_ns() % NODES}"))
        person = self.get_query_argument("person")
        self.finish(msgspec.json.encode(self.reporter.offer(person, [ACTIVITY], {ACTIVITY: 28.0})))


def _crowd(platform: Platform) -> tuple[Reporter, FakeCache]:
    nodes, pods = FakeCache(), FakeCache()
    reporter = Reporter(platform, nodes, pods)  # type: ignore[arg-type]  # fakes of them
    pods.on_event = reporter.notice
    for number in range(NODES):
        nodes.put(node(f"n{number}"))
    for number in range(PODS):
        pods.put(pod(uid=f"pod-{number}", node=f"n{number % NODES}"))
    return reporter, pods


@asynccontextmanager
async def _service(platform: Platform) -> AsyncIterator[str]:
    reporter, pods = _crowd(platform)
    given = {"reporter": reporter, "pods": pods}
    server = HTTPServer(Application([("/api/offer", _Offers, given)]))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    yield f"http://127.0.0.1:{port}"
    server.stop()
    await server.close_all_connections()


def _plain(name: str, platform: Platform) -> KubeSpawner:
    """As many profiles as there are flavours, with what can be chosen of each."""
    profiles = [
        {
            "display_name": flavour.title,
            "slug": flavour.name.replace(".", "-"),
            "description": "an accelerator",
            "profile_options": {
                what: {
                    "display_name": what,
                    "choices": {f"c{n}": {"display_name": f"{n}"} for n in getattr(flavour, what).choices},
                }
                for what in ("cpu", "memory")
            },
        }
        for flavour in platform.flavours
    ]
    hub = SimpleNamespace(public_host="", url="http://hub/", base_url="/hub/", api_url="http://hub/api")
    row = SimpleNamespace(name="", server=None, user_options={})
    config = Config(KubeSpawner={"profile_list": profiles, "namespace": "aiinfn"})
    return KubeSpawner(config=config, user=FakeUser(name), hub=hub, orm_spawner=row, oauth_client_id="x", api_token="x")


async def _timed(form: Any) -> float:
    began = time.perf_counter()
    await form
    return time.perf_counter() - began


async def _run(folder: Path, rounds: int) -> None:
    platform, sheet = load_platform(example_path()), Sheet()
    (folder / "hub-key").write_text("key")
    async with _service(platform) as url:
        ours, peer = [], []
        for number in range(rounds + 10):
            mine = spawner(folder, f"user{number}", service_url=url)
            plain = _plain(f"user{number}", platform)
            ours.append(await _timed(mine.spawn_form()))
            peer.append(await _timed(plain.get_options_form()))
        text = await spawner(folder, "last", service_url=url).spawn_form()
        assert " free" in text, "the numbers are in the page"
    warm, other = ours[10:], peer[10:]
    sheet.say("form, p95", 1000 * p(warm, 95), "ms", f"stock {1000 * p(other, 95):.1f}, {NODES} nodes, {PODS} pods")
    sheet.say("  ratio", p(warm, 95) / p(other, 95), "", "<= 1.3")
    sheet.say("  median", 1000 * p(warm, 50), "ms", f"stock {1000 * p(other, 50):.1f}")


async def _read(browser: httpx.AsyncClient, seen: dict[str, float], name: str, ready: asyncio.Event) -> None:
    """Note when the number on somebody's form has changed."""
    async with browser.stream("GET", "/hub/aiinfn/offer", timeout=None) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                ready.set()
                if json.loads(line[5:])["flavours"]["a100-1g.5gb"]["text"].startswith(f"{CHANGED} of"):
                    seen[name] = time.perf_counter()
                    return


async def _push(folder: Path, people: int) -> None:
    names, sheet = [f"user{number}" for number in range(people)], Sheet()
    groups = {group: {"users": names} for group in ("/aiinfn", "/aiinfn/lhcb")}
    seen: dict[str, float] = {}
    async with offer_service() as service, AsyncExitStack() as stack:
        files = {"platform_file": write_platform(folder / "small.yaml"), "kubeconfig": folder / "kubeconfig"}
        site = plain_hub(folder, service_url=service.url, key=KEY, groups=groups, hasty=False, **files)
        hub = await asyncio.to_thread(site.__enter__)
        stack.push_async_callback(asyncio.to_thread, site.__exit__, None, None, None)
        readers = []
        for name in names:
            browser, ready = await stack.enter_async_context(hub.person(name)), asyncio.Event()
            readers.append(asyncio.create_task(_read(browser, seen, name, ready)))
            await ready.wait()
        began, service.free = time.perf_counter(), CHANGED
        await asyncio.gather(*readers)
    took = [moment - began for moment in seen.values()]
    sheet.say(f"a change reaches {people} open forms", max(took), "s", "<= 1; each asks for itself every 5 s")
    sheet.say("  median", p(took, 50), "s")


def main(arguments: list[str], folder: Path) -> None:
    parser = argparse.ArgumentParser(prog="bench form")
    parser.add_argument("--rounds", type=int, default=200, help="forms that are made")
    parser.add_argument("--people", type=int, default=200, help="who have one open")
    given = parser.parse_args(arguments)
    # No spawner here speaks to Kubernetes, but each reads how it would.
    (folder / "kubeconfig").write_text(json.dumps(NOWHERE))
    with kubeconfig_of_spawners(folder / "kubeconfig"):
        asyncio.run(_run(folder, given.rounds))
        asyncio.run(_push(folder, given.people))
