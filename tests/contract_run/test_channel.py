"""The runner's HTTP: what is tried again, what is final, and where the token never goes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aiinfn_hub.contract.run.channel import MAX_PAUSE_S, Gone, HttpChannel, Orders, Refused, Unreachable, Welcome
from aiinfn_hub.errors import (
    AiinfnError,
    Conflict,
    Expired,
    Forbidden,
    InvalidInput,
    QuotaExceeded,
    TooLarge,
    Unavailable,
)

Answer = tuple[int, dict[str, str], bytes]


class Script:
    """A server that gives prepared answers one after the other, the last one for ever, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                script.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                if status == 0:  # the connection breaks
                    self.connection.close()
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = handle_one  # noqa: N815  names of http.server

            def log_message(self, *_args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def will(self, *answers: Any) -> None:
        """Each is a status, bytes, a JSON value, one of our errors, or a whole answer."""
        self.answers = [self._answer(answer) for answer in answers]

    def _answer(self, answer: Any) -> Answer:
        if isinstance(answer, AiinfnError):
            return answer.status, {}, json.dumps(answer.to_json()).encode()
        if isinstance(answer, int):
            return answer, {}, b""
        if isinstance(answer, bytes):
            return 200, {}, answer
        return answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())


@pytest.fixture
def script() -> Iterator[Script]:
    running = Script()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def channel(script: Script, pauses: list[float]) -> HttpChannel:
    return HttpChannel(script.url + "/", "run1", sleep=pauses.append)


def test_the_capability_is_traded_once_and_the_token_used_from_then_on(script: Script, channel: HttpChannel) -> None:
    script.will({"token": "t2", "attempt": 1, "heartbeat_s": 7}, {"cancel": False})
    assert channel.exchange("t1", "pod", 1) == Welcome(1, 7)
    assert channel.heartbeat({"memory": 5, "metrics": {}}) == Orders(cancel=False)
    assert [(method, path) for method, path, _, _ in script.requests] == [
        ("POST", "/runs/run1/exchange"),
        ("POST", "/runs/run1/heartbeat"),
    ]
    assert [headers["Authorization"] for _, _, headers, _ in script.requests] == ["Bearer t1", "Bearer t2"]
    assert json.loads(script.requests[0][3]) == {"pod_uid": "pod"}


def test_no_answer_is_tried_again_with_growing_pauses(
    script: Script, channel: HttpChannel, pauses: list[float]
) -> None:
    script.will(503, 502, 0, 429, b"\xff not json", {"token": "t2"})
    assert channel.exchange("t1", "pod", 1000) == Welcome(1, 5)
    assert len(script.requests) == 6
    assert len(pauses) == 5
    for number, pause in enumerate(pauses):
        assert 0.125 * 2**number <= pause <= min(0.25 * 2**number, MAX_PAUSE_S)


def test_patience_ends(script: Script, channel: HttpChannel, pauses: list[float]) -> None:
    script.will(503)
    with pytest.raises(Unreachable, match="answered 503"):
        channel.result({}, 0)
    assert len(script.requests) == 1
    assert pauses == []


def test_nobody_there_is_unreachable(script: Script, pauses: list[float]) -> None:
    script.server.server_close()
    with pytest.raises(Unreachable, match="does not answer"):
        HttpChannel(script.url, "run1", sleep=pauses.append).heartbeat({"memory": 0, "metrics": {}})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Forbidden("No token of this run."), Refused),
        (InvalidInput("Not asked for."), Refused),
        (TooLarge("At most 50 MiB."), Refused),
        (Conflict("A newer attempt has taken over."), Gone),
        (Expired("The run is over."), Gone),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_a_refusal_is_final_and_says_what_the_service_said(
    script: Script, channel: HttpChannel, error: AiinfnError, kind: type[Refused]
) -> None:
    script.will(error)
    with pytest.raises(Refused) as caught:
        channel.result({}, 1000)
    assert type(caught.value) is kind
    assert caught.value.status == error.status
    assert str(caught.value) == f"the service answered {error.status}: {error.message}"
    assert len(script.requests) == 1


def test_a_page_of_a_proxy_is_told_by_its_beginning(script: Script, channel: HttpChannel) -> None:
    script.will((404, {}, b"<html>" + b"x" * 1000))
    with pytest.raises(Refused) as caught:
        channel.heartbeat({"memory": 0, "metrics": {}})
    assert len(str(caught.value)) < 300


def test_a_full_quota_is_final_and_too_many_requests_are_not(script: Script, channel: HttpChannel) -> None:
    script.will(QuotaExceeded("You keep too much."))
    with pytest.raises(Refused, match="You keep too much"):
        channel.deliver("x", "json", b"1", "1", 1000)
    script.will(QuotaExceeded("Slowly."))
    with pytest.raises(Unreachable):
        channel.heartbeat({"memory": 0, "metrics": {}})


def test_a_redirect_is_not_followed_and_the_token_stays(script: Script, channel: HttpChannel) -> None:
    other = Script()
    other.will({"cancel": True})
    try:
        script.will((302, {"Location": other.url + "/runs/run1/heartbeat"}, b""))
        with pytest.raises(Refused, match="302"):
            channel.heartbeat({"memory": 0, "metrics": {}})
        assert other.requests == []
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_an_input_that_comes_damaged_is_fetched_again(script: Script, channel: HttpChannel) -> None:
    script.will(b"dama", b"data")
    assert channel.fetch(hashlib.sha256(b"data").hexdigest(), 10) == b"data"
    with pytest.raises(Unreachable, match="came damaged"):
        channel.fetch("0" * 64, 0)


def test_frames_are_sent_as_they_are_and_once(script: Script, channel: HttpChannel) -> None:
    script.will({"next": 3, "cancel": True})
    frames = [{"output_type": "stream", "name": "stdout", "text": "é\ud800", "seq": 2}]
    assert channel.frames(frames, {"memory": 7, "metrics": {}}) == (3, Orders(cancel=True))
    assert json.loads(script.requests[0][3]) == {"frames": frames, "memory": 7, "metrics": {}}
    script.will(Unavailable("It restarts."))
    with pytest.raises(Unreachable):
        channel.frames(frames, {"memory": 7, "metrics": {}})
    assert len(script.requests) == 2


def test_an_output_says_what_it_is_in_plain_headers(script: Script, channel: HttpChannel) -> None:
    script.will({})
    channel.deliver("total", "json", b"42", "é\n42", 0)
    method, path, headers, body = script.requests[0]
    assert (method, path, body) == ("PUT", "/runs/run1/outputs/total", b"42")
    assert headers["X-Aiinfn-Sha256"] == hashlib.sha256(b"42").hexdigest()
    assert (headers["X-Aiinfn-Codec"], headers["X-Aiinfn-Summary"]) == ("json", "? 42")


def test_an_output_may_have_any_name_that_python_allows(script: Script, channel: HttpChannel) -> None:
    script.will({})
    channel.deliver("größe", "json", b"42", "", 0)
    assert script.requests[0][1] == "/runs/run1/outputs/gr%C3%B6%C3%9Fe"


def test_no_error_holds_the_token(script: Script, channel: HttpChannel) -> None:
    script.will(Forbidden("No."))
    with pytest.raises(Refused) as caught:
        channel.exchange("very-secret", "pod", 0)
    assert "very-secret" not in str(caught.value)
