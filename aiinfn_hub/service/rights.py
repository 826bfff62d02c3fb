"""Continuous authorisation: who has lost the right to what runs or waits gets notice, and then it ends or is held.

So does a session whose quota is used up, whose time is over, or which nobody uses.

The hub asks the login provider in the background; here its groups of now are compared with what people hold. What was
taken by mistake, or only for a while, is given back: notices are called off, and what was held goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiinfn_hub.capacity.inventory import FINISHED
from aiinfn_hub.capacity.queue import waits
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.errors import AiinfnError, NotFound
from aiinfn_hub.identity.audit import Act, Fact
from aiinfn_hub.identity.hubapi import HubApi, HubStanding, HubUser
from aiinfn_hub.identity.lapse import Lapse, lapse
from aiinfn_hub.identity.person import person_of
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import WORKLOADS, KubeClient
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.bell import woken
from aiinfn_hub.pods import names
from aiinfn_hub.service.audit import Audit
from aiinfn_hub.sessions.drains import Drain, Plan, Running, drains, keep, plan
from aiinfn_hub.sessions.notices import of_drain, of_held, of_standing
from aiinfn_hub.sessions.tickets import is_ticket

#: Seconds between two looks at everybody.
EVERY_S = 20.0
#: Why a session may stay after all, by the reason for which it was to end; else its person has the right again.
_BACK = {
    "quota": "There is room again.",
    "lifetime": "It was extended.",
    "longest": "It may last longer.",
    "idle": "It is used again.",
    "node": "Its node stays in service.",
}


@dataclass(frozen=True)
class Waiting:
    """Something in the queue, a ticket or a job, by the uid of its pod or Job."""

    uid: str
    person: str
    activity: str


class Others(Protocol):
    """Whoever else knows why sessions are to end."""

    @property
    def lapses(self) -> Mapping[str, Lapse]:
        """Why, by the uid of the pod."""

    def notices(self, person: str) -> list[Notice]:
        """What a person should know before it comes to that."""


class Rights:
    """Looks at everybody who holds something or waits.

    Attributes:
        drains: sessions that are to end, by the uid of their pods.
        standings: people who do not stand well with the login provider, by name.
        held: what we have put aside, by person.
    """

    def __init__(
        self,
        platform: Platform,
        hub: HubApi,
        client: KubeClient,
        pods: WatchCache[Pod],
        workloads: WatchCache[Workload],
        *,
        audit: Audit,
        others: Sequence[Others] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.drains: dict[str, Drain] = {}
        self.standings: dict[str, HubStanding] = {}
        self.held: dict[str, list[Workload]] = {}
        self._platform = platform
        self._database = audit.database
        self._hub = hub
        self._pods = pods
        self._workloads = workloads
        self._audit = audit
        self._others = others
        self._wake = asyncio.Event()
        self._clock = clock
        self._log = logging.getLogger("aiinfn.rights")

    async def run(self) -> None:
        """Look for ever."""
        for cache in (self._pods, self._workloads):
            await cache.synced.wait()
        while True:
            try:
                await self.look()
            except AiinfnError as error:
                # Without the hub's word nobody loses anything, and what was said stays said.
                self._log.warning("Rights are looked at later: %s", error)
            await woken(self._wake, EVERY_S)

    def notice(self) -> None:
        """Something that decides about sessions has changed."""
        self._wake.set()

    async def look(self) -> None:
        """Once.

        Raises:
            Unavailable: hub or database do not answer.
        """
        sessions = list(_sessions(self._pods.items.values()))
        waiting = [*_tickets(self._pods.items.values()), *await self._jobs()]
        self.standings = await self._hub.standings()
        self.drains = await self._database.read(drains)
        people = await self._people({one.person for one in sessions} | {one.person for one in waiting})
        await self._drain(sessions, people)
        await self._hold(waiting, people)

    async def _jobs(self) -> list[Waiting]:
        return [
            Waiting(run.job_uid, run.owner, run.activity)
            for run in await self._database.read(runs.active)
            if run.job_uid
        ]

    async def _people(self, wanted: set[str]) -> dict[str, HubUser]:
        """Those of whom the hub knows; somebody whom it does not know is not there, and nothing is decided."""
        found = {user.name: user for user in await self._hub.active()} if wanted else {}
        for name in wanted - found.keys():
            try:
                found[name] = await self._hub.user(name)
            except NotFound:
                self._log.info("The hub does not know %s, who has something here.", name)
        return found

    def _lapse(self, user: HubUser, activity: str) -> Lapse | None:
        person = person_of(self._platform, user.name, user.groups, admin=user.admin)
        return lapse(self._platform, person, activity, self.standings.get(user.name))

    async def _drain(self, sessions: list[Running], people: dict[str, HubUser]) -> None:
        others: Mapping[str, Lapse] = ChainMap(*(dict(other.lapses) for other in self._others))
        verdicts = {
            one.uid: self._lapse(people[one.person], one.activity) or others.get(one.uid)
            for one in sessions
            if one.person in people
        }
        notice_s = self._platform.access.notice_s
        decided = plan(sessions, verdicts, self.drains, now=self._clock(), notice_s=notice_s)
        if decided.begin or decided.call_off:
            await self._database.write(keep, decided)
        await self._tell(decided, {one.uid for one in sessions}, self._clock())
        self.drains = await self._database.read(drains)
        for one in decided.stop:
            await self._stop(one)

    async def _tell(self, decided: Plan, there: set[str], now: float) -> None:
        """The audit: what begins, what is called off, and what has ended; the last when it is seen to be gone."""
        for one in decided.begin:
            facts: dict[str, Fact] = {"server": one.server, "activity": one.activity, "due": one.due}
            await self._audit.note(Act(what="drain", about=one.person, why=one.sentence, facts=facts))
        for one in decided.call_off:
            if one.uid in there:
                why = _BACK.get(one.reason, f"The right to {one.activity} is back.")
                await self._audit.note(Act(what="drain-off", about=one.person, why=why, facts={"server": one.server}))
            elif one.due <= now:
                gone: dict[str, Fact] = {"server": one.server, "activity": one.activity}
                await self._audit.note(Act(what="stopped", about=one.person, why=one.sentence, facts=gone))

    async def _stop(self, one: Drain) -> None:
        try:
            await self._hub.stop(one.person, one.server)
        except AiinfnError as error:
            self._log.warning("The session %s/%s is stopped later: %s", one.person, one.server, error)

    async def _hold(self, waiting: list[Waiting], people: dict[str, HubUser]) -> None:
        """Put aside what waits and may not go on; take up what we had put aside and may."""
        by_owner = {workload.owner_uid: workload for workload in self._workloads.items.values()}
        held: dict[str, list[Workload]] = {}
        for one in waiting:
            workload = by_owner.get(one.uid)
            if workload is None or one.person not in people:
                continue
            found = self._lapse(people[one.person], one.activity)
            if found is not None and (waits(workload) or workload.held):
                held.setdefault(one.person, []).append(workload)
            if found is not None and waits(workload):
                await self._set_aside(workload, one, found.sentence)
            elif found is None and workload.held:
                await self._set_aside(workload, one, "")
        self.held = held

    async def _set_aside(self, workload: Workload, one: Waiting, why: str) -> None:
        patch = {"metadata": {"annotations": {names.HELD: why or None}}, "spec": {"active": not why}}
        try:
            await self.client.patch(WORKLOADS, workload.name, patch, workload.namespace)
        except AiinfnError as error:
            self._log.warning("%s of %s is looked at again later: %s", workload.owner_name, one.person, error)
            return
        facts = {"name": workload.owner_name, "activity": one.activity}
        sentence = why or f"The right to {one.activity} is back."
        await self._audit.note(Act(what="held" if why else "held-off", about=one.person, why=sentence, facts=facts))

    def notices(self, person: str) -> list[Notice]:
        """What the person should know, the most pressing first."""
        found = [of_drain(one) for one in self.drains.values() if one.person == person]
        found += [notice for other in self._others for notice in other.notices(person)]
        held = self.held.get(person)
        if held:
            found.append(of_held(person, held))
        standing = self.standings.get(person)
        if standing is not None:
            found.append(of_standing(person, standing))
        return sorted(found, key=lambda notice: notice.due or float("inf"))


def _sessions(pods: Iterable[Pod]) -> Iterable[Running]:
    for pod in pods:
        if names.PERSON_NAME not in pod.annotations or pod.labels.get(names.KIND) != names.SESSION:
            continue
        if pod.phase not in FINISHED and pod.deleted_at is None and not is_ticket(pod):
            person, server = pod.annotations[names.PERSON_NAME], pod.annotations.get(names.SERVER, "")
            yield Running(pod.uid, person, server, pod.labels.get(names.ACTIVITY, ""))


def _tickets(pods: Iterable[Pod]) -> Iterable[Waiting]:
    for pod in pods:
        if is_ticket(pod):
            yield Waiting(pod.uid, pod.annotations[names.PERSON_NAME], pod.labels.get(names.ACTIVITY, ""))
