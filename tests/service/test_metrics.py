"""What Prometheus reads: few series whatever the number of people, none with a name, and a text that is kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable

import pytest

from aiinfn_hub.accounting.observer import Liveness
from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names
from aiinfn_hub.service.metrics import Cached, Snapshot, exposition

PLATFORM = load_platform(example_path())
FLAVOURS = [flavour.name for flavour in PLATFORM.flavours]
ACTIVITIES = [activity.name for activity in PLATFORM.activities]
#: What the hub's process imports of ours; JupyterHub's own metrics are there before.
HUB = """
import jupyterhub.app, jupyterhub.metrics
from prometheus_client import REGISTRY
def series():
    return {(sample.name, *sorted(sample.labels.items())) for family in REGISTRY.collect() for sample in family.samples}
before = series()
import aiinfn_hub.hub.wiring, aiinfn_hub.hub.spawner, aiinfn_hub.hub.authenticator
print(len(series() - before))
"""


def pods(count: int) -> Iterable[Pod]:
    for number in range(count):
        yield Pod(
            uid=f"u{number}",
            name=f"jupyter-person{number}",
            namespace="aiinfn",
            phase="Running",
            labels={
                names.KIND: "job" if number % 2 else "session",
                names.ACTIVITY: ACTIVITIES[number % len(ACTIVITIES)],
                names.FLAVOUR: FLAVOURS[number // 7 % len(FLAVOURS)],
                names.PERSON: f"person{number}",
            },
        )


def snapshot(count: int) -> Snapshot:
    hours = {(a, f, kind): 1.5 for a in ACTIVITIES for f in FLAVOURS for kind in ("session", "job")}
    return Snapshot(
        platform=PLATFORM,
        stock={},
        pods=list(pods(count)),
        jobs={},
        records={"open": count},
        weighted_hours=hours,
        liveness=Liveness(),
        queue_depth=0,
        watches={},
        unknown_since=None,
    )


def test_ten_thousand_people_are_as_many_series_as_five_hundred() -> None:
    few, many = (
        [line for line in exposition(snapshot(count)).decode().splitlines() if not line.startswith("#")]
        for count in (500, 10_000)
    )
    assert len(few) == len(many) <= 5000
    assert not [line for line in many if "person" in line]
    assert sum(float(line.split()[-1]) for line in many if line.startswith("aiinfn_pods{")) == 10_000


def test_the_hub_has_no_series_of_ours() -> None:
    """Each one would hold up the hub at each scrape, which it makes on its event loop."""
    found = subprocess.run([sys.executable, "-c", HUB], capture_output=True, text=True, check=True)
    assert int(found.stdout) <= 200


@pytest.mark.asyncio
async def test_a_text_is_made_once_for_all_who_ask_and_again_when_it_is_old() -> None:
    now, made = [0.0], []

    async def look() -> Snapshot:
        made.append(now[0])
        await asyncio.sleep(0.01)
        return snapshot(1)

    cached = Cached(look, keep_s=5.0, clock=lambda: now[0])
    texts = await asyncio.gather(*(cached.text() for _ in range(5)))
    assert (len(set(texts)), made) == (1, [0.0])
    now[0] = 4.9
    await cached.text()
    now[0] = 5.0
    await cached.text()
    assert made == [0.0, 5.0]
