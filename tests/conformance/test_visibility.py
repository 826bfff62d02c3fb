"""Where somebody stands: what Kueue's own API says, and what we reckon from the same Workloads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.differences import only_real
from support.lines import GATED_BY, PRIORITY, Lines, of, owner_of
from support.places import Place
from support.trials import History, history, holds, says

from aiinfn_hub.capacity.queue import place as place_in_queue
from aiinfn_hub.capacity.queue import waits
from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS
from aiinfn_hub.kube.slim import decode_workload

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
API = "/apis/visibility.kueue.x-k8s.io/v1beta2"


async def _waiting(lines: Lines) -> None:
    """Two GPUs that a session holds, and a line of jobs of every sort before them."""
    await lines.usual(2)
    await lines.local_queue("more", "jobs")
    await lines.priority("high", 1000)
    await lines.session("full", 2)
    await lines.place.until(PODS, "full", lambda one: one["spec"].get("nodeName"))
    await lines.job("impossible", 9)
    await lines.job("gated", annotations={GATED_BY: "a.example/one"})
    await lines.job("a")
    await lines.job("elsewhere", queue="more")
    await lines.job("b")
    await lines.job("aside")
    await lines.job("urgent", labels={PRIORITY: lines.named("high")})


async def _made(workloads: History, *names: str) -> None:
    for name in names:
        await workloads.first(of(name, lambda one: one))


async def _ours(place: Place, queue: str) -> dict[str, tuple[int, int]]:
    """Owner -> place and number of those that wait, as our pages say it."""
    found, _ = await place.client.list_raw(WORKLOADS, place.namespace)
    slim = [decode_workload(text) for text in found]
    owners = {one.uid: owner_of(msgspec.json.decode(text)) for one, text in zip(slim, found, strict=True)}
    return {owners[one.uid]: place_in_queue(one, slim) for one in slim if one.queue == queue and waits(one)}


async def _theirs(place: Place, queue: str, query: str = "") -> list[Object]:
    path = f"{API}/namespaces/{{ns}}/localqueues/{queue}/pendingworkloads{query}"
    return list((await place.call("GET", path)).json["items"])


async def test_our_places_are_kueues_positions(place: Place) -> None:
    only_real(place, "Positions")
    lines = Lines(place)
    async with history(place, WORKLOADS) as workloads:
        await _waiting(lines)
        await _made(workloads, "impossible", "a", "elsewhere", "b", "urgent", "aside")
        await workloads.first(of("gated", says("QuotaReserved", "False")))
        name = (await lines.workload("aside"))["metadata"]["name"]
        await place.client.patch(WORKLOADS, name, {"spec": {"active": False}}, place.namespace)
        await workloads.first(of("aside", holds("Evicted")))
        await workloads.first(of("urgent", says("QuotaReserved", "False")))
    for queue, count in (("jobs", 4), ("more", 1)):
        theirs = await _theirs(place, queue)
        assert len(theirs) == count
        positions = {owner_of(one): (one["positionInLocalQueue"] + 1, count) for one in theirs}
        assert await _ours(place, queue) == positions
    assert owner_of((await _theirs(place, "jobs"))[0]) == "urgent"
    all_of_them = (await place.call("GET", f"{API}/clusterqueues/{lines.named('jobs')}/pendingworkloads")).json
    assert [one["positionInClusterQueue"] for one in all_of_them["items"]] == [0, 1, 2, 3, 4]
    (second,) = await _theirs(place, "jobs", "?limit=1&offset=1")
    assert second["positionInLocalQueue"] == 1
    assert (await place.call("GET", f"{API}/namespaces/{{ns}}/localqueues/none/pendingworkloads")).status == 404


async def test_an_evicted_job_stands_where_it_stood(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads:
        await lines.job("first")
        await workloads.first(of("first", holds("Admitted")))
        await lines.job("second")
        await _made(workloads, "second")
        await lines.session("s")
        await workloads.first(of("first", holds("Requeued")))
        await workloads.first(of("s", holds("Admitted")))
        ours = await _ours(place, "jobs")
        created = {n: (await lines.workload(n))["metadata"]["creationTimestamp"] for n in ("first", "second")}
        if created["first"] < created["second"]:  # in the same second, their uids decide
            assert ours == {"first": (1, 2), "second": (2, 2)}
        if place.name == "real":
            theirs = {owner_of(one): (one["positionInLocalQueue"] + 1, 2) for one in await _theirs(place, "jobs")}
            assert ours == theirs


async def test_they_are_let_in_in_the_order_of_our_places(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    await lines.priority("low", -5)
    await lines.priority("high", 5)
    async with history(place, WORKLOADS) as workloads:
        await lines.session("full")
        await workloads.first(of("full", holds("Admitted")))
        await lines.job("impossible", 9)
        for name, priority in (("a", "low"), ("b", ""), ("c", "high")):
            await lines.job(name, script="true", labels={PRIORITY: lines.named(priority)} if priority else {})
        await _made(workloads, "impossible")
        # All have been tried: Kueue takes up again those that it put aside a moment after a place is free, and one that
        # it is only then to try for the first time is before them.
        for name in "abc":
            await workloads.first(of(name, says("QuotaReserved", "False")))
        ours = {name: stand for name, (stand, _) in (await _ours(place, "jobs")).items() if name != "impossible"}
        await place.client.delete(PODS, "full", place.namespace)
        for name in "abc":
            await place.until(JOBS, name, holds("Complete"))
        order: list[str] = []
        for one in workloads.seen:
            if holds("QuotaReserved")(one) and owner_of(one) in ours and owner_of(one) not in order:
                order.append(owner_of(one))
    assert order == sorted(ours, key=ours.__getitem__)
    assert (order[0], order[-1]) == ("c", "a")
