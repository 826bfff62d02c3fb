"""What the service tells the hub about the tokens of jobs, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.fakehub import SERVICE_TOKEN, FakeHub, running_hub
from support.offload import NOW, new_run, request

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import Forbidden, Unavailable
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.tokens import JobTokens
from aiinfn_hub.store.engine import Database

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with running_hub() as running:
        yield running


@pytest_asyncio.fixture
async def tokens(hub: FakeHub, database: Database) -> AsyncIterator[JobTokens]:
    api = HubApi(hub.url, SERVICE_TOKEN)
    yield JobTokens(database, api)
    await api.close()


def put(database: Database, key: str, *, token: bool, job_uid: str = "") -> Run:
    run, _ = database.run(runs.create, new_run(request(token=token), idempotency_key=key), now=NOW)
    if job_uid:
        database.run(runs.note, run.id, now=NOW, job_name=f"job-{run.id}", job_uid=job_uid)
    return database.run(runs.get, run.id)


async def test_who_did_not_ask_is_not_spoken_of(hub: FakeHub, database: Database, tokens: JobTokens) -> None:
    await tokens.first(put(database, "a", token=False), "uid")
    assert hub.asked == []


async def test_the_first_token_is_asked_for_by_name(hub: FakeHub, database: Database, tokens: JobTokens) -> None:
    run = put(database, "a", token=True)
    await tokens.first(run, "uid")
    assert hub.asked == [
        {"jobs": [{"run": run.id, "person": "alice", "activity": "lhcb-flashsim", "uid": "uid"}], "all": False}
    ]


@pytest.mark.parametrize(("code", "kind"), [("unavailable", Unavailable), ("forbidden", Forbidden)])
async def test_why_there_is_none_reaches_who_submits(
    hub: FakeHub, database: Database, tokens: JobTokens, code: str, kind: type[Exception]
) -> None:
    run = put(database, "a", token=True)
    hub.lacking = {run.id: {"code": code, "message": "The login is over.", "hint": "Log in again."}}
    with pytest.raises(kind, match="There is no token for the job: The login is over") as caught:
        await tokens.first(run, "uid")
    assert "Log in again" in str(caught.value)


async def test_a_hub_that_is_away_is_asked_again(hub: FakeHub, database: Database, tokens: JobTokens) -> None:
    hub.down = True
    with pytest.raises(Unavailable):
        await tokens.first(put(database, "a", token=True), "uid")


async def test_the_list_has_all_that_are_not_over_and_no_others(
    hub: FakeHub, database: Database, tokens: JobTokens
) -> None:
    one = put(database, "a", token=True, job_uid="uid-1")
    put(database, "b", token=True)  # not in the cluster yet
    put(database, "c", token=False, job_uid="uid-3")
    await tokens.tell()
    database.run(runs.move, one.id, JobState.FAILED, now=NOW, reason="It failed.")
    await tokens.tell()
    assert hub.asked == [
        {"jobs": [{"run": one.id, "person": "alice", "activity": "lhcb-flashsim", "uid": "uid-1"}], "all": True},
        {"jobs": [], "all": True},
    ]
