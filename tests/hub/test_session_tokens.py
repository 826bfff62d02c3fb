"""Which token each session has, with the embedded IAM: given, renewed, taken away."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
import yaml
from jupyterhub import orm
from jupyterhub.utils import utcnow
from support.iam import CALLBACK, Answer, BreakableIam, running_iam
from support.iamusers import User, alive, logged_in, made, settings_of

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.errors import NotAuthenticated, Unavailable
from aiinfn_hub.hub import session_tokens
from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.hub.session_tokens import first_token
from aiinfn_hub.local.iam.switches import Turn

pytestmark = pytest.mark.asyncio
UID = "uid-of-the-pod"


@dataclass
class Secrets:
    """What a session has in Kubernetes, as far as tokens go."""

    files: dict[str, str] = field(default_factory=dict)
    owner: str = ""
    writes: int = 0
    refuses: bool = False

    async def put_iam_token(self, files: Mapping[str, str], labels: Mapping[str, str], owner: str) -> None:
        if self.refuses:
            raise Unavailable("Kubernetes does not answer.")
        assert labels["aiinfn.infn.it/person"]
        self.files, self.owner, self.writes = dict(files), owner, self.writes + 1


@dataclass
class Session:
    user: User
    authenticator: Any
    orm_spawner: orm.Spawner
    name: str = ""
    objects: Any = field(default_factory=Secrets)

    @property
    def token(self) -> str | None:
        return self.objects.files.get("token")

    @property
    def about(self) -> dict[str, Any]:
        return dict(json.loads(self.objects.files["about.json"]))


@pytest_asyncio.fixture
async def iam(tmp_path: Path) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path / "iam") as server:
        yield server


@pytest.fixture
def db() -> Iterator[sa.orm.Session]:
    engine = sa.create_engine("sqlite://")
    orm.Base.metadata.create_all(engine)
    with sa.orm.Session(engine, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def settings(iam: BreakableIam, tmp_path: Path) -> dict[str, Any]:
    return settings_of(iam.issuer, CALLBACK) | {"binding_file": str(tmp_path / "bindings.sqlite")}


async def started(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, **more: Any
) -> tuple[IamAuthenticator, Session]:
    """Somebody with a session that has just been given its token."""
    authenticator = made(settings, **more)
    user = await logged_in(authenticator, iam, scope=" ".join(authenticator.login_scope))
    owner = orm.User(name=user.name)
    db.add_all([owner, row := orm.Spawner(name="", user=owner)])
    db.commit()
    session = Session(user, authenticator, row)
    await first_token(session, UID)
    return authenticator, session


async def test_a_start_finds_a_token_for_the_storage_only(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, session = await started(settings, iam, db)
    assert session.token
    assert session.objects.owner == UID
    assert session.about["audiences"] == ["https://storage.aiinfn.invalid"]
    assert session.about["scopes"] == ["storage.read:/", "storage.modify:/"]
    state = session.user.auth_state
    assert state is not None
    for secret in (state["access_token"], state["refresh_token"], authenticator.client_secret):
        assert secret not in json.dumps(session.objects.files)


async def test_without_a_policy_there_is_none(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, tmp_path: Path
) -> None:
    platform = yaml.safe_load(example_path().read_text())
    del platform["tokens"]
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(platform))
    _, session = await started(settings | {"platform_file": str(path)}, iam, db)
    assert session.objects.writes == 0


async def test_it_is_renewed_before_it_ends_and_not_sooner(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator, session = await started(settings, iam, db)
    first, asked = session.token, iam.seen["/token"]
    await authenticator.session_tokens.keep(session, UID)
    assert (session.token, iam.seen["/token"]) == (first, asked)
    ends = session.about["expires_at"]
    monkeypatch.setattr(authenticator.issuing, "_clock", lambda: ends - 590)
    await authenticator.session_tokens.keep(session, UID)
    assert session.token != first


async def test_a_changed_policy_holds_for_sessions_that_run(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, tmp_path: Path
) -> None:
    platform = yaml.safe_load(example_path().read_text())
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(platform))
    authenticator, session = await started(settings | {"platform_file": str(path)}, iam, db)
    platform["tokens"]["scopes"] = ["storage.read:/"]
    path.write_text(yaml.safe_dump(platform))
    await authenticator.session_tokens.keep(session, UID)
    assert session.about["scopes"] == ["storage.read:/"]


async def test_a_new_hub_writes_a_new_one(settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session) -> None:
    _, session = await started(settings, iam, db)
    first = session.token
    successor = made(settings)
    await successor.session_tokens.keep(session, UID)
    assert session.token not in (None, first)


async def test_a_dead_login_token_is_refreshed_first(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    """Somebody else has refreshed this login, which ends the access token that we hold."""
    authenticator, session = await started(settings, iam, db)
    state = session.user.auth_state
    assert state is not None
    await authenticator.provider.refresh(state["refresh_token"])
    await authenticator.session_tokens.begin(session, UID)
    assert session.user.auth_state != state, "the new tokens of the login are kept"
    assert (await authenticator.provider.userinfo(session.user.auth_state["access_token"]))["sub"] == state["sub"]


async def test_no_token_while_a_server_is_shared(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, session = await started(settings, iam, db)
    first = session.token
    assert first is not None
    share = orm.Share.grant(db, session.orm_spawner, orm.User(name="guest"))
    db.commit()
    await authenticator.session_tokens.keep(session, UID)
    assert session.objects.files == {}
    assert authenticator.session_tokens._given["scientist", ""].issued is None
    assert not await alive(authenticator, iam, first), "whoever copied it has nothing"
    writes = session.objects.writes
    await authenticator.session_tokens.keep(session, UID)
    assert session.objects.writes == writes
    db.delete(share)
    db.commit()
    await authenticator.session_tokens.keep(session, UID)
    assert session.token not in (None, first)


async def test_a_share_that_has_ended_is_none(settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session) -> None:
    authenticator, session = await started(settings, iam, db)
    share = orm.Share.grant(db, session.orm_spawner, orm.User(name="guest"))
    share.expires_at = utcnow(with_tz=False) - timedelta(seconds=1)
    db.commit()
    await authenticator.session_tokens.keep(session, UID)
    assert session.token


@pytest.mark.parametrize("change", [{"active": False}, {"groups": ("/other",)}])
async def test_whom_the_iam_refuses_keeps_no_token(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, change: dict[str, Any]
) -> None:
    authenticator, session = await started(settings, iam, db)
    first = session.token
    assert first is not None
    iam.directory.change("scientist", **change)
    model = await authenticator.refresh_user(session.user)
    assert isinstance(model, dict)
    session.user.save(model)
    await authenticator.session_tokens.keep(session, UID)
    assert session.objects.files == {}
    assert not await alive(authenticator, iam, first)


async def test_an_outage_leaves_the_token_and_says_so(
    settings: dict[str, Any],
    iam: BreakableIam,
    db: sa.orm.Session,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authenticator, session = await started(settings, iam, db)
    first, ends = session.token, session.about["expires_at"]
    iam.switches.silent = "unavailable"
    monkeypatch.setattr(authenticator.issuing, "_clock", lambda: ends - 590)
    authenticator.log = logging.getLogger("jupyterhub")
    await authenticator.session_tokens.keep(session, UID)
    assert session.token == first
    assert "has no new token" in caplog.text
    assert first is not None
    assert first not in caplog.text
    iam.switches.silent = ""
    await authenticator.session_tokens.keep(session, UID)
    assert session.token != first


async def test_a_start_does_not_wait_for_an_iam_that_hangs(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_tokens, "PATIENCE_S", 0.2)
    authenticator, session = await started(settings, iam, db)
    iam.slow["/token"] = asyncio.Event()
    async with asyncio.timeout(5):
        await first_token(session, "another-uid")
    assert authenticator.session_tokens._given == {}
    iam.slow["/token"].set()
    await authenticator.session_tokens.keep(session, "another-uid")
    assert session.objects.owner == "another-uid"


async def test_a_secret_that_cannot_be_written_is_written_later(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, session = await started(settings, iam, db)
    session.objects.refuses = True
    await first_token(session, "another-uid")
    session.objects.refuses = False
    await authenticator.session_tokens.keep(session, "another-uid")
    assert session.objects.owner == "another-uid"


async def test_without_exchange_the_session_carries_the_narrowed_login(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    iam.switches.turn(Turn(exchange=False))
    authenticator, session = await started(settings, iam, db)
    state = session.user.auth_state
    assert state is not None
    assert session.token == state["access_token"]
    assert "offline_access" not in session.about["scopes"]
    assert session.about["missing"] == []
    asked = iam.seen["/token"]
    await authenticator.session_tokens.keep(session, UID)
    assert iam.seen["/token"] == asked
    # The next refresh of the login ends it: the session gets the next one in the same round.
    state["expires_at"] = 0.0
    model = await authenticator.refresh_user(session.user)
    session.user.save(model)
    await authenticator.session_tokens.keep(session, UID)
    assert session.user.auth_state is not None
    assert session.token == session.user.auth_state["access_token"] != state["access_token"]
    assert await alive(authenticator, iam, session.token)
    assert "offline_access" not in session.about["scopes"]


async def test_a_login_that_is_over_gives_none(settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session) -> None:
    authenticator, session = await started(settings, iam, db)
    first = session.token
    iam.broken["/token"] = Answer(400, {"error": "invalid_grant"})
    iam.broken["/userinfo"] = Answer(401, {"error": "invalid_token"})
    with pytest.raises(NotAuthenticated):
        await authenticator.issuing._issued(session.user, authenticator.platform.tokens)
    await authenticator.session_tokens.keep(session, UID)
    assert session.objects.files == {}
    assert first


async def test_the_token_of_a_session_that_is_gone_is_ended(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, session = await started(settings, iam, db)
    token = session.token
    assert token is not None
    await authenticator.session_tokens.forget({("scientist", "")})
    assert await alive(authenticator, iam, token)
    await authenticator.session_tokens.forget(set())
    assert not await alive(authenticator, iam, token)
    asked = iam.seen["/revoke"]
    await authenticator.session_tokens.forget(set())
    assert iam.seen["/revoke"] == asked


async def test_an_iam_that_is_away_keeps_no_session_from_being_forgotten(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, _ = await started(settings, iam, db)
    iam.switches.silent = "unavailable"
    await authenticator.session_tokens.forget(set())
    assert authenticator.session_tokens._given == {}


async def test_the_next_pod_of_a_server_gets_a_token_of_its_own(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    authenticator, session = await started(settings, iam, db)
    first = session.token
    await authenticator.session_tokens.keep(session, "another-uid")
    assert session.token not in (None, first)
    assert session.objects.owner == "another-uid"


async def test_sharing_ends_the_narrowed_login_too(
    settings: dict[str, Any], iam: BreakableIam, db: sa.orm.Session
) -> None:
    iam.switches.turn(Turn(exchange=False))
    authenticator, session = await started(settings, iam, db)
    first = session.token
    assert first is not None
    orm.Share.grant(db, session.orm_spawner, orm.User(name="guest"))
    db.commit()
    await authenticator.session_tokens.keep(session, UID)
    assert not await alive(authenticator, iam, first)
    model = await authenticator.refresh_user(session.user)
    assert isinstance(model, dict), "the login goes on, with another one"
    assert model["auth_state"]["access_token"] != first
