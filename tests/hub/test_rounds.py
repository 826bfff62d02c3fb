"""What the hub does for people who make no request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from jupyterhub import orm
from jupyterhub.utils import utcnow
from support.hub import running_hub
from support.hubfakes import FakeUser, in_groups, make_spawner
from support.iam import Browser, running_iam
from support.iamusers import settings_of

from aiinfn_hub.hub.rounds import Rounds, sessions_of
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.local.iam.switches import Turn

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]


class Running(AiinfnSpawner):
    """A session whose pod runs."""

    ready = True
    active = True

    def reflected(self) -> dict[str, Any] | None:
        return {"metadata": {"uid": f"uid-{self.user.name}"}}


class Person(FakeUser):
    """JupyterHub's user, as far as the rounds look."""

    def __init__(self, name: str, identity: int) -> None:
        super().__init__(name=name, id=identity, groups=in_groups("/aiinfn"))
        self._auth_refreshed: float | None = None
        self.saved: list[dict[str, Any]] = []
        self.encrypted_auth_state = "at first"

    def sync_groups(self, groups: list[str]) -> None:
        self.groups = in_groups(*groups)

    async def save_auth_state(self, state: dict[str, Any]) -> None:
        self.saved.append(state)


class Rules:
    """The authenticator: remembers whom it was asked about."""

    auth_refresh_age = 300

    def __init__(self, say: Callable[[Person], Any]) -> None:
        self.say = say
        self.asked: list[str] = []
        self.kept: list[tuple[str, str]] = []
        self.alive: set[tuple[str, str]] = set()
        self.complaints: list[str] = []
        self.session_tokens = self
        self.log = SimpleNamespace(exception=lambda text, *args: self.complaints.append(text % args))

    async def refresh_user(self, user: Person) -> Any:
        self.asked.append(user.name)
        await asyncio.sleep(0)
        return self.say(user)

    async def keep(self, session: AiinfnSpawner, uid: str) -> None:
        self.kept.append((session.user.name, uid))

    async def forget(self, alive: set[tuple[str, str]]) -> None:
        self.alive = alive


def model(user: Person) -> dict[str, Any]:
    return {"name": user.name, "admin": None, "groups": ["/aiinfn/cms"], "auth_state": {"sub": user.name}}


@pytest.fixture
def db() -> Iterator[sa.orm.Session]:
    engine = sa.create_engine("sqlite://")
    orm.Base.metadata.create_all(engine)
    with sa.orm.Session(engine) as session:
        yield session


def people(db: sa.orm.Session, tmp_path: Path, *names: str, absent: tuple[str, ...] = ()) -> dict[int, Person]:
    """Those with a session, and those without, all of whom were here today."""
    found = {}
    for identity, name in enumerate((*names, *absent), 1):
        found[identity] = Person(name, identity)
        db.add(orm.User(id=identity, name=name, last_activity=utcnow(with_tz=False)))
        if name not in absent:
            make_spawner(tmp_path, user=found[identity], kind=Running).orm_spawner.id = identity
    db.commit()
    return found


async def test_whoever_has_a_session_is_checked_and_keeps_a_token(db: sa.orm.Session, tmp_path: Path) -> None:
    users = people(db, tmp_path, "ada", "bob")
    rules = Rules(model)
    rounds = Rounds(rules, SimpleNamespace(users=users, db=db))  # type: ignore[arg-type]  # a fake
    await rounds.round()
    assert sorted(rules.asked) == ["ada", "bob"]
    assert sorted(rules.kept) == [("ada", "uid-ada"), ("bob", "uid-bob")]
    assert rules.alive == {("ada", ""), ("bob", "")}
    assert [group.name for group in users[1].groups] == ["/aiinfn/cms"]
    assert users[1].saved == [{"sub": "ada"}]
    await rounds.round()
    assert len(rules.asked) == 2, "not asked again before auth_refresh_age"
    assert len(rules.kept) == 4, "but the token is looked at each time"
    users[1]._auth_refreshed = time.monotonic() - 301
    await rounds.round()
    assert rules.asked[2:] == ["ada"]


async def test_whoever_has_none_is_checked_less_often_and_not_for_ever(db: sa.orm.Session, tmp_path: Path) -> None:
    users = people(db, tmp_path, absent=("ada", "bob"))
    row = db.get(orm.User, 2)
    assert row is not None
    row.last_activity = utcnow(with_tz=False) - timedelta(days=8)
    db.commit()
    rules = Rules(model)
    rounds = Rounds(rules, SimpleNamespace(users=users, db=db))  # type: ignore[arg-type]  # a fake
    for age_s, asked in ((None, ["ada"]), (3000, []), (3601, ["ada"])):
        rules.asked.clear()
        users[1]._auth_refreshed = None if age_s is None else time.monotonic() - age_s
        await rounds.round()
        assert rules.asked == asked, age_s


async def test_thousands_who_are_at_home_are_asked_about_little_by_little(db: sa.orm.Session, tmp_path: Path) -> None:
    users = people(db, tmp_path, absent=tuple(f"p{number}" for number in range(100)))
    rules = Rules(model)
    rounds = Rounds(rules, SimpleNamespace(users=users, db=db))  # type: ignore[arg-type]  # a fake
    for asked in (40, 80, 100, 100):
        await rounds.round()
        assert len(set(rules.asked)) == len(rules.asked) == asked


async def test_who_logs_in_meanwhile_keeps_the_newer_tokens(db: sa.orm.Session, tmp_path: Path) -> None:
    def say(user: Person) -> Any:
        user.encrypted_auth_state = "of the new login"
        return model(user)

    users = people(db, tmp_path, "ada")
    await Rounds(Rules(say), SimpleNamespace(users=users, db=db)).round()  # type: ignore[arg-type]  # a fake
    assert users[1].saved == []
    assert [group.name for group in users[1].groups] == ["/aiinfn"]


async def test_one_mishap_is_not_everybodys(db: sa.orm.Session, tmp_path: Path) -> None:
    def say(user: Person) -> Any:
        if user.name == "ada":
            raise RuntimeError("what nobody expected")
        return True

    users = people(db, tmp_path, "ada", "bob")
    rules = Rules(say)
    await Rounds(rules, SimpleNamespace(users=users, db=db)).round()  # type: ignore[arg-type]  # a fake
    assert rules.kept == [("bob", "uid-bob")]
    assert rules.complaints == ["ada could not be looked after."]


@pytest.mark.parametrize("said", [True, False])
async def test_silence_and_refusal_change_no_rights_here(db: sa.orm.Session, tmp_path: Path, said: bool) -> None:
    users = people(db, tmp_path, "ada")
    rules = Rules(lambda _: said)
    await Rounds(rules, SimpleNamespace(users=users, db=db)).round()  # type: ignore[arg-type]  # a fake
    assert [group.name for group in users[1].groups] == ["/aiinfn"]
    assert users[1].saved == []


async def test_a_new_share_begins_a_round_at_once(db: sa.orm.Session, tmp_path: Path) -> None:
    users = people(db, tmp_path, "ada")
    row = orm.Spawner(name="", user=db.get(orm.User, 1))
    db.add(row)
    db.commit()
    rules = Rules(model)
    rounds = Rounds(rules, SimpleNamespace(users=users, db=db), every_s=3600)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(rounds.run())
    await asyncio.sleep(0.05)
    assert rules.kept == []
    try:
        for length in (1, 2):
            if length == 1:
                share = orm.Share.grant(db, row, orm.User(name="guest"))
            else:
                db.delete(share)
            db.commit()
            async with asyncio.timeout(5):
                while len(rules.kept) < length:
                    await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not sa.event.contains(orm.Share, "after_insert", rounds._wake.set)


async def test_a_shared_session_does_not_wait_for_an_iam_that_hangs(db: sa.orm.Session, tmp_path: Path) -> None:
    users = people(db, tmp_path, "ada", "bob")
    db.add(row := orm.Spawner(id=2, name="", user=db.get(orm.User, 2)))
    orm.Share.grant(db, row, orm.User(name="guest"))
    db.commit()
    order: list[str] = []

    def say(user: Person) -> Any:
        order.append(f"asked {user.name}, kept {rules.kept}")
        return True

    rules = Rules(say)
    await Rounds(rules, SimpleNamespace(users=users, db=db)).round()  # type: ignore[arg-type]  # a fake
    assert order[0].endswith("kept [('bob', 'uid-bob')]"), "before anybody was asked about"


async def test_foreign_spawners_and_sessions_that_start_are_left_alone(tmp_path: Path) -> None:
    user = Person("ada", 1)
    assert sessions_of(user) == []
    user.spawners[""] = SimpleNamespace(ready=True)  # type: ignore[assignment]  # another class of spawner
    assert sessions_of(user) == []
    make_spawner(tmp_path, user=user, server="new")
    assert sessions_of(user) == []


async def groups_at(hub: Any) -> tuple[str, ...]:
    api = HubApi(f"{hub.url}/api", hub.token)
    try:
        return (await api.user("scientist")).groups
    finally:
        await api.close()


async def test_a_real_hub_sees_a_lost_group_without_any_request_of_the_person(tmp_path: Path) -> None:
    port, iam_port = free_ports(2)
    callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
    settings = settings_of(f"http://127.0.0.1:{iam_port}/", callback) | {"auth_refresh_age": 1}
    scopes = ["read:users:name", "read:users:groups", "list:users"]
    async with running_iam(tmp_path / "iam", port=iam_port, redirect_uris=[callback]) as iam:
        with running_hub(tmp_path / "hub", port, scopes, **settings) as hub:
            browser = Browser(iam, http=httpx.AsyncClient(follow_redirects=True, timeout=20))
            page = await browser.http.get(f"{hub.url}/oauth_login?next=/hub/token")
            assert (await browser.submit(page, "scientist", "scientist")).status_code == 200
            assert "/aiinfn/lhcb-flashsim" in await groups_at(hub)
            iam.switches.turn(Turn(account="scientist", groups=("/aiinfn",)))
            async with asyncio.timeout(40):
                while await groups_at(hub) != ("/aiinfn",):
                    await asyncio.sleep(0.5)
            iam.switches.turn(Turn(account="scientist", active=False))
            async with asyncio.timeout(40):
                while await groups_at(hub):
                    await asyncio.sleep(0.5)
        assert "Traceback" not in hub.log.read_text()
