"""The service over HTTP: who may ask what, the offer, the panel, the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.databases import away, fresh_database
from support.fakehub import ACCESS
from support.service import HUB_KEY, RunningService, running_service
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import RequestHandler

from aiinfn_hub.kube.client import NODES, PODS
from aiinfn_hub.pods import names
from aiinfn_hub.service.metrics import Cached

T4 = {"nvidia.com/gpu.product": "Tesla-T4"}


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        yield running


def node(name: str = "gpu-1") -> dict[str, Any]:
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "8"}
    return {
        "metadata": {"name": name, "labels": T4},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }


def session(name: str, person: str) -> dict[str, Any]:
    amounts = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {
                names.KIND: "session",
                names.FLAVOUR: "t4",
                names.ACTIVITY: "lhcb-flashsim",
                names.PERSON: names.slug(person),
            },
            "annotations": {names.PERSON_NAME: person},
        },
        "spec": {
            "nodeName": "gpu-1",
            "containers": [{"name": "nb", "image": "x", "resources": {"requests": amounts, "limits": amounts}}],
        },
    }


def alice(service: RunningService) -> str:
    return service.hub.add("alice", "/aiinfn", "/aiinfn/lhcb-flashsim")


async def eventually(ask: Any) -> Any:
    async with asyncio.timeout(10):
        while not (answer := await ask()):
            await asyncio.sleep(0.05)
    return answer


async def free(service: RunningService, token: str) -> int:
    async with service.person(token) as http:
        offer = (await http.get("/api/offer")).json()
    return next(f["free"] for f in offer["flavours"] if f["flavour"] == "t4")


@pytest.mark.asyncio
async def test_the_offer_follows_the_cluster(service: RunningService) -> None:
    token = alice(service)
    assert await free(service, token) == 0
    await service.client.create(NODES, node())
    await eventually(lambda: _is(free(service, token), 8))
    await service.client.create(PODS, session("jupyter-alice", "alice"), "default")
    await eventually(lambda: _is(free(service, token), 7))
    await service.client.delete(PODS, "jupyter-alice", "default", grace_s=0)
    await eventually(lambda: _is(free(service, token), 8))


async def _is(answer: Any, expected: object) -> bool:
    return bool(await answer == expected)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        pytest.param("/api/offer", "nobody", 401, id="nobody gets no offer"),
        pytest.param("/api/offer", "alice", 200, id="a person gets hers"),
        pytest.param("/api/offer?person=alice", "hub", 200, id="the hub may ask for a person's offer"),
        pytest.param("/api/offer", "hub", 403, id="the hub must say whose"),
        pytest.param("/api/accounting/records?person=alice", "hub", 403, id="the hub may ask for nothing else"),
        pytest.param("/api/offer", "unscoped", 403, id="a token without the scope is refused"),
        pytest.param("/api/offer", "stranger", 401, id="a token that the hub does not know is nobody's"),
        pytest.param("/api/health", "nobody", 200, id="a probe needs no login"),
        pytest.param("/api/openapi.json", "nobody", 200, id="the document is public"),
        pytest.param("/api/accounting/records", "alice", 200, id="a person reads her records"),
        pytest.param("/api/accounting/records?person=bob", "alice", 403, id="and nobody else's"),
        pytest.param("/api/accounting/records?activity=lhcb-flashsim", "pi", 200, id="a PI reads the own activity"),
        pytest.param("/api/accounting/records?activity=cms-ml&person=bob", "pi", 403, id="and no other one"),
        pytest.param("/api/accounting/usage", "operator", 200, id="an operator reads all"),
        pytest.param("/api/accounting/usage?by=colour", "alice", 400, id="a group that is none is refused"),
        pytest.param("/api/accounting/records?since=5&until=1", "alice", 400, id="an empty window is refused"),
    ],
)
async def test_who_may_ask_what(service: RunningService, path: str, who: str, status: int) -> None:
    alice(service)
    service.hub.add("pi", "/aiinfn", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")
    service.hub.add("operator", "/aiinfn", "/aiinfn/admins", admin=True)
    service.hub.add("unscoped", scopes=("self",))
    async with service.person() as http:
        key = {"nobody": "", "hub": f"Bearer {HUB_KEY}", "stranger": "token made-up"}.get(who, f"token token-of-{who}")
        answer = await http.get(path, headers={"Authorization": key} if key else {})
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json()["error"]["message"]


@pytest.mark.asyncio
async def test_groups_are_the_hubs_of_now(service: RunningService) -> None:
    token = alice(service)
    async with service.person(token) as http:
        assert (await http.get("/api/offer")).json()["activities"][0]["activity"] == "lhcb-flashsim"
    service.hub.users["alice"]["groups"] = ["/aiinfn"]
    service.service.hub._users.clear()
    async with service.person(token) as http:
        assert (await http.get("/api/offer")).json()["activities"] == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scopes", "server"),
    [
        pytest.param(("access:servers!server=ada/gpu", "users:activity!user=ada"), "gpu", id="the token of a session"),
        pytest.param(("access:servers!server=ada/",), "", id="of the default one"),
        pytest.param(("access:servers!user=ada",), None, id="a token of the person, for all servers"),
        pytest.param(("access:servers!server=ada/a", "access:servers!server=ada/b"), None, id="for two of them"),
        pytest.param(("access:servers!server=eve/gpu",), None, id="for somebody else's"),
        pytest.param((), None, id="for none"),
    ],
)
async def test_which_session_speaks_is_what_its_token_opens(
    service: RunningService, scopes: tuple[str, ...], server: str | None
) -> None:
    """A guest in a shared session could write any name into a header; and code of others runs in every notebook."""
    lhcb = ("/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")
    service.hub.add("ada", "/aiinfn", "/aiinfn/admins", *lhcb, admin=True, scopes=(ACCESS, *scopes))
    request = HTTPServerRequest("GET", "/", headers=HTTPHeaders({"Authorization": "token token-of-ada"}))
    request.connection = SimpleNamespace(set_close_callback=lambda _: None)  # type: ignore[assignment]  # a fake
    caller = await service.service.identify(RequestHandler(service.service.application, request))
    assert caller.server == server
    person = caller.person
    assert person.activities == ("lhcb-flashsim",), "a scientist's rights are there in any case"
    assert (person.admin, person.pi_of) == (False, ()), "no such token has the scopes of PIs and operators"


@pytest.mark.asyncio
async def test_a_hub_that_is_away_is_said_to_be(service: RunningService) -> None:
    token = alice(service)
    service.hub.down = True
    async with service.person(token) as http:
        answer = await http.get("/api/offer")
    assert answer.status_code >= 500


@pytest.mark.asyncio
async def test_sessions_reach_the_ledger_and_a_pi_sees_no_more_than_sums_and_names(service: RunningService) -> None:
    token = alice(service)
    await service.client.create(NODES, node())
    await service.client.create(PODS, session("jupyter-alice", "alice"), "default")
    async with service.person(token) as http:

        async def records() -> Any:
            return (await http.get("/api/accounting/records")).json()["records"]

        found = await eventually(records)
        assert (found[0]["person"], found[0]["flavour"], found[0]["units"]) == ("alice", "t4", 1)
    pi = service.hub.add("pi", "/aiinfn/lhcb-flashsim/pi")
    async with service.person(pi) as http:
        seen = (await http.get("/api/accounting/records?activity=lhcb-flashsim")).json()["records"]
        assert "pod_name" not in seen[0]
        assert seen[0]["person"] == "alice"


@pytest.mark.asyncio
async def test_metrics_count_sessions_and_name_nobody(service: RunningService) -> None:
    alice(service)
    await service.client.create(NODES, node())
    await service.client.create(PODS, session("jupyter-alice", "alice"), "default")

    async def counted() -> bool:
        async with httpx.AsyncClient() as http:
            text = (await http.get(service.metrics_url)).text
        assert "alice" not in text
        return 'aiinfn_pods{activity="lhcb-flashsim",flavour="t4",kind="session",state="waiting"} 1.0' in text and (
            'aiinfn_ledger_records{state="open"} 1.0' in text
        )

    await eventually(counted)


@pytest.mark.asyncio
async def test_metrics_go_on_without_a_database_and_say_since_when(postgres: str, tmp_path: Path) -> None:
    """An alert on the ledger needs a scrape; what nobody knows is absent from it."""
    async with running_service(tmp_path, fresh_database(postgres)) as service:
        metrics = Cached(service.service.snapshot, keep_s=0)
        assert b'aiinfn_ledger_records{state="open"}' in await metrics.text()
        with away(service.service.database):
            text = (await metrics.text()).decode()
    assert "aiinfn_ledger_last_write_timestamp_seconds 1" in text
    assert "aiinfn_flavour_units{" in text
    assert not {line.split("{")[0] for line in text.splitlines()} & {"aiinfn_ledger_records", "aiinfn_jobs"}


@pytest.mark.asyncio
async def test_the_panel_sends_a_browser_without_login_to_the_hub(service: RunningService) -> None:
    async with service.person() as http:
        answer = await http.get("/")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/hub/api/oauth2/authorize?")
    assert "code_challenge" in answer.headers["Location"]


@pytest.mark.asyncio
async def test_the_panels_pages_render_for_those_who_may_see_them(service: RunningService) -> None:
    await service.client.create(NODES, node())
    await service.client.create(PODS, session("jupyter-alice", "alice <b>"), "default")
    pi = service.hub.add("pi", "/aiinfn", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")
    operator = service.hub.add("operator", "/aiinfn/admins", admin=True)
    async with service.person(alice(service)) as http:
        assert "Nothing yet" in (await http.get("/")).text
        assert (await http.get("/operator")).status_code == 403
        assert (await http.get("/activity/lhcb-flashsim")).status_code == 403
    async with service.person(pi) as http:
        page = await http.get("/activity/lhcb-flashsim")
        assert page.status_code == 200
        assert (await http.get("/activity/cms-ml")).status_code == 403

    async def shown() -> str:
        async with service.person(operator) as http:
            text = (await http.get("/operator")).text
        return text if "alice" in text else ""

    page_text = await eventually(shown)
    assert "alice &lt;b&gt;" in page_text
    assert "<b>" not in page_text
    async with service.person(operator) as http:
        assert (await http.get("/static/panel.css")).status_code == 200
        assert "script-src 'self'" in (await http.get("/operator")).headers["Content-Security-Policy"]


# The queue


async def ticket(service: RunningService, name: str, person: str, *gates: str) -> str:
    """A session that waits; returns its uid once the service knows it."""
    pod = session(name, person)
    del pod["spec"]["nodeName"]
    pod["spec"]["schedulingGates"] = [{"name": gate} for gate in (names.GATE, *gates)]
    made = await service.client.create(PODS, pod, "default")
    uid = str(made["metadata"]["uid"])

    async def known() -> bool:
        return uid in {one.pod.uid for one in service.service.tickets.all()}

    await eventually(known)
    return uid


@pytest.mark.asyncio
async def test_a_person_sees_the_own_tickets_in_the_list_and_in_the_offer(service: RunningService) -> None:
    token = alice(service)
    uid = await ticket(service, "jupyter-alice", "alice", "kueue.x-k8s.io/admission")
    await ticket(service, "jupyter-bob", "bob", "kueue.x-k8s.io/admission")
    async with service.person(token) as http:
        (listed,) = (await http.get("/api/tickets")).json()["tickets"]
        (offered,) = (await http.get("/api/offer")).json()["tickets"]
    assert listed == {"person": "alice"} | offered
    assert (offered["uid"], offered["flavour"], offered["admitted"]) == (uid, "t4", False)
    operator = service.hub.add("operator", "/aiinfn/admins", admin=True)
    async with service.person(operator) as http:
        assert len((await http.get("/api/tickets")).json()["tickets"]) == 2
        assert (await http.get("/api/offer")).json()["tickets"] == []
    hub = {"Authorization": f"Bearer {HUB_KEY}"}
    async with service.person(**hub) as http:
        (told,) = (await http.get("/api/offer", params={"person": "alice"})).json()["tickets"]
        assert (await http.get("/api/tickets", params={"person": "alice"})).status_code == 403
    assert told == offered


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("who", "status"),
    [
        pytest.param("alice", 204, id="one's own"),
        pytest.param("operator", 204, id="anybody's, by an operator"),
        pytest.param("pi", 404, id="nobody else's, which is not told"),
        pytest.param("nobody", 401, id="by nobody unknown"),
        pytest.param("hub", 403, id="not by the hub's key, which reads only"),
    ],
)
async def test_who_may_take_a_session_out_of_the_queue(service: RunningService, who: str, status: int) -> None:
    alice(service)
    service.hub.add("pi", "/aiinfn", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")
    service.hub.add("operator", "/aiinfn/admins", admin=True)
    uid = await ticket(service, "jupyter-alice", "alice", "kueue.x-k8s.io/admission")
    key = {"nobody": "", "hub": f"Bearer {HUB_KEY}"}.get(who, f"token token-of-{who}")
    async with service.person() as http:
        answer = await http.delete(f"/api/tickets/{uid}", headers={"Authorization": key} if key else {})
        assert answer.status_code == status, answer.text
        again = await http.delete(f"/api/tickets/{uid}", headers={"Authorization": key} if key else {})
    assert again.status_code == (404 if status == 204 else status)
    left = {pod["metadata"]["uid"] for pod in (await service.client.list(PODS, "default"))[0]}
    assert (uid in left) is (status != 204)


@pytest.mark.asyncio
async def test_a_session_that_runs_is_not_taken_out_of_a_queue(service: RunningService) -> None:
    token = alice(service)
    made = await service.client.create(PODS, session("jupyter-alice", "alice"), "default")
    await eventually(lambda: _is(_known(service, made["metadata"]["uid"]), True))
    async with service.person(token) as http:
        assert (await http.delete(f"/api/tickets/{made['metadata']['uid']}")).status_code == 404
    assert (await service.client.list(PODS, "default"))[0]


async def _known(service: RunningService, uid: str) -> bool:
    return uid in service.service.pods.items


@pytest.mark.asyncio
async def test_the_hub_is_asked_to_start_what_the_queue_has_let_in(service: RunningService) -> None:
    service.service.tickets.clock = lambda: 1e10  # its first start is long over
    await ticket(service, "jupyter-alice", "alice@infn.it")

    async def asked() -> list[str]:
        return service.hub.starts

    assert await eventually(asked) == ["/users/alice%40infn.it/server"]
