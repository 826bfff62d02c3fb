"""The submit flow against a real API, interrupted and refused at every step."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from support.offload import NOW, heritage, order, person, platform, request
from support.offload_service import NAMESPACE, Cluster, NoBudget, cluster_api, no_token, sqlite

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden, QuotaExceeded, Unavailable
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, SECRETS, KubeClient
from aiinfn_hub.offload import capability, manifest, runs
from aiinfn_hub.offload.bell import Bell
from aiinfn_hub.offload.entry import MAX_ACTIVE
from aiinfn_hub.offload.observe import Sight
from aiinfn_hub.offload.orders import Shipment, order_of
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.submit import RUNNER_S, STAGING_S, Submitter
from aiinfn_hub.offload.why import why
from aiinfn_hub.store.engine import Database

S = JobState
SHIPMENT = Shipment({"boot.py": "pass"}, "http://runs.example.org")
STEPS = ["create jobs", "create configmaps", "create secrets", "patch jobs"]


class Killed(BaseException):
    """What kill -9 is to a coroutine."""


class Interrupted:
    """The real client, until the step at which something happens: before the request goes out, or after its answer."""

    def __init__(self, client: KubeClient, step: str, failure: Callable[[], BaseException], *, after: bool) -> None:
        self.client, self.step, self.failure, self.after = client, step, failure, after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self.client, name)

        async def call(kind: Any, *args: Any, **options: Any) -> Any:
            hit = f"{name} {kind.plural}" == self.step
            if hit and not self.after:
                raise self.failure()
            answer = await real(kind, *args, **options)
            if hit:
                raise self.failure()
            return answer

        return call


class Slow(Interrupted):
    """Waits before the Secret until it may go on."""

    def __init__(self, client: KubeClient) -> None:
        super().__init__(client, "", Killed, after=False)
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        real = getattr(self.client, name)

        async def call(kind: Any, *args: Any, **options: Any) -> Any:
            if name == "create" and kind is SECRETS:
                self.reached.set()
                await self.go.wait()
            return await real(kind, *args, **options)

        return call


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with cluster_api(tmp_path) as found:
        yield found


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = sqlite(tmp_path)
    yield found
    found.close()


def submitter(database: Database, client: Any, **options: Any) -> Submitter:
    options = {"give_token": no_token, "budget": NoBudget()} | options
    return Submitter(options.pop("platform", platform()), database, client, SHIPMENT, Bell(), **options)


async def submit(room: Submitter, key: str = "key", **wanted: Any) -> Run:
    run, _ = await room.submit(person(), request(**wanted), heritage(), key)
    return run


async def assert_complete(client: KubeClient, database: Database, run: Run) -> None:
    """The run is queued, and there is one of everything, which fits together."""
    assert run.state is S.QUEUED
    cluster = Cluster(client)
    assert await cluster.objects() == {"jobs": 1, "configmaps": 1, "secrets": 1}
    job = await cluster.job(run.id)
    assert manifest.GATED_BY not in job["metadata"]["annotations"]
    assert run.job_uid == job["metadata"]["uid"]
    secret = await cluster.capability(run.id)
    assert database.run(capability.check, run.id, secret, now=run.submitted_at)


@pytest.mark.asyncio
async def test_a_job_is_put_in_place_and_let_go(client: KubeClient, database: Database) -> None:
    run = await submit(submitter(database, client))
    await assert_complete(client, database, run)
    for kind in (CONFIGMAPS, SECRETS):
        found = await client.get(kind, run.job_name, NAMESPACE)
        assert found["metadata"]["ownerReferences"][0]["uid"] == run.job_uid


@pytest.mark.asyncio
async def test_the_runner_is_there_once_for_all_jobs_and_comes_back(client: KubeClient, database: Database) -> None:
    now = [time.time()]
    room = submitter(database, client, clock=lambda: now[0])
    first, second = await submit(room, "a"), await submit(room, "b")
    found = await client.get(CONFIGMAPS, SHIPMENT.name, NAMESPACE)
    assert (found["data"], found["immutable"]) == (SHIPMENT.runner, True)
    assert "ownerReferences" not in found["metadata"]
    for run in (first, second):
        job = await Cluster(client).job(run.id)
        volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
        assert volumes["code"]["configMap"]["name"] == SHIPMENT.name
        assert list((await client.get(CONFIGMAPS, run.job_name, NAMESPACE))["data"]) == ["spec.json"]
    await client.delete(CONFIGMAPS, SHIPMENT.name, NAMESPACE)  # by somebody who tidies up
    now[0] += RUNNER_S + 1
    await submit(room, "c")
    assert await client.get(CONFIGMAPS, SHIPMENT.name, NAMESPACE)
    assert Shipment({"boot.py": "other"}, "").name != SHIPMENT.name


class Crowded(NoBudget):
    """There are units for so many jobs at once, whoever asks."""

    def __init__(self, units: int) -> None:
        self.units = units

    def place(self, connection: sa.Connection, run: Run, *, now: float) -> str:
        placed = [other for other in runs.active(connection) if other.placed_at is not None]
        return "None is left." if len(placed) >= self.units else super().place(connection, run, now=now)


@pytest.mark.asyncio
async def test_a_job_without_units_waits_before_the_queue_in_its_order(client: KubeClient, database: Database) -> None:
    budget, later = Crowded(1), [0.0]
    room = submitter(database, client, budget=budget, clock=lambda: time.time() + later[0])
    first, second, third = [await submit(room, key) for key in "abc"]
    await assert_complete(client, database, first)
    for run in (second, third):
        assert (run.state, run.reason) == (S.STAGING, "None is left. It goes into the queue when there is room.")
    assert why(second, Sight(None, [], None)).next_step == "End something of yours that holds them, and it goes sooner."
    later[0] = 30 * 86400.0
    await room.sweep()
    assert [database.run(runs.get, run.id).state for run in (first, second)] == [S.QUEUED, S.STAGING]
    await room.cancel(first)
    await room.sweep()
    assert database.run(runs.get, second.id).state is S.QUEUED, "a month later, and not given up"
    assert database.run(runs.get, third.id).state is S.STAGING
    await room.cancel(third)
    assert database.run(runs.get, third.id).state is S.CANCELLED
    budget.units = 9
    await room.sweep()
    assert await Cluster(client).objects() == {"jobs": 1, "configmaps": 1, "secrets": 1}


@pytest.mark.asyncio
async def test_a_small_job_does_not_overtake_a_large_one_of_the_same_person(
    client: KubeClient, database: Database
) -> None:
    asked: list[str] = []

    class Full(NoBudget):
        def place(self, connection: sa.Connection, run: Run, *, now: float) -> str:
            asked.append(run.id)
            return "None is left."

    room = submitter(database, client, budget=Full())
    first, _ = [await submit(room, key) for key in "ab"]
    asked.clear()
    await room.sweep()
    assert asked == [first.id]


@pytest.mark.asyncio
async def test_the_job_stays_gated_until_its_secret_is_there(client: KubeClient, database: Database) -> None:
    broken = Interrupted(client, "create secrets", Killed, after=False)
    with pytest.raises(Killed):
        await submit(submitter(database, broken))
    job = (await client.list(JOBS, NAMESPACE))[0][0]
    assert job["metadata"]["annotations"][manifest.GATED_BY] == manifest.INPUTS_GATE
    assert job["spec"]["suspend"] is True


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_killed_service_continues_where_it_was(
    client: KubeClient, database: Database, step: str, *, after: bool
) -> None:
    with pytest.raises(Killed):
        await submit(submitter(database, Interrupted(client, step, Killed, after=after)))
    (left,) = database.run(runs.active)
    assert left.state is S.STAGING
    await submitter(database, client).sweep()
    await assert_complete(client, database, database.run(runs.get, left.id))


@pytest.mark.asyncio
async def test_a_restart_does_not_take_the_capability_from_a_pod_that_has_it(
    client: KubeClient, database: Database
) -> None:
    with pytest.raises(Killed):
        await submit(submitter(database, Interrupted(client, "patch jobs", Killed, after=True)))
    (left,) = database.run(runs.active)
    secret = await Cluster(client).capability(left.id)
    await submitter(database, client).sweep()
    assert database.run(capability.check, left.id, secret, now=left.submitted_at)


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_refusal_fails_the_job_and_leaves_nothing(
    client: KubeClient, database: Database, step: str, *, after: bool
) -> None:
    def refusal() -> AiinfnError:
        return Forbidden("exceeded quota: pods")

    run = await submit(submitter(database, Interrupted(client, step, refusal, after=after)))
    assert (run.state, run.verdict) == (S.FAILED, "exceeded quota: pods")
    async with asyncio.timeout(3):
        while any((await Cluster(client).objects()).values()):
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
@pytest.mark.parametrize("step", STEPS)
async def test_a_silent_cluster_is_asked_again(client: KubeClient, database: Database, step: str) -> None:
    def silence() -> AiinfnError:
        return Unavailable("no answer")

    run = await submit(submitter(database, Interrupted(client, step, silence, after=False)))
    assert run.state is S.STAGING
    assert "tried again" in run.reason
    await submitter(database, client).sweep()
    await assert_complete(client, database, database.run(runs.get, run.id))


@pytest.mark.asyncio
async def test_a_cluster_that_stays_silent_fails_the_job_in_the_end(client: KubeClient, database: Database) -> None:
    def silence() -> AiinfnError:
        return Unavailable("no answer")

    run = await submit(submitter(database, Interrupted(client, "create jobs", silence, after=False)))
    late = submitter(database, client, clock=lambda: run.submitted_at + STAGING_S + 1)
    await late.sweep()
    assert database.run(runs.get, run.id).state is S.FAILED
    assert (await Cluster(client).objects())["jobs"] == 0


@pytest.mark.asyncio
async def test_a_job_of_that_name_that_is_none_of_ours_is_not_taken(client: KubeClient, database: Database) -> None:
    foreign: list[str] = []

    class Before(Interrupted):
        """Somebody was faster."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            real = super().__getattr__(name)

            async def call(kind: Any, *args: Any, **options: Any) -> Any:
                if name == "create" and kind is JOBS and not foreign:
                    body = {**args[0], "metadata": {**args[0]["metadata"], "labels": {}}}
                    foreign.append((await self.client.create(JOBS, body))["metadata"]["name"])
                return await real(kind, *args, **options)

            return call

    run = await submit(submitter(database, Before(client, "", Killed, after=False)))
    assert run.state is S.FAILED
    assert "another Job named" in run.verdict


@pytest.mark.asyncio
async def test_the_sweep_does_not_disturb_what_is_being_staged(client: KubeClient, database: Database) -> None:
    slow = Slow(client)
    room = submitter(database, slow)
    task = asyncio.create_task(submit(room))
    await slow.reached.wait()
    await room.sweep()
    slow.go.set()
    await assert_complete(client, database, await task)


@pytest.mark.asyncio
async def test_who_submits_waits_for_a_sweep_that_was_faster(client: KubeClient, database: Database) -> None:
    broken = Interrupted(client, "create jobs", lambda: Unavailable("no answer"), after=False)
    run = await submit(submitter(database, broken))
    slow = Slow(client)
    room = submitter(database, slow)
    sweep = asyncio.create_task(room.sweep())
    await slow.reached.wait()
    mine = asyncio.create_task(room.stage(run))
    await asyncio.sleep(0.05)
    assert not mine.done()
    slow.go.set()
    await mine
    await assert_complete(client, database, database.run(runs.get, run.id))
    await sweep


@pytest.mark.asyncio
async def test_a_cancel_while_it_is_being_staged_wins(client: KubeClient, database: Database) -> None:
    room = submitter(database, client)

    class Cancelling(Interrupted):
        """Its owner changes their mind."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            real = getattr(self.client, name)

            async def call(kind: Any, *args: Any, **options: Any) -> Any:
                if name == "create" and kind is SECRETS:
                    (run,) = database.run(runs.active)
                    await room.cancel(run)
                return await real(kind, *args, **options)

            return call

    room.client = Cancelling(client, "", Killed, after=False)  # type: ignore[assignment]  # as good as one
    run = await submit(room)
    assert run.state is S.CANCELLED
    async with asyncio.timeout(3):
        while any((await Cluster(client).objects()).values()):
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_cancelling_a_queued_job_deletes_all_of_it(client: KubeClient, database: Database) -> None:
    room = submitter(database, client)
    cancelled = await room.cancel(await submit(room))
    assert (cancelled.state, cancelled.reason) == (S.CANCELLED, "Cancelled by you.")
    async with asyncio.timeout(3):
        while any((await Cluster(client).objects()).values()):
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_a_cancel_that_the_cluster_did_not_hear_is_remembered(client: KubeClient, database: Database) -> None:
    run = await submit(submitter(database, client))

    def silence() -> AiinfnError:
        return Unavailable("no answer")

    deaf = submitter(database, Interrupted(client, "delete jobs", silence, after=False))
    await deaf.cancel(run)
    assert database.run(runs.get, run.id).cancel_requested


@pytest.mark.asyncio
async def test_cancelling_what_is_over_is_a_conflict(client: KubeClient, database: Database) -> None:
    room = submitter(database, client)
    run = await submit(room)
    database.run(runs.move, run.id, S.FAILED, now=NOW)
    with pytest.raises(Conflict, match="is over"):
        await room.cancel(run)


@pytest.mark.asyncio
async def test_a_staging_job_that_was_cancelled_before_a_restart_ends(client: KubeClient, database: Database) -> None:
    with pytest.raises(Killed):
        await submit(submitter(database, Interrupted(client, "create secrets", Killed, after=False)))
    (left,) = database.run(runs.active)
    database.run(runs.ask_to_cancel, left.id, now=NOW)
    await submitter(database, client).sweep()
    assert database.run(runs.get, left.id).state is S.CANCELLED
    assert (await Cluster(client).objects())["jobs"] == 0


@pytest.mark.asyncio
async def test_the_same_key_at_the_same_time_is_one_job(client: KubeClient, database: Database) -> None:
    room = submitter(database, client)
    found = await asyncio.gather(*(room.submit(person(), request(), heritage(), "key") for _ in range(5)))
    assert len({run.id for run, _ in found}) == 1
    assert sorted(created for _, created in found) == [False] * 4 + [True]
    assert (await Cluster(client).objects())["jobs"] == 1


@pytest.mark.asyncio
async def test_nobody_has_jobs_without_end(
    client: KubeClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiinfn_hub.offload.entry.MAX_ACTIVE", 2)
    room = submitter(database, client)
    for key in ("1", "2"):
        await submit(room, key)
    with pytest.raises(QuotaExceeded, match=r"2 jobs|not over"):
        await submit(room, "3")
    assert MAX_ACTIVE > 2
    assert len(database.run(runs.active)) == 2


@pytest.mark.asyncio
async def test_a_flavour_that_left_the_catalogue_fails_the_job(client: KubeClient, database: Database) -> None:
    with pytest.raises(Killed):
        await submit(submitter(database, Interrupted(client, "create jobs", Killed, after=False)), gpu="t4")
    (left,) = database.run(runs.active)
    document = platform().model_dump()
    document["flavours"] = [flavour for flavour in document["flavours"] if flavour["name"] != "t4"]
    await submitter(database, client, platform=Platform.model_validate(document)).sweep()
    ended = database.run(runs.get, left.id)
    assert ended.state is S.FAILED
    assert "no flavour 't4'" in ended.verdict


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wanted",
    [{}, {"gpu": "1g.5gb:2"}, {"target": "leonardo"}, {"image": "apptainer:/cvmfs/unpacked.infn.it/x"}],
    ids=str,
)
async def test_a_stored_run_gives_the_manifest_that_was_decided(
    client: KubeClient, database: Database, wanted: dict[str, Any]
) -> None:
    run = await submit(submitter(database, client), **wanted)
    again = order_of(platform(), run, Shipment(SHIPMENT.runner, "https://runs.example.org"))
    direct = order(request(**wanted), run_id=run.id, activity_reason=run.activity_reason, runner=SHIPMENT.name)
    assert manifest.job_manifest(platform(), again) == manifest.job_manifest(platform(), direct)


@pytest.mark.asyncio
async def test_no_secret_is_in_the_database_or_in_the_job(client: KubeClient, database: Database) -> None:
    run = await submit(submitter(database, client))
    secret = await Cluster(client).capability(run.id)
    job = await Cluster(client).job(run.id)
    configmap = await client.get(CONFIGMAPS, run.job_name, NAMESPACE)
    for text in (str(database.run(runs.get, run.id)), str(job), str(configmap)):
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode() not in text


@pytest.mark.asyncio
@pytest.mark.parametrize("found", [None, 200_123])
async def test_the_posix_user_is_what_was_found_and_not_what_was_sent(
    client: KubeClient, database: Database, found: int | None
) -> None:
    """Security rule 1."""
    room = submitter(database, client)
    run, _ = await room.submit(person(), request(uid=0), replace(heritage(), uid=found), "key")
    assert run.wanted.uid == found


@pytest.mark.asyncio
async def test_the_token_is_there_before_the_job_is_let_go(client: KubeClient, database: Database) -> None:
    seen: list[tuple[str, str]] = []

    async def give(run: Run, job_uid: str) -> None:
        job = await Cluster(client).job(run.id)
        assert job["metadata"]["annotations"][manifest.GATED_BY] == manifest.INPUTS_GATE
        seen.append((run.id, job_uid))

    run = await submit(submitter(database, client, give_token=give), token=True)
    assert seen == [(run.id, run.job_uid)]
    await assert_complete(client, database, run)


@pytest.mark.asyncio
async def test_a_job_waits_for_its_token_and_fails_if_there_can_be_none(client: KubeClient, database: Database) -> None:
    errors: list[AiinfnError] = [
        Unavailable("There is no token for the job: the IAM is away."),
        Forbidden("There is no token for the job: the login is over."),
    ]

    async def give(_run: Run, _job_uid: str) -> None:
        raise errors.pop(0)

    room = submitter(database, client, give_token=give)
    run = await submit(room, token=True)
    assert (run.state, run.reason) == (
        S.STAGING,
        "There is no token for the job: the IAM is away. It is tried again.",
    )
    await room.sweep()
    run = database.run(runs.get, run.id)
    assert (run.state, run.verdict) == (S.FAILED, "There is no token for the job: the login is over.")
