"""The client of the service: what is tried again, what is not, and what errors become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest, JobState, Resources, ValueRef
from aiinfn_hub.errors import AiinfnError, Conflict, NotAuthenticated, NotFound, RemoteFailed, Unavailable
from aiinfn_labext.client import PAUSES_S, ServiceClient, sha256_of

ENVIRON = {"AIINFN_SERVICE_URL": "http://service/services/aiinfn/", "JUPYTERHUB_API_TOKEN": "secret-1"}


class Wire:
    """A client whose network is a list of answers, and the requests that it made."""

    def __init__(self, *answers: httpx.Response | Exception, environ: dict[str, str] | None = None) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.client = ServiceClient(
            environ=environ if environ is not None else ENVIRON,
            transport=httpx.MockTransport(self._answer),
            sleep=self.pauses.append,
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client(service: FakeService) -> ServiceClient:
    return ServiceClient(environ=service.environ, sleep=lambda _: None)


def test_a_job_is_submitted_with_its_inputs(service: FakeService, client: ServiceClient) -> None:
    service.hold = True
    request = JobRequest("fit", "y = x", {"x": ValueRef("json", sha256_of(b"1"), 1, "1")}, ["y"], Resources(time_s=9))
    view = client.submit(request, {sha256_of(b"1"): b"1"})
    assert (view.name, view.state, view.resources.time_s) == ("fit", JobState.QUEUED, 9)
    assert service.blobs == {sha256_of(b"1"): b"1"}
    assert client.job("fit") == client.job(view.id) == client.jobs(name="fit")[0] == view
    assert client.jobs(state="running") == []


def test_what_the_service_has_is_not_sent_again(service: FakeService, client: ServiceClient) -> None:
    service.hold = True
    for _ in range(2):
        client.submit(JobRequest("fit", "1"), {sha256_of(b"1"): b"1"})
    assert [method for method, path in service.requests if "/blobs/" in path] == ["HEAD", "PUT", "HEAD"]


def test_a_submission_that_is_tried_again_is_one_job(service: FakeService, client: ServiceClient) -> None:
    service.hold = True
    answers = iter([True, False])
    handle = service.submit

    def lose_the_answer(*args: Any, **options: Any) -> Any:
        run = handle(*args, **options)
        service.down = 1 if next(answers, False) else 0
        return run

    service.submit = lose_the_answer  # type: ignore[method-assign]
    client.submit(JobRequest("fit", "1"), {})
    client.submit(JobRequest("fit", "1"), {})
    assert len(service.runs) == 2
    assert len(set(service.keys)) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.jobs(),
        lambda client: client.job("fit"),
        lambda client: client.cancel("fit"),
        lambda client: client.submit(JobRequest("fit", "1"), {}),
        lambda client: client.targets(),
    ],
    ids=["list", "look", "cancel", "submit", "targets"],
)
def test_no_answer_is_tried_again_and_then_said(call: Callable[[ServiceClient], object]) -> None:
    wire = Wire(httpx.ConnectError("refused"))
    with pytest.raises(Unavailable, match=r"does not answer \(ConnectError\)"):
        call(wire.client)
    assert wire.pauses == list(PAUSES_S)


def test_a_submission_that_is_tried_again_keeps_its_key() -> None:
    wire = Wire(httpx.ReadTimeout("slow"))
    with pytest.raises(Unavailable):
        wire.client.submit(JobRequest("fit", "1"), {})
    assert len({request.headers["Idempotency-Key"] for request in wire.requests}) == 1


def test_an_answer_after_some_tries_is_the_answer() -> None:
    wire = Wire(httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, json={"targets": []}))
    assert wire.client.targets() == []
    assert len(wire.requests) == 3


def test_a_refusal_is_not_tried_again() -> None:
    body = Conflict("It is over.", hint="Nothing to do.", details={"a": 1}).to_json()
    wire = Wire(httpx.Response(409, json=body))
    with pytest.raises(Conflict) as caught:
        wire.client.cancel("fit")
    assert (caught.value.message, caught.value.hint, caught.value.details) == (
        "It is over.",
        "Nothing to do.",
        {"a": 1},
    )
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, text="<html>"), NotFound),
        (httpx.Response(401, json={"error": "x"}), NotAuthenticated),
        (httpx.Response(302, headers={"Location": "/hub/login"}), NotAuthenticated),
        (httpx.Response(200, text="<html>"), RemoteFailed),
        (httpx.Response(200, json={"targets": [{"nome": "local"}]}), RemoteFailed),
        (httpx.Response(418), RemoteFailed),
    ],
    ids=["a page of the proxy", "a foreign error", "a redirect to the login", "no JSON", "another version", "a teapot"],
)
def test_strange_answers_become_our_errors(answer: httpx.Response, kind: type[AiinfnError]) -> None:
    with pytest.raises(kind):
        Wire(answer).client.targets()


def test_the_token_is_read_at_each_call_and_sent_in_the_header_only() -> None:
    environ = dict(ENVIRON)
    wire = Wire(httpx.Response(200, json={"targets": []}), environ=environ)
    wire.client.targets()
    environ["JUPYTERHUB_API_TOKEN"] = "secret-2"
    wire.client.targets()
    assert [request.headers["Authorization"] for request in wire.requests] == ["token secret-1", "token secret-2"]
    assert "secret" not in str([request.url for request in wire.requests])


def test_no_error_text_holds_the_token() -> None:
    with pytest.raises(AiinfnError) as caught:
        Wire(httpx.ConnectError("refused")).client.targets()
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.__cause__)


def test_the_session_s_server_is_named() -> None:
    wire = Wire(httpx.ConnectError("refused"), environ={**ENVIRON, "JUPYTERHUB_SERVER_NAME": "gpu"})
    with pytest.raises(Unavailable):
        wire.client.submit(JobRequest("fit", "1"), {})
    assert msgspec.json.decode(wire.requests[0].content)["server"] == "gpu"


def test_without_a_service_the_way_out_is_to_run_here() -> None:
    client = ServiceClient(environ={})
    assert not client.configured
    with pytest.raises(Unavailable) as caught:
        client.jobs()
    assert "--to here" in caught.value.hint


def test_an_unknown_token_is_not_authenticated(service: FakeService) -> None:
    client = ServiceClient(environ={**service.environ, "JUPYTERHUB_API_TOKEN": "other"})
    with pytest.raises(NotAuthenticated):
        client.targets()


def test_a_missing_output_says_why(service: FakeService, client: ServiceClient) -> None:
    view = client.submit(JobRequest("fit", "bad = {1}", outputs=["bad"]), {})
    service.wait(service.run_of("fit"))
    with pytest.raises(NotFound) as caught:
        client.output(view.id, "bad")
    assert caught.value.hint == "it is set; send sorted(...) of it"
