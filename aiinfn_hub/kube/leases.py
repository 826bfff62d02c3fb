"""One leader among several processes, by a Lease; made as client-go's leader election is.

Clocks of different machines are never compared: a holder is taken for dead when its Lease has not *changed* for the
whole duration as seen by our own monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from aiinfn_hub.errors import AiinfnError, Conflict, NotFound
from aiinfn_hub.kube.client import LEASES, KubeClient, Object
from aiinfn_hub.kube.moments import rfc3339_micro


class Leadership:
    """Runs work only while this process holds the Lease.

    Args:
        identity: who we are; unique to the process.
        duration_s: seconds after which others may take a Lease that is not renewed.
        retry_s: seconds between renewals, and between attempts to get it.
        on_lost: called when the Lease is lost, after the work was cancelled.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration_s: float = 15.0,
        retry_s: float = 2.0,
        on_lost: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.name = name
        self.namespace = namespace
        self.identity = identity
        self.duration_s = duration_s
        self.retry_s = retry_s
        self.on_lost = on_lost
        self.clock = clock
        self.held = False
        self.log = logging.getLogger("aiinfn.lease")
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, run `work` while it is held, and begin again when it is lost.

        Returns when `work` returns, raises what it raises. The Lease is given back at the end and on cancellation.
        """
        while True:
            await self._acquire()
            task = asyncio.create_task(work(), name=f"leader {self.name}")
            try:
                await self._keep(task)
            finally:
                self.held = False
                await _ended(task)
            if task.cancelled():
                self.log.warning("%s lost the lease %s.", self.identity, self.name)
                if self.on_lost is not None:
                    self.on_lost()
                continue
            await self._release()
            return task.result()

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._take():
                    self.held = True
                    self.log.info("%s holds the lease %s.", self.identity, self.name)
                    return
            except Conflict:
                self.log.debug("Another candidate for the lease %s was faster.", self.name)
            except AiinfnError as error:
                self.log.warning("The lease %s cannot be read: %s", self.name, error)
            await asyncio.sleep(self.retry_s)

    async def _keep(self, task: asyncio.Task[None]) -> None:
        """Renew until the work ends or two thirds of the duration passed without success."""
        patience = self.duration_s * 2 / 3
        renewed = self.clock()
        try:
            while True:
                await asyncio.wait({task}, timeout=self.retry_s)
                if task.done():
                    return
                try:
                    async with asyncio.timeout(max(0.01, renewed + patience - self.clock())):
                        if not await self._take():
                            return
                    renewed = self.clock()
                except (AiinfnError, TimeoutError) as error:
                    self.log.warning("The lease %s cannot be renewed: %s", self.name, error)
                    if self.clock() - renewed >= patience:
                        return
        except asyncio.CancelledError:
            await _ended(task)
            await self._release()
            raise

    async def _take(self) -> bool:
        """One attempt to get or renew the Lease; False if it is somebody else's, Conflict if it may become so."""
        try:
            lease = await self.client.get(LEASES, self.name, self.namespace)
        except NotFound:
            await self._create()
            return True
        spec = lease.get("spec") or {}
        self._observe(spec)
        holder = spec.get("holderIdentity") or ""
        ours = holder == self.identity
        if holder and not ours and self.clock() - self._seen_at < float(spec.get("leaseDurationSeconds") or 0):
            return False
        changes = 0 if ours else 1
        wanted = self._spec(int(spec.get("leaseTransitions") or 0) + changes)
        if ours:
            wanted.pop("acquireTime")
        await self._write(lease["metadata"]["resourceVersion"], wanted)
        return True

    def _observe(self, spec: Object) -> None:
        seen = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self.clock()

    def _spec(self, transitions: int) -> Object:
        now = rfc3339_micro(time.time())
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.duration_s)),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    async def _create(self) -> None:
        meta = {"name": self.name, "namespace": self.namespace}
        lease = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": meta, "spec": self._spec(0)}
        await self.client.create(LEASES, lease)

    async def _write(self, version: str, spec: Object) -> None:
        """PATCH on the version that was read: of two candidates one gets a Conflict."""
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        await self.client.patch(LEASES, self.name, patch, self.namespace)

    async def _release(self) -> None:
        """Let another one take it at once; if this fails it runs out by itself."""
        with suppress(AiinfnError):
            lease = await self.client.get(LEASES, self.name, self.namespace)
            if (lease.get("spec") or {}).get("holderIdentity") == self.identity:
                spec = {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._write(lease["metadata"]["resourceVersion"], spec)


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel the task and wait for its end, whatever it is."""
    task.cancel()
    await asyncio.wait({task})
