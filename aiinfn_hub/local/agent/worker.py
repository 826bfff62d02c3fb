"""One pod on its node, from the moment it was bound to its deletion."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu
from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound, Unavailable
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.events import Involved
from aiinfn_hub.kube.moments import unix
from aiinfn_hub.local.agent import wording
from aiinfn_hub.local.agent.addresses import Address, Addresses
from aiinfn_hub.local.agent.container import Container
from aiinfn_hub.local.agent.environment import Facts
from aiinfn_hub.local.agent.launch import Host, Surroundings
from aiinfn_hub.local.agent.references import References
from aiinfn_hub.local.agent.status import PodView, Terminated, Verdict, pod_status
from aiinfn_hub.local.agent.volumes import Volumes
from aiinfn_hub.local.nodes import NodeSpec

Object = dict[str, Any]
Say = Callable[[Involved, Literal["Normal", "Warning"], str, str], None]
#: Where pods share an address: JSON, port of the container -> port that is used instead.
PORTS_ANNOTATION = "aiinfn.infn.it/ports"
#: Seconds between two attempts while the API does not answer.
RETRY_S = 0.5


@dataclass(frozen=True)
class Ending:
    """The pod is to end: the seconds that its processes get, and why, if it is not a deletion."""

    grace_s: float
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Shared:
    """What the workers of an agent share; `root` is the agent's folder."""

    client: KubeClient
    host: Host
    root: Path
    addresses: Addresses
    say: Say
    log: logging.Logger
    clock: Callable[[], float] = time.time


class PodWorker:
    """`run` it in a task; tell it what happens to the object with `update` and `gone`."""

    def __init__(self, pod: Object, spec: NodeSpec, shared: Shared) -> None:
        meta = pod["metadata"]
        self.pod = pod
        self.uid, self.name, self.namespace = meta["uid"], meta["name"], meta["namespace"]
        self.shared = shared
        self.folder = shared.root / "pods" / self.uid
        self.hurry = asyncio.Event()
        self.ended = asyncio.Event()
        status = pod.get("status") or {}
        self._started = unix(status["startTime"]) if status.get("startTime") else shared.clock()
        self._address = shared.addresses.take(self.uid, _ports(pod), _known_address(pod))
        self._around = self._surroundings(spec)
        self._init = self._containers("initContainers", init=True)
        self._main = self._containers("containers", init=False)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._verdict: Verdict | None = None
        self._changed = asyncio.Event()
        self.concluded = self._is_gone = self._deleted = False

    def update(self, pod: Object) -> None:
        """The object has changed: perhaps it is to be deleted."""
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self.end(Ending(pod["metadata"].get("deletionGracePeriodSeconds", 30)))

    def end(self, ending: Ending) -> None:
        """End it, once."""
        if not self._ending.done():
            self._ending.set_result(ending)

    def gone(self) -> None:
        """The object is gone; its processes go at once."""
        self._is_gone = True
        self.hurry.set()
        self.end(Ending(0))

    async def run(self) -> None:
        """Run the containers until they have ended or the pod is to end; then say so, and finish a deletion."""
        life = asyncio.create_task(self._live(), name=f"pod {self.namespace}/{self.name}")
        report = asyncio.create_task(self._report())
        try:
            ending = await self._until_over(life)
            if ending.verdict:
                report.cancel()  # the end and its reason are told together
            await self._stop(ending.grace_s)
        finally:
            for task in (life, report):
                task.cancel()
            await asyncio.wait({life, report})
            for container in (*self._init, *self._main):
                container.leave()
            self.ended.set()
        await self._conclude(ending.verdict)

    async def _conclude(self, verdict: Verdict | None) -> None:
        self._verdict = verdict
        self._around.volumes.forget_secrets()
        await self._tell(lambda: self._push(over=True))
        self.concluded = True
        if "deletionTimestamp" in self.pod["metadata"]:
            await self.delete()

    async def delete(self) -> None:
        """The last step of a deletion: the kubelet's DELETE without grace, after which the object is gone."""
        if not self._deleted:
            self._deleted = True
            client = self.shared.client
            await self._tell(lambda: client.delete(PODS, self.name, self.namespace, grace_s=0, uid=self.uid))

    async def clean(self) -> None:
        """Remove what the pod had on this machine; its claims stay."""
        self.shared.addresses.give_back(self.uid)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def say(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Write an event about the pod."""
        self.shared.say(Involved.of(PODS, self.pod), kind, reason, message)

    async def _live(self) -> None:
        self._around.volumes.check()
        if self._address.ports:
            await self._tell(self._annotate)
        self._changed.set()
        volumes = asyncio.create_task(self._make_volumes())
        try:
            for container in self._init:
                await container.run()
                if not (isinstance(container.view.state, Terminated) and container.view.state.exit_code == 0):
                    return
            await asyncio.gather(*(container.run() for container in self._main))
        finally:
            volumes.cancel()

    async def _make_volumes(self) -> None:
        """Make them, then keep their files as the API has them."""
        pause, longest = self.shared.host.retry_s
        while True:
            try:
                await self._around.volumes.make()
            except (NotFound, InvalidInput) as error:
                self.say("Warning", "FailedMount", error.message)
            except Unavailable as error:
                self.shared.log.warning("The volumes of %s/%s: %s", self.namespace, self.name, error)
            else:
                break
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)
        while True:
            await asyncio.sleep(self.shared.host.sync_s)
            try:
                await self._around.volumes.renew()
            except Unavailable as error:
                self.shared.log.warning("The volumes of %s/%s: %s", self.namespace, self.name, error)

    async def _until_over(self, life: asyncio.Task[None]) -> Ending:
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        left = None if limit is None else max(0.0, self._started + limit - self.shared.clock())
        waits: set[asyncio.Future[Any]] = {life, self._ending}
        await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if self._ending.done():
            return self._ending.result()
        if not life.done():
            self.say("Normal", "DeadlineExceeded", wording.DEADLINE)
            grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
            return Ending(grace, Verdict("DeadlineExceeded", wording.DEADLINE))
        return Ending(0, self._judge(life.exception()))

    def _judge(self, error: BaseException | None) -> Verdict | None:
        """What an error makes of the pod; none is what its containers say."""
        if error is None:
            return None
        if isinstance(error, AiinfnError):
            self.say("Warning", "UnexpectedAdmissionError", error.message)
            return Verdict("UnexpectedAdmissionError", f"Pod was rejected: {error.message}")
        self.shared.log.error("The pod %s/%s cannot be run.", self.namespace, self.name, exc_info=error)
        return Verdict("UnexpectedAdmissionError", "Pod was rejected: the node agent failed; its log says why.")

    async def _stop(self, grace_s: float) -> None:
        every = (*self._init, *self._main)
        await asyncio.gather(*(container.stop(grace_s, self.hurry) for container in every))

    async def _report(self) -> None:
        """Write the status after every change; what changes meanwhile goes into the next one."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tell(self._push)

    async def _push(self, *, over: bool = False) -> None:
        view = PodView(
            init=[container.view for container in self._init],
            containers=[container.view for container in self._main],
            ip=self._address.ip,
            host_ip=self.shared.host.ip,
            started=self._started,
            over=over,
            verdict=self._verdict,
        )
        # The uid makes it invalid if a pod of the same name has come after this one.
        patch: Object = {"metadata": {"uid": self.uid}, "status": pod_status(self.pod, view, self.shared.clock())}
        self.pod = await self.shared.client.patch(
            PODS, self.name, patch, self.namespace, strategy="strategic", subresource="status"
        )

    async def _annotate(self) -> None:
        ports = json.dumps(self._address.ports)
        patch = {"metadata": {"uid": self.uid, "annotations": {PORTS_ANNOTATION: ports}}}
        await self.shared.client.patch(PODS, self.name, patch, self.namespace)

    async def _tell(self, what: Callable[[], Any]) -> None:
        """Try until the API has taken it, or has the pod no more."""
        while not self._is_gone:
            try:
                await what()
            except NotFound:
                return
            except InvalidInput as error:
                if "metadata.uid" not in error.message:  # else another pod has the name by now
                    self.shared.log.exception("The API refuses the status of %s/%s.", self.namespace, self.name)
                return
            except Unavailable as error:
                self.shared.log.warning("The status of %s/%s is not written yet: %s", self.namespace, self.name, error)
                await asyncio.sleep(RETRY_S)
            except AiinfnError:
                self.shared.log.exception("The API refuses the status of %s/%s.", self.namespace, self.name)
                return
            else:
                return

    def _containers(self, field: str, *, init: bool) -> list[Container]:
        return [
            Container(spec, self._around, init=init, changed=self._changed_now, say=self.say)
            for spec in self.pod["spec"].get(field) or ()
        ]

    def _changed_now(self) -> None:
        self._changed.set()

    def _surroundings(self, spec: NodeSpec) -> Surroundings:
        host = self.shared.host
        facts = Facts(
            pod=self.pod,
            ip=self._address.ip,
            host_ip=host.ip,
            node_cpu_millis=parse_cpu(spec.capacity["cpu"]),
            node_memory_bytes=parse_bytes(spec.capacity["memory"]),
        )
        source = References(self.shared.client, self.namespace)
        claims = self.shared.root / "volumes"
        volumes = Volumes(self.pod, self.folder, claims / self.namespace, source, facts)
        return Surroundings(host, self.pod, self.folder, self._address, facts, source, volumes, claims)


def _ports(pod: Mapping[str, Any]) -> list[int]:
    return [port["containerPort"] for spec in pod["spec"]["containers"] for port in spec.get("ports") or ()]


def _known_address(pod: Mapping[str, Any]) -> Address | None:
    ip = (pod.get("status") or {}).get("podIP")
    ports = json.loads((pod["metadata"].get("annotations") or {}).get(PORTS_ANNOTATION) or "{}")
    return Address(ip, {int(port): int(used) for port, used in ports.items()}) if ip else None
