"""The tokens of jobs, with the embedded IAM: written for a job, renewed for as long as it lives, ended with it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from support.iam import CALLBACK, BreakableIam, running_iam
from support.iamusers import User, alive, logged_in, made, settings_of

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.hub.job_tokens import NEWS_S
from aiinfn_hub.identity.hubapi import Lack, TokenJob
from aiinfn_hub.local.iam.switches import Turn

pytestmark = pytest.mark.asyncio
LHCB = "lhcb-flashsim"
JOB = TokenJob("run-1", "scientist", LHCB, "uid-of-the-job")


@dataclass
class Secrets:
    """What jobs have in Kubernetes, by run: the files of their Secrets, {} where they were taken away."""

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    writes: int = 0
    refuses: bool = False

    async def put_job_token(self, run: str, uid: str, files: Mapping[str, str] | None) -> None:
        if self.refuses:
            raise Unavailable("Kubernetes does not answer.")
        self.files[run], self.owners[run], self.writes = dict(files or {}), uid, self.writes + 1


@dataclass
class Desk:
    """One hub, one person, and the clock."""

    authenticator: IamAuthenticator
    user: User
    iam: BreakableIam
    secrets: Secrets = field(default_factory=Secrets)

    async def ask(self, *jobs: TokenJob) -> dict[str, Lack]:
        self.user.spawner = SimpleNamespace(objects=self.secrets)
        return await self.authenticator.job_tokens.look_after(jobs or [JOB], {self.user.name: self.user}.get)

    async def later(self, *alive_jobs: TokenJob) -> None:
        """The service's list, well after the job was told of."""
        self.authenticator.job_tokens._clock = lambda: time.monotonic() + NEWS_S + 1
        await self.authenticator.job_tokens.forget(alive_jobs)

    def token(self, run: str = JOB.run) -> str:
        return self.secrets.files[run]["token"]

    async def is_alive(self, token: str) -> bool:
        return await alive(self.authenticator, self.iam, token)


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with running_iam(tmp_path / "iam") as iam:
        settings = settings_of(iam.issuer, CALLBACK) | {"binding_file": str(tmp_path / "bindings.sqlite")}
        authenticator = made(settings)
        user = await logged_in(authenticator, iam, scope=" ".join(authenticator.login_scope))
        yield Desk(authenticator, user, iam)


async def test_a_job_has_a_token_of_its_own_for_the_storage_only(desk: Desk) -> None:
    other = TokenJob("run-2", "scientist", LHCB, "uid-2")
    assert await desk.ask(JOB, other) == {}
    assert desk.token() != desk.token("run-2")
    assert desk.secrets.owners == {"run-1": "uid-of-the-job", "run-2": "uid-2"}
    about = json.loads(desk.secrets.files["run-1"]["about.json"])
    assert (about["audiences"], about["missing"]) == (["https://storage.aiinfn.invalid"], [])
    state = desk.user.auth_state
    assert state is not None
    for secret in (state["access_token"], state["refresh_token"], desk.authenticator.client_secret):
        assert secret not in json.dumps(desk.secrets.files)


async def test_it_is_renewed_before_it_ends_and_not_sooner(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.ask()
    first, asked = desk.token(), desk.iam.seen["/token"]
    await desk.ask()
    assert (desk.token(), desk.iam.seen["/token"], desk.secrets.writes) == (first, asked, 1)
    ends = json.loads(desk.secrets.files["run-1"]["about.json"])["expires_at"]
    monkeypatch.setattr(desk.authenticator.issuing, "_clock", lambda: ends - 590)
    await desk.ask()
    assert desk.token() != first


async def test_the_news_of_a_job_and_the_list_at_once_make_one_token(desk: Desk) -> None:
    asked = desk.iam.seen["/token"]
    await asyncio.gather(desk.ask(), desk.ask())
    assert (desk.iam.seen["/token"], desk.secrets.writes) == (asked + 1, 1)


async def test_it_ends_with_the_job(desk: Desk) -> None:
    await desk.ask()
    token = desk.token()
    await desk.later(JOB)
    assert await desk.is_alive(token)
    await desk.later()
    assert not await desk.is_alive(token), "whoever copied it has nothing"
    assert desk.secrets.files == {"run-1": {}}
    asked = desk.iam.seen["/revoke"]
    await desk.later()
    assert desk.iam.seen["/revoke"] == asked


async def test_a_list_from_before_the_job_does_not_end_it(desk: Desk) -> None:
    await desk.ask()
    await desk.authenticator.job_tokens.forget([])
    assert await desk.is_alive(desk.token())


async def test_it_ends_also_where_its_secret_cannot_be_emptied(desk: Desk) -> None:
    await desk.ask()
    token = desk.token()
    desk.secrets.refuses = True
    await desk.later()
    assert not await desk.is_alive(token)


@pytest.mark.parametrize("change", [{"active": False}, {"groups": ("/other",)}, {"groups": ("/aiinfn",)}])
async def test_whom_the_iam_refuses_has_none_and_regained_rights_bring_it_back(
    desk: Desk, change: dict[str, Any]
) -> None:
    await desk.ask()
    first = desk.token()
    back = {"active": True, "groups": ("/aiinfn", "/aiinfn/lhcb-flashsim")}
    desk.iam.directory.change("scientist", **change)
    desk.user.save(await desk.authenticator.refresh_user(desk.user))
    assert (await desk.ask())["run-1"].code == "forbidden"
    assert desk.secrets.files == {"run-1": {}}
    assert not await desk.is_alive(first)
    writes = desk.secrets.writes
    assert (await desk.ask())["run-1"].code == "forbidden"
    assert desk.secrets.writes == writes
    acts = [act for act in await desk.authenticator.outbox.next([]) if act.what == "token-taken"]
    assert len(acts) == 1
    desk.iam.directory.change("scientist", **back)
    desk.user.save(await desk.authenticator.refresh_user(desk.user))
    assert await desk.ask() == {}
    assert desk.token() != first


async def test_a_silent_iam_is_told_apart_and_keeps_what_is_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.ask()
    first, ends = desk.token(), json.loads(desk.secrets.files["run-1"]["about.json"])["expires_at"]
    desk.iam.switches.silent = "unavailable"
    monkeypatch.setattr(desk.authenticator.issuing, "_clock", lambda: ends - 590)
    lack = await desk.ask(JOB, TokenJob("run-2", "scientist", LHCB, "uid-2"))
    assert {run: one.code for run, one in lack.items()} == {"run-1": "unavailable", "run-2": "unavailable"}
    assert desk.token() == first
    assert first not in str(lack)


async def test_a_stranger_and_a_platform_without_tokens_are_answered(desk: Desk) -> None:
    assert (await desk.ask(TokenJob("run-3", "nobody", LHCB, "uid-3")))["run-3"].code == "not-found"


async def test_where_the_client_may_not_exchange_the_logins_own_stays_the_logins(desk: Desk) -> None:
    desk.iam.switches.turn(Turn(exchange=False))
    assert await desk.ask() == {}
    state = desk.user.auth_state
    assert state is not None
    assert desk.token() == state["access_token"]
    await desk.later()
    assert await desk.is_alive(state["access_token"]), "the login is not the job's to end"


async def test_the_audit_says_which_job_had_one_and_when_it_went(desk: Desk) -> None:
    await desk.ask()
    token = desk.token()
    await desk.later()
    acts = [act for act in await desk.authenticator.outbox.next([]) if act.what.startswith("token-")]
    assert [(act.what, act.about, act.facts["job"]) for act in acts] == [
        ("token-issued", "scientist", "run-1"),
        ("token-taken", "scientist", "run-1"),
    ]
    assert token not in str(acts)
