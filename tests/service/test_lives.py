"""How long sessions last, in the service: reports and wishes over HTTP, notices, the end at the hub, Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.fakehub import ACCESS
from support.service import RunningService, running_service

from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.identity import audit
from aiinfn_hub.kube.client import NAMESPACES, NODES, PODS
from aiinfn_hub.pods import names

pytestmark = pytest.mark.asyncio
H = 3600.0
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}}
ACTIVITY = "lhcb-flashsim"


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        running.hub.add("ada", "/aiinfn", f"/aiinfn/{ACTIVITY}")
        scopes = [ACCESS, "access:servers!server=ada/"]
        running.hub.tokens["session-of-ada"] = {"name": "ada", "kind": "user", "scopes": scopes}
        running.hub.add("eve", "/aiinfn", f"/aiinfn/{ACTIVITY}")
        await running.client.create(NAMESPACES, NAMESPACE)
        yield running


@pytest.fixture
def clock(service: RunningService) -> Clock:
    """Of what decides, so that hours pass at once."""
    found = Clock()
    service.service.lives._clock = found
    service.service.rights._clock = found
    return found


async def session(service: RunningService, *, lifetime_s: int = 8 * 3600, flavour: str = "t4") -> str:
    """A session of ada's on a node; its uid."""
    labels = {names.KIND: "session", names.ACTIVITY: ACTIVITY, names.FLAVOUR: flavour, names.PERSON: "ada"}
    annotations = {names.PERSON_NAME: "ada", names.SERVER: "", names.LIFETIME: str(lifetime_s)}
    manifest = {
        "metadata": {"name": "jupyter-ada", "namespace": "aiinfn", "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "nb", "image": "x"}], "nodeName": "node-1"},
    }
    made = await service.client.create(PODS, manifest, "aiinfn")
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    status = {"phase": "Running", "startTime": started}
    await service.client.patch(PODS, "jupyter-ada", {"status": status}, "aiinfn", subresource="status")
    uid = str(made["metadata"]["uid"])
    await until(lambda: any(p.uid == uid and p.started for p in service.service.pods.items.values()))
    return uid


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


async def tell(service: RunningService, **said: Any) -> dict[str, Any]:
    body = {"busy": 0, "quiet_s": 0.0, "cpu_cores": 0.0} | said
    async with service.person("session-of-ada") as http:
        answer = await http.put("/api/session", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def extend(service: RunningService, ends: float) -> httpx.Response:
    async with service.person("session-of-ada") as http:
        return await http.post("/api/session", json={"ends": ends})


async def look(service: RunningService) -> list[dict[str, Any]]:
    """Ada's notices after both have looked."""
    await service.service.lives.look()
    await service.service.rights.look()
    async with service.person("token-of-ada") as http:
        return list((await http.get("/api/notices")).json()["notices"])


async def called_off(service: RunningService) -> None:
    """What was said is taken back, by whichever look comes first."""
    async with asyncio.timeout(10):
        while await look(service):
            await asyncio.sleep(0.05)


async def test_a_session_hears_how_long_it_may_go_on(service: RunningService) -> None:
    await session(service)
    said = await tell(service)
    assert said["flavour"] == "NVIDIA T4"
    assert said["ends"] == pytest.approx(said["started"] + 8 * H)
    assert said["extend_s"] == 4 * H
    assert said["idle_after_s"] == 2 * H
    async with service.person("token-of-ada") as http:
        assert (await http.get("/api/session")).json()["ends"] == said["ends"], "its person may ask too"
        assert (await http.put("/api/session", json={"busy": 0, "quiet_s": 0})).status_code == 403
        assert (await http.get("/api/session", params={"server": "none"})).status_code == 404
    async with service.person("token-of-eve") as http:
        assert (await http.get("/api/session")).status_code == 404, "nobody else has one by asking"


async def test_it_ends_with_notice_unless_it_is_extended(service: RunningService, clock: Clock) -> None:
    await session(service)
    ends = (await tell(service))["ends"]
    assert await look(service) == []
    clock.ahead = 8 * H - 600
    (notice,) = await look(service)
    assert (notice["act"], notice["level"]) == ("extend", "error")
    assert notice["due"] == pytest.approx(ends + 300, abs=5), "late news of the end gives the whole notice"
    first, second = await asyncio.gather(extend(service, ends), extend(service, ends))
    assert [first.status_code, second.status_code] == [200, 200]
    assert {first.json()["ends"], second.json()["ends"]} <= {ends, ends + 4 * H}
    assert (await tell(service))["ends"] == ends + 4 * H, "two tabs extend once"
    await until(lambda: not service.service.rights.drains)  # at once: nobody waits for the next look
    acts = [act.what for act in await service.service.database.read(audit.acts)]
    assert acts.count("extended") == 1
    assert acts.count("drain-off") == 1
    assert await look(service) == []


async def test_it_is_stopped_when_its_time_is_over(service: RunningService, clock: Clock) -> None:
    await session(service)
    clock.ahead = 8 * H
    (notice,) = await look(service)
    assert service.hub.stops == []
    clock.ahead = 8 * H + 901
    await look(service)
    assert service.hub.stops == [("ada", "")]
    assert notice["title"] == "This session ends at {due}."


async def test_it_lasts_no_longer_than_it_may(service: RunningService, clock: Clock) -> None:
    """The example lets a T4 go for a day, and the activity for another one."""
    await session(service, lifetime_s=24 * 3600)
    ends = (await tell(service))["ends"]
    for _ in range(6):
        ends = (await extend(service, ends)).json()["ends"]
    answer = await extend(service, ends)
    assert answer.status_code == 409
    assert "It lasts 2 d, and may not last longer." in answer.json()["error"]["message"]
    clock.ahead = 48 * H - 60
    (notice,) = await look(service)
    assert notice["act"] == ""
    assert "NVIDIA T4 may not last longer." in notice["text"]


async def test_who_has_lost_the_activity_extends_nothing(service: RunningService) -> None:
    await session(service)
    ends = (await tell(service))["ends"]
    service.hub.add("ada", "/aiinfn")
    assert (await extend(service, ends)).status_code == 403


async def quiet(service: RunningService, clock: Clock) -> None:
    """It has done nothing for three hours, by what it says."""
    await session(service)
    for hours in range(4):
        clock.ahead = hours * H
        await tell(service, quiet_s=hours * H)


async def test_nobody_uses_it(service: RunningService, clock: Clock) -> None:
    await quiet(service, clock)
    (notice,) = await look(service)
    assert notice["act"] == "keep"
    assert "no kernel and no terminal did anything" in notice["text"]
    await tell(service, quiet_s=0.0)  # somebody said to be here
    await called_off(service)


async def test_a_cell_that_runs_for_long_keeps_it(service: RunningService, clock: Clock) -> None:
    await quiet(service, clock)
    await tell(service, busy=1, quiet_s=3 * H)
    await called_off(service)


async def test_a_processor_that_works_keeps_it(service: RunningService, clock: Clock) -> None:
    await quiet(service, clock)
    await tell(service, quiet_s=3 * H, cpu_cores=0.5)
    await called_off(service)


async def test_a_session_that_says_nothing_is_not_idle(service: RunningService, clock: Clock) -> None:
    await quiet(service, clock)
    assert len(await look(service)) == 1
    clock.ahead += 600
    await called_off(service)
    async with service.person("token-of-ada") as http:
        said = (await http.get("/api/session")).json()
    assert said["idle_unknown"] == "the session does not say what it does"


@pytest.mark.parametrize(
    ("looks", "active", "notices", "unknown"),
    [
        pytest.param(240.0, 0.0, 1, "", id="the accelerator did nothing"),
        pytest.param(240.0, 0.3, 0, "", id="it worked"),
        pytest.param(100.0, 0.0, 0, "its use of the accelerator is not measured", id="it was not looked at for long"),
        pytest.param(None, None, 0, "its use of the accelerator is not measured", id="nobody looked at it"),
    ],
)
async def test_the_accelerator_has_the_last_word(
    service: RunningService, clock: Clock, looks: float | None, active: float | None, notices: int, unknown: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = looks if "count_over_time" in request.url.params["query"] else active
        result = [] if found is None else [{"metric": {}, "value": [0, str(found)]}]
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": result}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        service.service.lives._prometheus = Prometheus("http://prometheus", http=http)
        await quiet(service, clock)
        assert len(await look(service)) == notices
    async with service.person("token-of-ada") as http:
        assert (await http.get("/api/session")).json()["idle_unknown"] == unknown


async def test_prometheus_that_is_away_ends_nothing(service: RunningService, clock: Clock) -> None:
    service.service.lives._prometheus = Prometheus("http://127.0.0.1:9")
    await quiet(service, clock)
    assert await look(service) == []


async def test_a_database_that_is_away_ends_nothing_new(service: RunningService, clock: Clock) -> None:
    await session(service)
    clock.ahead = 8 * H - 600

    async def away(*_args: Any, **_more: Any) -> None:
        raise Unavailable("The database does not answer.")

    service.service.lives._database = type("Away", (), {"read": staticmethod(away)})()
    with pytest.raises(Unavailable):
        await service.service.lives.look()
    assert service.service.lives.lapses == {}


async def test_a_service_that_starts_anew_knows_extensions_before_it_judges(
    service: RunningService, clock: Clock
) -> None:
    """What a session says must not be judged by its first end while nobody has read of its later one."""
    uid = await session(service)
    ends = (await tell(service))["ends"]
    await extend(service, ends)
    service.service.lives._extended.clear()
    clock.ahead = 9 * H
    assert (await tell(service))["ends"] == ends + 4 * H
    assert uid not in service.service.lives.lapses


async def test_an_answer_that_comes_late_takes_no_time_away(service: RunningService) -> None:
    uid = await session(service)
    ends = (await tell(service))["ends"]
    await extend(service, ends)
    lives = service.service.lives
    real = lives._database

    async def late(*_args: Any) -> dict[str, float]:
        return {}

    lives._database = type("Late", (), {"read": staticmethod(late)})()
    await lives._learn([uid])
    lives._database = real
    assert (await tell(service))["ends"] == ends + 4 * H


async def test_a_node_that_goes_out_of_service(service: RunningService, clock: Clock) -> None:
    await session(service)
    cordon = {"metadata": {"name": "node-1"}, "spec": {"unschedulable": True}}
    await service.client.create(NODES, cordon)
    await until(lambda: any(node.unschedulable for node in service.service.nodes.items.values()))
    (notice,) = await look(service)
    assert (notice["level"], notice["due"]) == ("warning", None)
    assert notice["title"] == "node-1, on which your session runs, goes out of service soon."

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + H))
    await service.client.patch(NODES, "node-1", {"metadata": {"annotations": {names.DRAIN_AT: at}}})
    await until(lambda: any(node.drain_at for node in service.service.nodes.items.values()))
    (notice,) = await look(service)
    assert notice["due"] == pytest.approx(time.time() + H, abs=10)
    clock.ahead = H - 800
    (notice,) = await look(service)
    assert (notice["level"], notice["act"]) == ("error", ""), "nobody extends a session on it"
    clock.ahead = H + 200
    await look(service)
    assert service.hub.stops == [("ada", "")]
    await service.client.patch(NODES, "node-1", {"metadata": {"annotations": None}, "spec": {"unschedulable": None}})
    await until(lambda: not any(node.drain_at for node in service.service.nodes.items.values()))
    await called_off(service)
