"""The node agent: plays nodes, and gives each pod that is bound to one of them a worker."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.local.agent import wording
from aiinfn_hub.local.agent.addresses import Addresses
from aiinfn_hub.local.agent.launch import Host
from aiinfn_hub.local.agent.process import ContainerProcess
from aiinfn_hub.local.agent.registration import RENEW_S, Registration
from aiinfn_hub.local.agent.status import Verdict
from aiinfn_hub.local.agent.worker import Ending, PodWorker, Shared
from aiinfn_hub.local.nodes import NodeSpec, Taint

Object = dict[str, Any]
Kind = Literal["Normal", "Warning"]
_FINISHED = ("Succeeded", "Failed")
#: At the shutdown: seconds from SIGTERM to SIGKILL, and until nobody is waited for any more.
SHUTDOWN_GRACE_S, SHUTDOWN_S = 4.0, 7.0


@dataclass(frozen=True)
class PodRecord:
    """A whole pod: a node needs all of it."""

    uid: str
    rv: str
    pod: Object


def decode_pod(text: bytes) -> PodRecord:
    """From its JSON text."""
    pod = msgspec.json.decode(text)
    return PodRecord(pod["metadata"]["uid"], pod["metadata"]["resourceVersion"], pod)


def this_machine(environment: Mapping[str, str], **more: Any) -> Host:
    """A `Host` that gives containers nothing of `environment` but the search path and the language."""
    inherited = {"PATH": environment.get("PATH", os.defpath), "LANG": environment.get("LANG", "C.UTF-8")}
    return Host(environment=inherited, programs=Path(sys.executable).parent, **more)


class NodeAgent:
    """Plays `nodes`: registers them, runs the pods bound to them, reports.

    Everything that runs survives the agent if it is killed or cancelled, and the next agent with the same `root` takes
    it over; only `stop` ends it.

    Nothing is isolated: every container is a process of whoever runs the agent, whatever `runAsUser` says.

    Args:
        client: the Kubernetes API; the embedded one or a real one.
        nodes: what to play.
        root: pods are below `pods/<uid>` (logs in `logs/<container>.log`), claims in `volumes/<namespace>/<claim>`.
        namespace: run pods of this namespace only; for a real API, where others may bind pods to every node.
        taint: put on every node; for a real API, so that only pods that mean it come.
        host: this machine; by default `this_machine` with our environment.
    """

    def __init__(
        self,
        client: KubeClient,
        nodes: Sequence[NodeSpec],
        root: Path,
        *,
        namespace: str | None = None,
        taint: Taint | None = None,
        host: Host | None = None,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.log = log or logging.getLogger("aiinfn.node")
        self._host = host or this_machine(os.environ)
        self._root = root.absolute()
        self._specs = {spec.name: spec for spec in nodes}
        self._registration = Registration(client, nodes, ip=self._host.ip, taint=taint, clock=clock)
        self._cache = WatchCache(
            client, PODS, decode_pod, namespace=namespace, on_event=self._happened, clock=clock, log=self.log
        )
        self._recorder = EventRecorder(client, "kubelet", clock=clock, log=self.log)
        self._sentences: asyncio.Queue[tuple[Involved, Kind, str, str]] = asyncio.Queue()
        addresses = Addresses(own=self._host.own_addresses)
        self._shared = Shared(client, self._host, self._root, addresses, self._say, self.log, clock)
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._running = False

    @property
    def pods(self) -> Path:
        """The folder of the pods' folders."""
        return self._root / "pods"

    async def run(self) -> None:
        """Work until `stop`, or until cancelled (then what runs goes on, for the next agent)."""
        self._running = True
        self.pods.mkdir(parents=True, exist_ok=True, mode=0o700)
        speaking = asyncio.create_task(self._speak(), name="node agent: events")
        try:
            await self._until_registered()
            await self._cache.start()
            sweeping = asyncio.create_task(self._sweep())
            await self._renew_until_stopped()
            sweeping.cancel()
            await self._stopped.wait()
        finally:
            await self._cache.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            speaking.cancel()
            self._running = False

    async def stop(self) -> None:
        """End every process within 8 s, and report the pods as a kubelet does at the shutdown of its machine."""
        if not self._running or self._stopping.is_set():
            return
        self._stopping.set()
        shutdown = Verdict("Terminated", wording.SHUTDOWN, disrupted=True)
        for worker in self._workers.values():
            grace = worker.pod["spec"].get("terminationGracePeriodSeconds", 30)
            worker.end(Ending(min(grace, SHUTDOWN_GRACE_S), shutdown))
            # One that ends already, for another reason, may have been given longer.
            asyncio.get_running_loop().call_later(SHUTDOWN_GRACE_S, worker.hurry.set)
        self._spawn(self._leave())
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._sentences.join()
        self._stopped.set()

    async def _leave(self) -> None:
        try:
            await self._registration.leave()
        except AiinfnError as error:
            self.log.warning("The nodes are not reported as stopped: %s", error)

    async def _until_registered(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._registration.register()
            except AiinfnError as error:
                self.log.warning("The nodes are not registered yet: %s", error)
                await asyncio.sleep(1)
            else:
                return

    async def _renew_until_stopped(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RENEW_S)
                break
            try:
                await self._registration.renew()
            except AiinfnError as error:
                self.log.warning("The leases of the nodes are not renewed: %s", error)

    def _happened(self, event: str, record: PodRecord, _before: PodRecord | None) -> None:
        """Something of a pod has changed."""
        pod = record.pod
        spec = self._specs.get(pod["spec"].get("nodeName") or "")
        if spec is None:
            return
        worker = self._workers.get(record.uid)
        if event == "DELETED":
            self._deleted(record.uid, worker)
        elif worker is not None:
            worker.update(pod)
            if worker.concluded and "deletionTimestamp" in pod["metadata"]:
                self._spawn(worker.delete())
        elif (pod.get("status") or {}).get("phase") not in _FINISHED:
            self._begin(pod, spec)

    def _begin(self, pod: Object, spec: NodeSpec) -> None:
        try:
            worker = PodWorker(pod, spec, self._shared)
        except AiinfnError:
            self.log.exception("The pod %s cannot be taken.", pod["metadata"]["name"])
            return
        self._workers[worker.uid] = worker
        worker.update(pod)
        if self._stopping.is_set():
            worker.end(Ending(0, Verdict("NodeShutdown", wording.SHUTDOWN_REFUSED)))
        self._spawn(worker.run())

    def _deleted(self, uid: str, worker: PodWorker | None) -> None:
        if worker is None:
            self._spawn(self._remove(self.pods / uid))
        else:
            worker.gone()
            self._spawn(self._bury(worker))

    async def _bury(self, worker: PodWorker) -> None:
        await worker.ended.wait()
        del self._workers[worker.uid]
        await worker.clean()

    async def _sweep(self) -> None:
        """End and remove what belongs to pods that are gone since an earlier agent."""
        await self._cache.synced.wait()
        for folder in list(self.pods.iterdir()):
            if folder.name not in self._cache.items:
                self._spawn(self._remove(folder))

    async def _remove(self, folder: Path) -> None:
        for run in _runs(folder):
            process = ContainerProcess.find(run)
            process.kill()
            await process.wait()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("A pod's worker failed.", exc_info=task.exception())

    def _say(self, about: Involved, kind: Kind, reason: str, message: str) -> None:
        self._sentences.put_nowait((about, kind, reason, message))

    async def _speak(self) -> None:
        """Write the events one after the other, so that they stay in order and never delay a start."""
        while True:
            about, kind, reason, message = await self._sentences.get()
            await self._recorder.record(about, reason, message, kind=kind)
            self._sentences.task_done()


def _runs(folder: Path) -> list[Path]:
    """The runs of every container of a pod's folder."""
    return list(folder.glob("containers/*/*"))
