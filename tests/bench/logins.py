"""`make bench ARGS=logins`: the tokens of many people expire at the same moment, and all of them come back.

Ours and OAuthenticator's own class refresh the same people at the same embedded IAM, which is a process of its own.
Each person makes three requests at once, as a page does. Then everybody's session needs the next token, in one round of
the hub; there is no peer for that, the limit is one exchange each.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import time
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import httpx
import sqlalchemy as sa
from bench.figures import Figure, Sheet, beside, load, p, save
from jupyterhub import orm
from oauthenticator.generic import GenericOAuthenticator
from support.iam import CALLBACK, CLIENT_ID, SCOPE, BreakableIam, an_iam
from support.iamusers import User, settings_of, stock_settings
from traitlets.config import Config

from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.hub.rounds import AT_ONCE as AT_ONCE_IN_A_ROUND
from aiinfn_hub.hub.wiring import spare_imports
from aiinfn_hub.local.iam import Account
from aiinfn_hub.local.iam.grants import Grant

T = TypeVar("T")
#: Requests of a page that come at the same time; they share what is asked of the IAM.
AT_ONCE = 3
#: Seconds between two looks at the event loop.
LOOK_S = 0.005


def account(number: int) -> Account:
    """One of many."""
    name = f"person{number}"
    groups = ("/aiinfn", "/aiinfn/cms-ml")
    return Account(
        username=name, password="", sub=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), name=name, email="", groups=groups
    )


async def _serve(folder: Path, people: int, pipe: Connection) -> None:
    iam: BreakableIam = an_iam(folder)
    tokens = []
    for number in range(people):
        one = account(number)
        iam.directory.put(one)
        scope = (*SCOPE.split(), "storage.read:/", "storage.modify:/")
        grant = Grant(id=uuid.uuid4().hex, sub=one.sub, client_id=CLIENT_ID, scope=scope, auth_time=time.time())
        tokens.append(iam._grants.new_refresh(grant))
    pipe.send((await iam.start(), tokens))
    while True:
        await asyncio.to_thread(pipe.recv)
        pipe.send(dict(iam.seen))


def serve(folder: Path, people: int, pipe: Connection) -> None:
    """The IAM's process; whatever it is sent, it answers with the requests that it has seen, by path."""
    asyncio.run(_serve(folder, people, pipe))


async def look(gaps: list[float]) -> None:
    """Note how long the event loop did not come round, in seconds."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(LOOK_S)
        gaps.append(time.monotonic() - began - LOOK_S)


def ours(folder: Path, issuer: str) -> IamAuthenticator:
    """As the hub makes it; a person may wait as long as it takes."""
    more = {"binding_file": str(folder / "bindings.sqlite"), "refresh_patience": 300.0}
    return IamAuthenticator(config=Config(IamAuthenticator=settings_of(issuer, CALLBACK) | more))


def stock(issuer: str) -> GenericOAuthenticator:
    """OAuthenticator's own."""
    return GenericOAuthenticator(
        config=Config(GenericOAuthenticator=stock_settings(issuer, CALLBACK) | {"allow_all": True})
    )


def people_with(tokens: Sequence[str]) -> list[User]:
    """Everybody as JupyterHub has them, with an access token that is dead, in the state of either class."""
    found = []
    for number, refresh_token in enumerate(tokens):
        one = account(number)
        dead = {"access_token": "dead", "refresh_token": refresh_token, "token_type": "Bearer"}
        state = dead | {"sub": one.sub, "expires_at": 0.0, "heard_at": time.time(), "token_response": dead}
        found.append(User(one.username, auth_state=state))
    return found


@dataclass
class Files:
    """What a session has in Kubernetes, written at once: this is about the hub and the IAM."""

    files: Mapping[str, str] = field(default_factory=dict)

    async def put_iam_token(self, files: Mapping[str, str], _labels: Mapping[str, str], _owner: str) -> None:
        self.files = files


@dataclass
class Session:
    """A spawner, as far as its token goes."""

    user: User
    authenticator: IamAuthenticator
    orm_spawner: orm.Spawner
    name: str = ""
    objects: Any = field(default_factory=Files)


class Bench(Sheet):
    """One run."""

    def __init__(self, folder: Path, people: int) -> None:
        super().__init__()
        self.folder = folder
        self.people = people

    async def run(self) -> None:
        """The stock class, then ours."""
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=serve, args=(self.folder / "iam", self.people, there), daemon=True)
        process.start()
        try:
            issuer, tokens = await asyncio.to_thread(here.recv)
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{issuer}.well-known/openid-configuration")).status_code == 200
            await self.all_at_once("stock class", stock(issuer), people_with(tokens), here)
            people, made = people_with(tokens), ours(self.folder, issuer)
            await self.all_at_once("ours", made, people, here)
            await self.sessions(made, people, here)
        finally:
            process.kill()
            process.join()

    async def all_at_once(self, name: str, authenticator: Any, people: list[User], pipe: Connection) -> None:
        """Everybody, each with some requests."""

        async def come(user: User) -> bool:
            answers = await asyncio.gather(
                *(authenticator.refresh_user(user) for _ in range(AT_ONCE)), return_exceptions=True
            )
            if isinstance(answers[0], dict) and "groups" in answers[0]:
                user.save(answers[0])
            return all(isinstance(answer, dict) for answer in answers)

        good = await self._timed(name, [come(user) for user in people], "refreshes", pipe)
        self.say(
            f"{name}: people who were refreshed", sum(good), f"of {len(people)}", "the others: logged out, or an error"
        )

    async def sessions(self, authenticator: IamAuthenticator, people: list[User], pipe: Connection) -> None:
        """Everybody's session needs its next token."""
        engine = sa.create_engine("sqlite://")
        orm.Base.metadata.create_all(engine)
        with sa.orm.Session(engine) as db:
            rows = [orm.Spawner(name="", user=orm.User(name=user.name)) for user in people]
            db.add_all(rows)
            db.commit()
            found = [Session(user, authenticator, row) for user, row in zip(people, rows, strict=True)]
            slots = asyncio.Semaphore(AT_ONCE_IN_A_ROUND)

            async def keep(one: Session) -> None:
                async with slots:
                    await authenticator.session_tokens.keep(one, one.user.name)

            await self._timed("sessions", [keep(one) for one in found], "exchanges", pipe)
        written = sum(1 for one in found if one.objects.files)
        self.say("sessions: those with their next token", written, f"of {len(people)}", "")

    async def _timed(self, name: str, work: list[Coroutine[Any, Any, T]], what: str, pipe: Connection) -> list[T]:
        before, began, cpu = await _seen(pipe), time.monotonic(), time.process_time()
        gaps: list[float] = []
        async with beside(look(gaps)):
            done = await asyncio.gather(*work)
        took, spent, after = time.monotonic() - began, time.process_time() - cpu, await _seen(pipe)
        asked = after.get("/token", 0) - before.get("/token", 0)
        self.say(f"{name}: {what} at the IAM", asked / len(work), "a person", "target: 1")
        everything = sum(after.values()) - sum(before.values())
        self.say(
            f"{name}: requests at the IAM, all of them", everything / len(work), "a person", "keys and discovery too"
        )
        self.say(f"{name}: until all were answered", took, "s", f"{spent:.1f} s of CPU")
        self.say(
            f"{name}: longest hold of the event loop",
            max(gaps) * 1000,
            "ms",
            f"p99 {p(gaps, 99) * 1000:.0f}; target <= 100",
        )
        return done


async def _seen(pipe: Connection) -> dict[str, int]:
    pipe.send("")
    found: dict[str, int] = await asyncio.to_thread(pipe.recv)
    return found


def measure(folder: Path, people: int) -> list[Figure]:
    """With an IAM of its own in this folder."""
    bench = Bench(folder, people)
    asyncio.run(bench.run())
    return bench.figures


def main(arguments: Sequence[str], folder: Path) -> None:
    """For the command line."""
    parser = argparse.ArgumentParser(prog="bench logins", description=__doc__)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--json", default="", metavar="FILE")
    wanted = parser.parse_args(arguments)
    spare_imports()  # as the hub's configuration does
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # the stock class tells each failure
    print(load(), flush=True)
    save(wanted.json, measure(folder, wanted.people))
    print(load(), flush=True)
