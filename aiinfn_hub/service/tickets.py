"""Follows the sessions in the queue: asks the hub to start those whose turn has come, and gives places back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiinfn_hub.capacity.queue import Lines
from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden, NotFound
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.sessions.tickets import TAKE_WITHIN_S, Ticket, due, is_ticket, tickets

#: Seconds between two questions about one ticket: the first pause, and the longest while the hub refuses or is away.
AGAIN_S = (5.0, 60.0)
#: Questions at the same time: a large node that comes back lets many in at once, and the hub limits its starts too.
AT_ONCE = 8


class Tickets:
    """The tickets of all people, from the caches of pods and Workloads; nothing else is remembered of them.

    `notice` must be told every change of `pods`, from the first on.

    Args:
        full: why a quota has no room for a ticket by now; "" if it has.
        clock: Unix seconds.
        step_s: seconds between two looks at all tickets when nothing happens.
    """

    def __init__(
        self,
        client: KubeClient,
        hub: HubApi,
        pods: WatchCache[Pod],
        workloads: WatchCache[Workload],
        *,
        full: Callable[[Ticket], Awaitable[str]],
        clock: Callable[[], float] = time.time,
        step_s: float = 2.0,
    ) -> None:
        self.client = client
        self.hub = hub
        self.pods = pods
        self.workloads = workloads
        self._waiting = {pod.uid: pod for pod in pods.items.values() if is_ticket(pod)}
        self.clock = clock
        self.step_s = step_s
        self.log = logging.getLogger("aiinfn.tickets")
        self._full = full
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._known: list[Ticket] | None = None
        self._lines = Lines(())
        self._lines_of = -1
        self._asking: set[str] = set()
        self._refused: dict[str, tuple[int, float]] = {}

    def notice(self, event: str, pod: Pod) -> None:
        """A change of the cache of pods, as its `on_event` tells it. Most of them are not about tickets."""
        waits = event != "DELETED" and is_ticket(pod)
        if not waits and pod.uid not in self._waiting:
            return
        self._known = None
        if waits:
            self._waiting[pod.uid] = pod
            self._wake.set()
        else:
            del self._waiting[pod.uid]

    def all(self) -> list[Ticket]:
        """Every ticket as of the caches, oldest first."""
        if not self._waiting:
            return []  # nobody's place in queues of thousands is asked for
        if self._lines_of != self.workloads.changes:
            self._lines, self._lines_of = Lines(self.workloads.items.values()), self.workloads.changes
            self._known = None
        if self._known is None:
            self._known = tickets(self._waiting.values(), self._lines)
        return self._known

    def of(self, person: str) -> list[TicketOffer]:
        """The tickets of one person."""
        return [ticket.offer for ticket in self.all() if ticket.person == person]

    async def drop(self, ticket: Ticket, why: str) -> None:
        """Take it out of the queue, and nothing that has taken its name meanwhile."""
        pod = ticket.pod
        self.log.info("The ticket %s of %s leaves the queue: %s", pod.name, ticket.person, why)
        try:
            await self.client.delete(PODS, pod.name, pod.namespace, grace_s=0, uid=pod.uid)
        except (NotFound, Conflict):
            self.log.debug("It was gone already.")

    async def run(self) -> None:
        """Follow for ever."""
        await self.pods.synced.wait()
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                waiting = self.all()
                self._forget(waiting)
                for ticket in waiting:
                    if self._is_due(ticket):
                        self._asking.add(ticket.pod.uid)
                        group.create_task(self._settle(ticket))
                await self._pause()

    def _is_due(self, ticket: Ticket) -> bool:
        uid, now = ticket.pod.uid, self.clock()
        _, not_before = self._refused.get(uid, (0, 0.0))
        return uid not in self._asking and now >= not_before and due(ticket, now) != "wait"

    def _forget(self, waiting: list[Ticket]) -> None:
        uids = {ticket.pod.uid for ticket in waiting}
        self._refused = {uid: found for uid, found in self._refused.items() if uid in uids}

    async def _settle(self, ticket: Ticket) -> None:
        """One act for one ticket, then a pause that grows while it is refused."""
        uid = ticket.pod.uid
        times, _ = self._refused.get(uid, (0, 0.0))
        try:
            async with self._slots:
                await self._act(ticket)
            times = 0
        except AiinfnError as error:
            times += 1
            self.log.warning("The session %s of %s waits on: %s", ticket.pod.name, ticket.person, error)
        finally:
            first, longest = AGAIN_S
            self._refused[uid] = (times, self.clock() + min(longest, first * 2 ** max(0, times - 1)))
            self._asking.discard(uid)

    async def _act(self, ticket: Ticket) -> None:
        if due(ticket, self.clock()) == "expired":
            await self.drop(ticket, f"nobody took it within {TAKE_WITHIN_S:.0f} s of its turn.")
            return
        if why := await self._full(ticket):
            # The hub would refuse it, and what it was let in with would lie idle until it expires.
            await self.drop(ticket, why)
            return
        try:
            await self.hub.start(ticket.person, ticket.offer.server)
        except (NotFound, Forbidden) as error:
            await self.drop(ticket, str(error))

    async def _pause(self) -> None:
        # Not `wait_for`: in Python 3.11 it loses a cancellation that comes in the same moment as the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.step_s):
                await self._wake.wait()
