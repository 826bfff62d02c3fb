"""The base handler in a real tornado application, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from aiinfn_hub.errors import Conflict, NotAuthenticated, Unavailable
from aiinfn_hub.identity.person import Caller, Person
from aiinfn_hub.identity.web import ApiHandler

pytestmark = pytest.mark.asyncio


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    size: int = 0


class Things(ApiHandler):
    async def get(self) -> None:
        self.send(
            {
                "who": self.caller.person.name,
                "limit": self.argument("limit", 10, int),
                "since": self.argument("since", None, float),
                "deep": self.argument("deep", False, bool),
                "name": self.argument("name", "", str),
            }
        )

    async def post(self) -> None:
        self.send(self.read(Thing), 201)

    async def delete(self) -> None:
        raise Conflict("It is in use.", hint="Stop it first.", details={"by": "ada"})


class Broken(ApiHandler):
    async def get(self) -> None:
        match self.argument("how", "", str):
            case "bug":
                raise ZeroDivisionError("secret detail")
            case "tornado":
                raise HTTPError(400, "secret detail")
            case "unavailable":
                raise Unavailable("The cluster does not answer.")
        await asyncio.sleep(0)


async def identify(handler: RequestHandler) -> Caller:
    """A token in the header, or a cookie."""
    token = handler.request.headers.get("Authorization", "").rpartition(" ")[2]
    if token == "good" or handler.get_cookie("session") == "good":
        return Caller(Person("ada", frozenset(), ()), None)
    raise NotAuthenticated("Nobody known.", hint="Log in.")


@pytest_asyncio.fixture(params=[True, False], ids=["xsrf_cookies on", "xsrf_cookies off"])
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    application = Application([("/things", Things), ("/broken", Broken)], identify=identify, xsrf_cookies=request.param)
    server = HTTPServer(application)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sockets[0].getsockname()[1]}") as client:
        yield client
    server.stop()


TOKEN = {"Authorization": "token good"}


async def test_the_caller_is_known_before_the_method_runs(http: httpx.AsyncClient) -> None:
    answer = await http.get("/things", headers=TOKEN)
    assert answer.json() == {"who": "ada", "limit": 10, "since": None, "deep": False, "name": ""}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "token bad"}, {"Cookie": "session=bad"}])
async def test_a_stranger_gets_nothing(http: httpx.AsyncClient, method: str, headers: dict[str, str]) -> None:
    answer = await http.request(method, "/things", headers=headers)
    assert answer.status_code in ({401} if method == "GET" or "Authorization" in headers else {401, 403})
    assert "error" in answer.json()


async def test_our_errors_keep_code_status_hint_and_details(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/things", headers=TOKEN)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "error": {"code": "conflict", "message": "It is in use.", "hint": "Stop it first.", "details": {"by": "ada"}}
    }


@pytest.mark.parametrize(
    ("headers", "cookies", "status"),
    [
        pytest.param(TOKEN, {}, 201, id="a token needs no XSRF token"),
        pytest.param({"Authorization": "Bearer good"}, {}, 201, id="a bearer token neither"),
        pytest.param({}, {"session": "good"}, 403, id="a cookie alone is not enough"),
        pytest.param({}, {"session": "good", "_xsrf": "a"}, 403, id="the XSRF cookie alone is not enough"),
        pytest.param({"X-XSRFToken": "a"}, {"session": "good", "_xsrf": "a"}, 201, id="cookie and header together are"),
        pytest.param({"X-XSRFToken": "b"}, {"session": "good", "_xsrf": "a"}, 403, id="they must be the same"),
        pytest.param({"Authorization": "Basic good"}, {"session": "good"}, 403, id="a browser sends Basic by itself"),
    ],
)
async def test_what_changes_something_needs_a_token_or_our_page(
    http: httpx.AsyncClient, headers: dict[str, str], cookies: dict[str, str], status: int
) -> None:
    sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    answer = await http.post("/things", json={"name": "x"}, headers=headers | sent)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error"]["code"] == "forbidden"


async def test_a_cookie_may_read(http: httpx.AsyncClient) -> None:
    assert (await http.get("/things", headers={"Cookie": "session=good"})).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "truncated", id="no body"),
        pytest.param(b"{", "truncated", id="half a body"),
        pytest.param(b'{"size": 1}', "missing required field `name`", id="a missing field"),
        pytest.param(b'{"name": "x", "size": "1"}', "$.size", id="a field of another type says where"),
        pytest.param(b'{"name": "x", "colour": 1}', "unknown field `colour`", id="an unknown field"),
        pytest.param(b"\xff", "", id="no text"),
    ],
)
async def test_a_body_that_cannot_be_used(http: httpx.AsyncClient, body: bytes, words: str) -> None:
    answer = await http.post("/things", content=body, headers=TOKEN)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid-input"
    assert words in error["message"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": "3"}, {"limit": 3}),
        ({"since": "1.5"}, {"since": 1.5}),
        ({"deep": "true"}, {"deep": True}),
        ({"deep": "0"}, {"deep": False}),
        ({"name": " à "}, {"name": "à"}),
    ],
)
async def test_arguments(http: httpx.AsyncClient, query: dict[str, str], expected: dict[str, Any]) -> None:
    answer = (await http.get("/things", params=query, headers=TOKEN)).json()
    assert {name: answer[name] for name in expected} == expected


@pytest.mark.parametrize(
    "query", [{"limit": "many"}, {"since": "nan"}, {"since": "inf"}, {"deep": "yes?"}, {"limit": ""}]
)
async def test_arguments_that_cannot_be_used_are_named(http: httpx.AsyncClient, query: dict[str, str]) -> None:
    answer = await http.get("/things", params=query, headers=TOKEN)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("bug", 500, "internal"), ("tornado", 400, "invalid-input"), ("unavailable", 503, "unavailable")],
)
async def test_every_error_has_the_same_shape_and_tells_no_secret(
    http: httpx.AsyncClient, how: str, status: int, code: str
) -> None:
    answer = await http.get("/broken", params={"how": how}, headers=TOKEN)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_method_that_is_not_there_stays_a_405(http: httpx.AsyncClient) -> None:
    answer = await http.get("/things", headers=TOKEN)
    assert answer.status_code == 200
    answer = await http.put("/things", headers=TOKEN)
    assert answer.status_code == 405
    assert answer.json()["error"]["message"] == "Method Not Allowed."
