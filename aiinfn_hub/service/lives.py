"""How long each session may go on: what its server reports, what Prometheus measured, how it was extended, its node."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from aiinfn_hub.accounting.extensions import extend, extended
from aiinfn_hub.accounting.measuring import STEP_S, busiest
from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.accounting.quotas import of_session
from aiinfn_hub.capacity.inventory import FINISHED
from aiinfn_hub.catalogue import Flavour, Idle, Platform
from aiinfn_hub.contract.life import Extension, SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden, NotFound, RemoteFailed, Unavailable
from aiinfn_hub.identity.audit import Act, Fact
from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.identity.person import Caller
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.slim import Node, Pod
from aiinfn_hub.pods import names
from aiinfn_hub.service.audit import Audit
from aiinfn_hub.sessions import lifetime, maintenance
from aiinfn_hub.sessions.lifetime import Idleness, Life, Use
from aiinfn_hub.sessions.tickets import is_ticket

#: Seconds between two looks, and for which an answer of Prometheus about a session holds.
EVERY_S, ASK_S = 15.0, 60.0
#: Of the looks that Prometheus should have had at a device, the share that is enough.
ENOUGH = 0.9
#: Seconds by which two people (or two tabs) may differ about when a session ends, and mean the same.
SAME_S = 1.0


class Lives:
    """Looks at every session.

    Attributes:
        lapses: why a session is to end, by the uid of its pod.
        on_news: called when that may be another, so that nobody waits for the next look.
    """

    def __init__(
        self,
        platform: Platform,
        audit: Audit,
        pods: WatchCache[Pod],
        nodes: WatchCache[Node],
        *,
        prometheus: Prometheus | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lapses: dict[str, Lapse] = {}
        self.on_news: Callable[[], None] = lambda: None
        self._platform = platform
        self._audit = audit
        self._database = audit.database
        self._pods = pods
        self._nodes = nodes
        self._prometheus = prometheus
        self._clock = clock
        self._log = logging.getLogger("aiinfn.lives")
        # Of every session that was looked up, also those that were not extended.
        self._extended: dict[str, float] = {}
        self._mine: dict[str, list[str]] = {}
        self._by_name: dict[str, Node] = {}
        self._uses: dict[str, Use] = {}
        self._devices: dict[str, tuple[float, bool | None]] = {}

    async def run(self) -> None:
        """Look for ever."""
        await self._pods.synced.wait()
        while True:
            try:
                await self.look()
            except AiinfnError as error:
                # Nobody new is to end while nobody knows how far sessions were extended.
                self._log.warning("How long sessions last is looked at later: %s", error)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Once.

        Raises:
            Unavailable: the database does not answer.
        """
        there = {pod.uid: pod for pod in self._pods.items.values() if _runs(pod)}
        await self._learn(there)
        self._uses = {uid: use for uid, use in self._uses.items() if uid in there}
        self._devices = {uid: seen for uid, seen in self._devices.items() if uid in there}
        self._extended = {uid: seconds for uid, seconds in self._extended.items() if uid in there}
        self._by_name = {node.name: node for node in self._nodes.items.values()}
        self._mine = {}
        for pod in there.values():
            self._mine.setdefault(pod.annotations[names.PERSON_NAME], []).append(pod.uid)
        await self._look_at_devices(there.values())
        found = {pod.uid: self._lapse(pod) for pod in there.values()}
        self.lapses = {uid: lapse for uid, lapse in found.items() if lapse is not None}

    async def _learn(self, uids: Collection[str]) -> None:
        """How far sessions were extended; that only grows, whichever answer comes later."""
        known = await self._database.read(extended, list(uids))
        self._extended |= {uid: max(known.get(uid, 0.0), self._extended.get(uid, 0.0)) for uid in uids}

    async def _look_at_devices(self, pods: Iterable[Pod]) -> None:
        """Ask what the devices of sessions did, where that is all that is missing to call them idle."""
        for pod in pods:
            rule, now = self._rule(pod), self._clock()
            if self._prometheus is None or rule is None or now - self._devices.get(pod.uid, (0.0, None))[0] < ASK_S:
                continue
            idle = lifetime.idleness(rule, self._uses.get(pod.uid), device=False, device_quiet=None, now=now).since
            if not self._accelerated(pod) or idle is None or now - idle < rule.after_s:
                continue
            try:
                self._devices[pod.uid] = (now, await _quiet(self._prometheus, pod, rule, now))
            except RemoteFailed as error:
                self._log.warning("What %s does with its accelerator is not known: %s", pod.name, error)
            except Unavailable as error:
                self._log.warning("What accelerators do is not known: %s", error)
                return

    def _life(self, pod: Pod) -> Life | None:
        """None too while nobody knows how far it was extended: it does not end for that."""
        extended_s = self._extended.get(pod.uid)
        return None if extended_s is None else lifetime.life(self._platform, pod, extended_s)

    def _rule(self, pod: Pod) -> Idle | None:
        flavour = self._flavour(pod)
        return flavour.idle if flavour else None

    def _accelerated(self, pod: Pod) -> bool:
        flavour = self._flavour(pod)
        return flavour is not None and flavour.accelerator

    def _flavour(self, pod: Pod) -> Flavour | None:
        return self._platform.known_flavour(pod.labels.get(names.FLAVOUR, ""))

    def _idleness(self, pod: Pod, now: float) -> Idleness:
        rule = self._rule(pod)
        if rule is None:
            return Idleness()
        device = self._prometheus is not None and self._accelerated(pod)
        at, quiet = self._devices.get(pod.uid, (0.0, None))
        quiet = quiet if now - at <= 2 * ASK_S else None
        return lifetime.idleness(rule, self._uses.get(pod.uid), device=device, device_quiet=quiet, now=now)

    def _lapse(self, pod: Pod) -> Lapse | None:
        now, notice_s = self._clock(), self._platform.access.notice_s
        idle, node = self._idleness(pod, now), self._by_name.get(pod.node)
        own = lifetime.lapse(self._life(pod), idle, self._rule(pod), now=now, notice_s=notice_s)
        return maintenance.first(own, maintenance.lapse(node, now=now, notice_s=notice_s))

    def notices(self, person: str) -> list[Notice]:
        """What somebody should know of the nodes of their sessions, unless they read already that one ends."""
        mine = [pod for pod in self._sessions_of(person) if pod.uid not in self.lapses]
        told = [maintenance.notice(self._by_name.get(pod.node), pod) for pod in mine]
        return [one for one in told if one is not None]

    def _sessions_of(self, person: str) -> list[Pod]:
        """Those of the last look that still run."""
        known = (self._pods.items.get(uid) for uid in self._mine.get(person, ()))
        return [pod for pod in known if pod is not None and _runs(pod)]

    async def pod_of(self, caller: Caller, server: str | None) -> Pod:
        """A session of the caller's own; a session's own token is for that one only.

        Raises:
            NotFound: it does not run.
            Unavailable: the database does not answer.
        """
        person, name = caller.person.name, (server if caller.server is None else caller.server) or ""
        # One that has just started is in none of the looks.
        for pod in (*self._sessions_of(person), *self._pods.items.values()):
            mine = pod.annotations.get(names.PERSON_NAME) == person and pod.annotations.get(names.SERVER) == name
            if mine and _runs(pod):
                if pod.uid not in self._extended:
                    await self._learn([pod.uid])
                return pod
        raise NotFound(f"You have no session {name or 'without a name'} that runs.", hint="Start it from the hub.")

    def hear(self, pod: Pod, said: SessionUse) -> SessionLife:
        """What a session says of itself; how long it may go on."""
        self._uses[pod.uid] = lifetime.heard(self._uses.get(pod.uid), said, self._rule(pod), self._clock())
        self._decide(pod)
        return self.shown(pod)

    def _decide(self, pod: Pod) -> None:
        """Judge one session anew; the next look judges all of them."""
        found, before = self._lapse(pod), self.lapses.pop(pod.uid, None)
        if found is not None:
            self.lapses[pod.uid] = found
        if (found is None) != (before is None):
            self.on_news()

    def shown(self, pod: Pod) -> SessionLife:
        """How long a session may go on."""
        known = self._life(pod)
        if known is None:
            return SessionLife("", pod.scheduled or pod.created, None)
        return lifetime.shown(known, self._idleness(pod, self._clock()))

    async def extend(self, pod: Pod, caller: Caller, wish: Extension) -> SessionLife:
        """Let a session go on for longer.

        Raises:
            Forbidden: the person may not charge its activity any more.
            Conflict: it has lasted as long as it may.
            QuotaExceeded: no quota has room for it.
        """
        await self._learn([pod.uid])
        known, now = self._life(pod), self._clock()
        if known is None or known.flavour is None or abs(known.ends - wish.ends) > SAME_S:
            return self.shown(pod)  # somebody, or another tab, was quicker
        activity = pod.labels.get(names.ACTIVITY, "")
        if activity not in caller.person.activities:
            raise Forbidden(f"You may not charge {activity} any more.", hint="Save what you need now.")
        if not known.extend_s:
            longest = format_duration(known.planned_s + known.extended_s)
            raise Conflict(
                f"It lasts {longest}, and may not last longer.",
                hint=f"Save what you need; {known.flavour.title} can be started again.",
            )
        server = pod.annotations.get(names.SERVER, "")
        ask = of_session(known.flavour, activity, caller.person.name, server, max(0.0, known.ends - now))
        wanted = {"more_s": known.extend_s, "extended_s": known.extended_s, "now": now}
        given = await self._database.write(extend, self._platform, ask, pod.uid, **wanted)
        await self._learn([pod.uid])
        if given:
            facts: dict[str, Fact] = {"server": server, "activity": activity, "seconds": given}
            name, why = caller.person.name, f"By {format_duration(given)}."
            await self._audit.note(Act(what="extended", actor=name, about=name, why=why, facts=facts))
        self._decide(pod)
        return self.shown(pod)


async def _quiet(prometheus: Prometheus, pod: Pod, rule: Idle, now: float) -> bool | None:
    """Whether the devices of a pod did nothing for the time of the rule; None where they were not looked at enough."""
    most, looks = busiest(pod.namespace, pod.name, rule.after_s)
    seen = await prometheus.value(looks, at=now)
    if seen is None or seen * STEP_S < rule.after_s * ENOUGH:
        return None
    found = await prometheus.value(most, at=now)
    return None if found is None else found < rule.accelerator_below


def _runs(pod: Pod) -> bool:
    if names.PERSON_NAME not in pod.annotations or pod.labels.get(names.KIND) != names.SESSION:
        return False
    return pod.phase not in FINISHED and pod.deleted_at is None and not is_ticket(pod)


class LifeHandler(ApiHandler):
    """How long a session of the caller's may go on. Query: server, its name, where no session speaks."""

    def initialize(self, lives: Lives) -> None:
        """Given by `routes`."""
        self.lives = lives

    async def pod(self) -> Pod:
        """The session that is meant."""
        return await self.lives.pod_of(self.caller, self.argument("server", None, str))

    async def get(self) -> None:
        """How long it may go on."""
        self.send(self.lives.shown(await self.pod()))

    async def put(self) -> None:
        """What it does; from itself, and nobody else.

        Raises:
            Forbidden: no session speaks.
        """
        if self.caller.server is None:
            raise Forbidden("Only a session says what it does.")
        self.send(self.lives.hear(await self.pod(), self.read(SessionUse)))

    async def post(self) -> None:
        """Let it go on for longer."""
        self.send(await self.lives.extend(await self.pod(), self.caller, self.read(Extension)))


def routes(prefix: str, *, lives: Lives) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """The route below `prefix`."""
    return [(rf"{prefix}/api/session", LifeHandler, {"lives": lives})]
