"""What is asked about a record, answered by a real Prometheus over samples as DCGM's exporter leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.prometheus import Sample, prometheus_with
from support.sightings import T0, life

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.measuring import ACTIVE, ENERGY, STEP_S, Measurer, busiest
from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import observation, record

H = 3600.0
CARD = {"resource": "nvidia.com/gpu", "flavour": "a100-40", "weight": 1.0, "namespace": "aiinfn"}


def series(
    metric: str, pod: str, *, begin: float, end: float, values: tuple[float, ...], old: bool = False
) -> list[Sample]:
    """A look each 30 s, whose values come in turn; by the names of a target with honorLabels, or without."""
    prefix = "" if old else "exported_"
    labels = f'{metric}{{UUID="GPU-1",{prefix}namespace="aiinfn",{prefix}pod="{pod}"}}'
    looks = range(int((end - begin) // 30))
    return [(labels, T0 + begin + 30.0 * n + 7, values[n % len(values)]) for n in looks]


SAMPLES = [
    # alice: half of the time active, for one hour; nothing after it.
    *series(ACTIVE, "jupyter-alice", begin=0, end=H, values=(1.0, 0.0)),
    *(
        (s, at, 5_000.0 * n)
        for n, (s, at, _) in enumerate(series(ENERGY, "jupyter-alice", begin=0, end=H, values=(0,)))
    ),
    # bob's exporter is of an older kind, saw the second half hour only, and the GPU goes on after the pod's end.
    *series(ACTIVE, "jupyter-bob", begin=H / 2, end=H + 100, values=(0.5,), old=True),
    # carol's pod is named on after its end, and does nothing.
    *series(ACTIVE, "jupyter-carol", begin=0, end=H, values=(1.0,)),
    *series(ACTIVE, "jupyter-carol", begin=H, end=2 * H, values=(0.0,)),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_with(sorted(SAMPLES), tmp_path_factory.mktemp("prometheus")) as address:
        yield address


@pytest.mark.asyncio
async def test_what_dcgm_left_comes_into_the_records(database: Database, url: str, tmp_path: Path) -> None:
    people = ("alice", "bob", "carol", "dave")
    for who in people:
        database.run(ledger.observe, life(who, end=H, person=who, pod_name=f"jupyter-{who}", **CARD))
    prometheus = Prometheus(url)
    try:
        assert await Measurer(database, prometheus, clock=lambda: T0 + 2 * H).look() == len(people)
    finally:
        await prometheus.close()
    with database.engine.connect() as connection:
        found = {row["pod_uid"]: row for row in connection.execute(record.select()).mappings()}
        said = connection.execute(observation.select().where(observation.c.source == "prometheus")).mappings().all()
    assert found["alice"]["measured_s"] == pytest.approx(H, abs=60)
    assert found["alice"]["active_s"] == pytest.approx(H / 2, abs=60)
    assert found["alice"]["energy_j"] == pytest.approx(5 * 119, rel=0.05)
    assert found["bob"]["measured_s"] == pytest.approx(H / 2, abs=60)
    assert found["bob"]["active_s"] == pytest.approx(H / 4, abs=60)
    assert found["carol"]["active_s"] == pytest.approx(H, abs=60)
    assert (found["dave"]["measured_s"], found["dave"]["active_s"]) == (0.0, None), "nobody measured"
    # Only bob's devices were seen at work a minute after its end.
    assert [(row["pod_uid"], row["kind"]) for row in said] == [("bob", "ended")]
    assert said[0]["observed_at"] == pytest.approx(T0 + H + 97, abs=30)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("who", "at", "most", "covered_s"),
    [
        pytest.param("alice", H, 1.0, H, id="active half of the time"),
        pytest.param("bob", H, 0.5, H / 2, id="looked at for half of the hour"),
        pytest.param("carol", 2 * H - 300, 1.0, H, id="active at the begin of the hour"),
        pytest.param("carol", 2 * H, 0.0, H, id="not active in the last hour"),
        pytest.param("dave", H, None, None, id="never looked at"),
    ],
)
async def test_whether_a_device_did_anything_of_late(
    url: str, who: str, at: float, most: float | None, covered_s: float | None
) -> None:
    prometheus = Prometheus(url)
    try:
        active, looks = busiest("aiinfn", f"jupyter-{who}", H)
        seen = await prometheus.value(looks, at=T0 + at)
        assert (None if seen is None else seen * STEP_S) == (
            None if covered_s is None else pytest.approx(covered_s, abs=90)
        )
        assert await prometheus.value(active, at=T0 + at) == most
    finally:
        await prometheus.close()
