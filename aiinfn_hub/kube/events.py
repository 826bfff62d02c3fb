"""Events on objects, as `kubectl describe` shows them: one for each thing said, with a count when it is said again."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from aiinfn_hub.errors import AiinfnError, NotFound
from aiinfn_hub.kube.client import EVENTS, Kind, KubeClient, Object
from aiinfn_hub.kube.moments import rfc3339

#: Different things that may be said of one object in one go, and seconds until one more may (client-go's filter).
BURST, REFILL_S = 25, 300.0
#: Seconds within which the same thing said again is only counted.
QUIET_S = 5.0
#: Sentences and objects that are remembered; older ones start a new event.
REMEMBERED = 4096

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Involved:
    """The object that an event is about."""

    kind: Kind
    name: str
    uid: str
    namespace: str = ""

    @classmethod
    def of(cls, kind: Kind, obj: Object) -> Involved:
        """From a whole object."""
        meta = obj["metadata"]
        return cls(kind, meta["name"], meta["uid"], meta.get("namespace", ""))


@dataclass
class _Said:
    name: str
    count: int
    first: float
    written: float


class EventRecorder:
    """Writes events; a failure is logged and never reaches the caller, because an event is a courtesy.

    Args:
        component: who speaks: "default-scheduler", "job-controller".
        clock: Unix seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        component: str,
        *,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.client = client
        self.component = component
        self.clock = clock
        self.log = log or logging.getLogger("aiinfn.kube")
        self.dropped = 0
        self._said: OrderedDict[tuple[str, str, str], _Said] = OrderedDict()
        self._allowance: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def record(
        self, about: Involved, reason: str, message: str, *, kind: Literal["Normal", "Warning"] = "Normal"
    ) -> None:
        """Say something of an object; the same words again become a count."""
        key, now = (about.uid, reason, message), self.clock()
        said = self._said.get(key)
        if said is None and not self._allowed(about.uid, now):
            self.dropped += 1
            return
        try:
            if said is None:
                await self._create(about, reason, message, kind, now)
            else:
                await self._repeat(about, reason, message, kind, said)
        except AiinfnError as error:
            self.log.warning("The event %s of %s %s is lost: %s", reason, about.kind.kind, about.name, error)

    def _allowed(self, uid: str, now: float) -> bool:
        """A bucket of `BURST` tokens for each object, refilled slowly."""
        tokens, at = self._allowance.get(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - at) / REFILL_S)
        self._allowance[uid] = (tokens - 1 if tokens >= 1 else tokens, now)
        _forget_oldest(self._allowance, uid)
        return tokens >= 1

    async def _repeat(
        self, about: Involved, reason: str, message: str, kind: Literal["Normal", "Warning"], said: _Said
    ) -> None:
        now = self.clock()
        said.count += 1
        if now - said.written < QUIET_S:
            return
        said.written = now
        patch = {"count": said.count, "lastTimestamp": rfc3339(now)}
        try:
            await self.client.patch(EVENTS, said.name, patch, about.namespace or "default")
        except NotFound:
            # Events are forgotten after an hour; the next one starts again.
            await self._create(about, reason, message, kind, now)

    async def _create(
        self, about: Involved, reason: str, message: str, kind: Literal["Normal", "Warning"], now: float
    ) -> None:
        name = f"{about.name[:236]}.{time.time_ns():x}"
        said = _Said(name, 1, now, now)
        key = (about.uid, reason, message)
        self._said[key] = said
        _forget_oldest(self._said, key)
        reference = {
            "apiVersion": about.kind.api_version,
            "kind": about.kind.kind,
            "name": about.name,
            "uid": about.uid,
        } | ({"namespace": about.namespace} if about.namespace else {})
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace or "default"},
            "involvedObject": reference,
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "reportingInstance": "",
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "eventTime": None,
            "count": 1,
        }
        await self.client.create(EVENTS, event)


def _forget_oldest(memory: OrderedDict[K, V], used: K) -> None:
    memory.move_to_end(used)
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)
