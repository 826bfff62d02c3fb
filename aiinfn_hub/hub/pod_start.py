"""The pod of one start: made or taken over, its turn awaited, its token put in place, its gate opened.

The Secret comes after the pod, which owns it. In the queue a gate of ours holds the pod until then, so that one that
has to wait can be left behind as a ticket. Without a queue there is no gate: while the Secret is written the pod is
scheduled and its sandbox made, and a kubelet that is quicker tries again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.mail import Session as MailSession
from aiinfn_hub.hub.mail import turn_came
from aiinfn_hub.hub.outbox import tell
from aiinfn_hub.hub.refusal import Refusal, failed
from aiinfn_hub.hub.session_objects import Pod, gates, is_same, is_ticket
from aiinfn_hub.hub.session_tokens import Session as TokenSession
from aiinfn_hub.hub.session_tokens import first_token
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.diagnosis import refused
from aiinfn_hub.sessions.symptoms import Diagnosis

#: Seconds that a start waits while others make room for it: Kueue evicts at once, and what ends gets its grace.
ROOM_S = 30.0
#: Seconds between two looks at the watch's copy of the pod, and between two questions why it waits.
LOOK_S, ASK_S = 0.05, 1.0
_ABOUT_TO_START = frozenset({"reclaiming", "admitted"})
_GONE = Diagnosis("withdrawn", "queue", "Your session was taken out of the queue.", final=True)


class Session(TokenSession, MailSession, Protocol):
    """What the start needs to know of the spawner."""

    log: logging.LoggerAdapter[logging.Logger] | logging.Logger
    api_token: str
    queue_patience: float

    def reflected(self) -> Pod | None:
        """The pod as the watch shows it."""

    async def diagnosis(self) -> Diagnosis:
        """What it waits for."""

    async def waits(self, found: Diagnosis) -> Refusal:
        """What to raise when it goes on waiting without us."""

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002  KubeSpawner's signature
        """Stop the pod that has the name."""


class PodStart:
    """One start.

    Attributes:
        uid: of the pod, once it is known.
        withdrawn: somebody stopped the start while it waited for its turn: the pod is not to stay as a ticket.
        opened: our gate may be gone, whatever the watch still shows.
    """

    def __init__(self, session: Session, labels: Mapping[str, str]) -> None:
        self.uid = ""
        self.withdrawn = False
        self.opened = False
        self._told: asyncio.Task[None] | None = None
        self._session = session
        self._log = session.log
        self._labels = labels

    def left(self, pod: Pod | None) -> bool:
        """Whether the pod was left in the queue, by this start or by one of an earlier hub.

        The watch may still show the gate of a pod that this start has let go.
        """
        return is_ticket(pod) and not (self.withdrawn or self.opened)

    async def make(self, manifest: Pod) -> bool:
        """Bring the pod to where it starts by itself; False to be called again.

        Raises:
            Refusal: it has to wait, or waiting is of no use.
        """
        try:
            return await self._make(manifest)
        except AiinfnError as error:
            found = refused(int(error.details.get("status", 500)), error.message)
            if not found.final:
                self._log.warning("Kubernetes refused pod %s for now: %s", manifest["metadata"]["name"], error)
                return False
            raise failed(found) from error

    async def _make(self, manifest: Pod) -> bool:
        objects = self._session.objects
        pod = await objects.create_pod(manifest)
        if pod is None:
            return False
        if pod["metadata"]["uid"] != self.uid and not is_same(pod, manifest):
            await self._make_way(pod)
            return False
        self.uid = pod["metadata"]["uid"]
        held = names.GATE in gates(pod)
        if held:
            pod = await self._take_turn(pod)
        await objects.put_token(self._session.api_token, self._labels, self.uid)
        await first_token(self._session, self.uid)
        if held:
            self.opened = True
            await objects.open_gate(pod)
            self._told = turn_came(self._session, pod)
        tell(self._session, "session-started", self.uid)
        return True

    async def _make_way(self, pod: Pod) -> None:
        """Another choice gives the place of its ticket back; a pod of an earlier start is stopped."""
        if is_ticket(pod):
            await self._session.objects.delete_pod(pod["metadata"]["uid"])
        else:
            await self._session.stop(now=True)

    async def _take_turn(self, pod: Pod) -> Pod:
        if _let_in(pod):
            return pod
        try:
            found = await turn(self._reflected, self._session.diagnosis, self._session.queue_patience)
        except asyncio.CancelledError:
            # JupyterHub cancels a start when somebody stops the server: a word, where a park is none.
            self.withdrawn = True
            raise
        if not isinstance(found, Diagnosis):
            return found
        if found.final:
            await self._session.objects.delete_pod(self.uid)
            raise failed(found)
        raise await self._session.waits(found)

    def _reflected(self) -> Pod | None:
        pod = self._session.reflected()
        return pod if pod is not None and pod["metadata"]["uid"] == self.uid else None


def _let_in(pod: Pod) -> bool:
    return not set(gates(pod)) - {names.GATE}


async def turn(
    look: Callable[[], Pod | None], why: Callable[[], Awaitable[Diagnosis]], patience_s: float
) -> Pod | Diagnosis:
    """Wait for the queue: the pod once it is let in, else what it waits for after `patience_s` or is refused for.

    Args:
        look: the pod as the watch shows it; None before it does, and when the pod is gone.
        why: asks what the pod waits for.
        patience_s: seconds; more are granted while others make room.
    """
    began, asked, seen = time.monotonic(), float("-inf"), False
    asking: asyncio.Future[Diagnosis] | None = None
    try:
        while True:
            pod = look()
            if pod is not None and _let_in(pod):
                return pod
            if pod is None and seen:
                return _GONE
            seen = pod is not None
            now = time.monotonic()
            if asking is None and now - asked >= min(ASK_S, patience_s):
                # Beside the loop: a slow answer must not delay a start that is let in meanwhile.
                asked, asking = now, asyncio.ensure_future(why())
            elif asking is not None and asking.done():
                found, asking = asking.result(), None
                granted = ROOM_S if found.cause in _ABOUT_TO_START else patience_s
                if found.final or now - began >= granted:
                    return found
            await asyncio.sleep(LOOK_S)
    finally:
        if asking is not None:
            asking.cancel()
