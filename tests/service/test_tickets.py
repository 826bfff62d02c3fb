"""The sessions in the queue as the service follows them: a fake hub, fake caches, a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.cluster_records import pod
from support.fakecache import FakeCache

from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden, NotFound, RemoteFailed, Unavailable
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.pods import names
from aiinfn_hub.service.tickets import AGAIN_S, AT_ONCE, Tickets
from aiinfn_hub.sessions.tickets import TAKE_WITHIN_S

pytestmark = pytest.mark.asyncio

KUEUE = "kueue.x-k8s.io/admission"
NOW, STEP_S = 1000.0, 0.02


class Hub:
    """Answers with the errors that a test lists, then well; counts the questions that are open."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.errors: list[AiinfnError] = []
        self.open = self.most = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def start(self, person: str, server: str) -> None:
        self.asked.append((person, server))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await self.answer.wait()
        finally:
            self.open -= 1
        if self.errors:
            raise self.errors.pop(0)


class Cluster:
    """Deletes as the API does: what was deleted leaves the cache."""

    def __init__(self, pods: FakeCache) -> None:
        self.pods = pods
        self.deleted: list[tuple[str, str]] = []
        self.error: AiinfnError | None = None

    async def delete(self, kind: Any, name: str, namespace: str, *, grace_s: int, uid: str) -> None:
        assert (kind.plural, namespace, grace_s) == ("pods", "aiinfn", 0)
        self.deleted.append((name, uid))
        if uid in self.pods.items:
            self.pods.drop(self.pods.items[uid])
        if self.error is not None:
            raise self.error


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.why: dict[str, str] = {}
        self.pods, self.workloads, self.hub = FakeCache(), FakeCache(), Hub()
        self.cluster = Cluster(self.pods)
        self.tickets = self.another()

    def another(self) -> Tickets:
        """As after a restart of the service."""
        parts: Any = (self.cluster, self.hub, self.pods, self.workloads)
        found = Tickets(*parts, full=self.full, clock=lambda: self.now, step_s=STEP_S)
        self.pods.on_event = lambda event, pod, _before: found.notice(event, pod)
        return found

    async def full(self, ticket: Any) -> str:
        """As a test says."""
        return self.why.get(ticket.pod.uid, "")

    def put(self, found: Pod, admitted: float | None = None) -> None:
        self.pods.put(found)
        owner = {"owner_kind": "Pod", "owner_uid": found.uid, "queue": "lhcb-interactive"}
        self.workloads.put(
            Workload(
                uid=f"w-{found.uid}", name="w", namespace="aiinfn", created=found.created, admitted=admitted, **owner
            )
        )


def ticket(uid: str = "mine", *, let_in: bool = True, person: str = "alice", server: str = "", **more: Any) -> Pod:
    gates = (names.GATE,) if let_in else (names.GATE, KUEUE)
    notes = {names.PERSON_NAME: person, names.SERVER: server}
    known: dict[str, Any] = {"node": "", "phase": "Pending", "created": 100.0, "gates": gates, "annotations": notes}
    return pod(uid=uid, **known | more)


@asynccontextmanager
async def running(tickets: Tickets) -> AsyncIterator[None]:
    task = asyncio.create_task(tickets.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def steps(count: int = 3) -> None:
    """Let the loop look some times more."""
    await asyncio.sleep(STEP_S * count)


@pytest.fixture
def world() -> World:
    return World()


async def test_the_hub_is_asked_when_the_queue_lets_a_session_in_and_not_before(world: World) -> None:
    async with running(world.tickets):
        world.put(ticket(let_in=False, server="lab"))
        await steps()
        assert world.hub.asked == []
        world.put(ticket(server="lab", rv="2"), admitted=NOW - 1)
        await until(lambda: world.hub.asked == [("alice", "lab")])
    assert world.cluster.deleted == []


async def test_one_question_at_a_time_for_each_and_not_more_often_than_every_few_seconds(world: World) -> None:
    world.hub.answer.clear()
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        await until(lambda: world.hub.open == 1)
        await steps()
        assert len(world.hub.asked) == 1
        world.hub.answer.set()
        await steps()
        assert len(world.hub.asked) == 1
        world.now += AGAIN_S[0]
        await until(lambda: len(world.hub.asked) == 2)
        await steps()
        assert len(world.hub.asked) == 2


async def test_questions_about_many_are_asked_a_few_at_a_time(world: World) -> None:
    world.hub.answer.clear()
    async with running(world.tickets):
        for number in range(30):
            world.put(ticket(f"t{number}", person=f"p{number}"), admitted=NOW)
        await until(lambda: world.hub.open == AT_ONCE)
        world.hub.answer.set()
        await until(lambda: len(world.hub.asked) == 30)
    assert world.hub.most == AT_ONCE
    assert len(set(world.hub.asked)) == 30


@pytest.mark.parametrize(
    "error", [Unavailable("away"), Conflict("busy"), RemoteFailed("no scope")], ids=lambda e: type(e).__name__
)
async def test_while_the_hub_does_not_take_it_the_ticket_stays_and_the_pauses_grow(
    world: World, error: AiinfnError
) -> None:
    world.hub.errors = [error] * 3
    pauses = []
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        for count in range(1, 4):
            await until(lambda count=count: len(world.hub.asked) == count and world.hub.open == 0)
            await steps()
            began = world.now
            while len(world.hub.asked) == count:
                world.now += 1
                await steps(2)
            pauses.append(world.now - began)
    assert pauses == [5, 10, 20]
    assert world.cluster.deleted == []


@pytest.mark.parametrize("error", [NotFound("no such user"), Forbidden("login again")], ids=lambda e: type(e).__name__)
async def test_a_refusal_that_is_final_gives_the_place_back(
    world: World, error: AiinfnError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.hub.errors = [error]
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        await until(lambda: world.cluster.deleted == [("jupyter-alice", "mine")])
    assert "jupyter-alice of alice leaves the queue" in caplog.text
    assert error.message in caplog.text


async def test_a_place_that_nobody_takes_is_given_back(world: World) -> None:
    world.hub.errors = [Unavailable("away")] * 1000
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        await until(lambda: len(world.hub.asked) == 1)
        world.now = NOW + TAKE_WITHIN_S + 60
        await until(lambda: bool(world.cluster.deleted))
    assert world.cluster.deleted == [("jupyter-alice", "mine")]


async def test_a_ticket_that_is_gone_already_is_no_error(world: World) -> None:
    world.cluster.error = NotFound("gone")
    world.hub.errors = [Forbidden("no")]
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        await until(lambda: bool(world.cluster.deleted))
        await steps()
    assert len(world.cluster.deleted) == 1


async def test_a_service_that_was_killed_goes_on_where_it_was(world: World) -> None:
    async with running(world.tickets):
        world.put(ticket(let_in=False))
        await steps()
    world.put(ticket(rv="2"), admitted=NOW)
    async with running(world.another()):
        await until(lambda: world.hub.asked == [("alice", "")])


async def test_a_session_whose_server_starts_is_asked_for_no_more(world: World) -> None:
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        await until(lambda: len(world.hub.asked) == 1)
        world.put(ticket(gates=(), rv="2"), admitted=NOW)
        world.now += 100
        await steps()
    assert len(world.hub.asked) == 1
    assert world.tickets.all() == []


async def test_each_person_has_their_own(world: World) -> None:
    world.put(ticket("a", let_in=False))
    world.put(ticket("b", let_in=False, person="bob", created=200.0))
    world.put(ticket("c", let_in=False, server="lab", created=300.0))
    assert [(one.uid, one.place, one.of) for one in world.tickets.of("alice")] == [("a", 1, 3), ("c", 3, 3)]
    assert [one.uid for one in world.tickets.of("bob")] == ["b"]
    assert world.tickets.of("nobody") == []


async def test_what_is_about_no_ticket_is_not_looked_at_again() -> None:
    world = World()
    world.put(ticket(let_in=False))
    known = world.tickets.all()
    world.pods.put(pod(uid="session"))
    world.pods.drop(world.pods.items["session"])
    assert world.tickets.all() is known


async def test_a_ticket_whose_server_starts_or_whose_pod_is_being_deleted_is_none() -> None:
    world = World()
    for uid in ("starts", "leaves", "stays"):
        world.put(ticket(uid, let_in=False))
    world.pods.put(pod(uid="starts"))
    world.pods.put(ticket("leaves", let_in=False, deleted_at=NOW))
    assert [one.pod.uid for one in world.tickets.all()] == ["stays"]
    assert [one.pod.uid for one in world.another().all()] == ["stays"], "as after a restart"


async def test_places_follow_the_queue() -> None:
    world = World()
    for uid, created in (("first", 100.0), ("second", 200.0)):
        world.put(ticket(uid, let_in=False, created=created))
    assert [one.offer.place for one in world.tickets.all()] == [1, 2]
    world.workloads.drop(world.workloads.items["w-first"])
    assert [(one.pod.uid, one.offer.place) for one in world.tickets.all()] == [("first", 0), ("second", 1)]


async def test_a_turn_that_comes_when_the_quota_is_gone_is_given_to_the_next(world: World) -> None:
    world.why["mine"] = "0.0 of 12 GPU-hours of a week are left; it asks for 0.8."
    async with running(world.tickets):
        world.put(ticket(), admitted=NOW)
        world.put(ticket("other", person="bob", server="lab"), admitted=NOW)
        await until(lambda: bool(world.cluster.deleted) and bool(world.hub.asked))
    assert [uid for _, uid in world.cluster.deleted] == ["mine"]
    assert world.hub.asked == [("bob", "lab")]
