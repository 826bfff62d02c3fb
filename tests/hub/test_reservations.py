"""Before a session starts, the service is asked: it refuses, says for how long, or does not answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.hubfakes import FakeUser, in_groups, make_spawner, write_platform
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from aiinfn_hub.contract.reservation import Reservation, ReservationRequest
from aiinfn_hub.errors import AiinfnError, Forbidden, QuotaExceeded
from aiinfn_hub.hub.refusal import Refusal
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]
KEY = "the-hubs-key"


class Desk:
    """The service's answer, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: bytes | AiinfnError = msgspec.json.encode(Reservation(8 * 3600.0))
        self.asked: list[tuple[str, str, ReservationRequest]] = []


class _Handler(RequestHandler):
    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    def post(self) -> None:
        wanted = msgspec.json.decode(self.request.body, type=ReservationRequest)
        self.desk.asked.append((self.get_query_argument("person"), self.request.headers["Authorization"], wanted))
        if isinstance(self.desk.answer, AiinfnError):
            self.set_status(self.desk.answer.status)
            self.finish(self.desk.answer.to_json())
        else:
            self.finish(self.desk.answer)


@asynccontextmanager
async def service() -> AsyncIterator[Desk]:
    desk = Desk()
    server = HTTPServer(Application([("/s/api/reservations", _Handler, {"desk": desk})]))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    desk.url = f"http://127.0.0.1:{port}/s"
    try:
        yield desk
    finally:
        server.stop()
        await server.close_all_connections()


def spawner(folder: Path, url: str, **platform: Any) -> Any:
    (folder / "hub-key").write_text(KEY)
    write_platform(folder / "platform.yaml", **platform)
    user = FakeUser(name="m rossi", groups=in_groups("/aiinfn", "/aiinfn/lhcb"))
    return make_spawner(folder, user=user, server="two", options={"flavour": "t4", "lifetime": "2h"}, service_url=url)


async def test_the_service_is_asked_for_what_is_about_to_start(tmp_path: Path) -> None:
    async with service() as desk:
        await spawner(tmp_path, desk.url).load_user_options()
    assert desk.asked == [("m rossi", f"Bearer {KEY}", ReservationRequest("two", "lhcb", "t4", 7200))]


async def test_a_refusal_is_read_by_the_person(tmp_path: Path) -> None:
    async with service() as desk:
        hint = "You may start again on Thu 03 Dec at 16:40 UTC at the latest."
        desk.answer = QuotaExceeded("0.0 of 12 GPU-hours are left; it asks for 0.8.", hint=hint)
        with pytest.raises(Refusal, match=r"0\.0 of 12 .* 16:40 UTC") as caught:
            await spawner(tmp_path, desk.url).load_user_options()
    assert (caught.value.status_code, caught.value.reason) == (429, "quota-exceeded")


async def test_a_session_that_will_be_shorter_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with service() as desk:
        desk.answer = msgspec.json.encode(Reservation(1800.0, "0.2 of 12 are left: enough for 30 min."))
        with caplog.at_level(logging.INFO):
            session = spawner(tmp_path, desk.url)
            await session.load_user_options()
    assert "enough for 30 min" in caplog.text
    assert session.extra_annotations[names.LIFETIME] == "1800", "and the ledger counts on no more"


async def test_a_session_that_is_shorter_is_still_the_one_that_waits_in_the_queue(tmp_path: Path) -> None:
    async with service() as desk:
        session = spawner(tmp_path, desk.url)
        await session.load_user_options()
        choice = session.extra_annotations[names.CHOICE]
        desk.answer = msgspec.json.encode(Reservation(1800.0, "0.2 of 12 are left: enough for 30 min."))
        await session.load_user_options()
    assert session.extra_annotations[names.CHOICE] == choice


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="it is not there"),
        pytest.param(b"<html>", id="it is something else"),
        pytest.param(Forbidden("wrong key"), id="it does not know us"),
    ],
)
@pytest.mark.parametrize("policy", ["open", "closed"])
async def test_without_an_answer_the_platform_file_says_what_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: Any, policy: str
) -> None:
    async with service() as desk:
        desk.answer = answer
        url = desk.url if answer is not None else "http://127.0.0.1:1/s"
        session = spawner(tmp_path, url, quotas={"unreachable": policy})
        if policy == "open":
            await session.load_user_options()
            assert "The quotas were not asked" in caplog.text
        else:
            with pytest.raises(Refusal, match="Nobody can say now") as caught:
                await session.load_user_options()
            assert caught.value.status_code == 503
    assert KEY not in caplog.text


async def test_a_platform_without_a_service_has_nobody_who_counts(tmp_path: Path) -> None:
    await spawner(tmp_path, "", quotas={"unreachable": "closed"}).load_user_options()
