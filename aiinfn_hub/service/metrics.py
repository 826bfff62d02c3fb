"""`/metrics` of the service: aggregates by activity, flavour, kind and state. No person's name is ever a label.

Names follow Prometheus' conventions; `aiinfn_gpu_resource_weight` exists because PromQL cannot turn "2g" into 2/7.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from aiinfn_hub import __version__
from aiinfn_hub.accounting.observer import Liveness
from aiinfn_hub.capacity.inventory import FINISHED, Stock
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names

#: Seconds that the text of a scrape is used again; Prometheus asks every 15 to 60 s.
KEEP_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What one scrape tells."""

    platform: Platform
    stock: Mapping[str, Stock]
    pods: Iterable[Pod]
    jobs: Mapping[tuple[str, str], int]
    records: Mapping[str, int]
    weighted_hours: Mapping[tuple[str, str, str], float]
    liveness: Liveness
    queue_depth: int
    watches: Mapping[str, tuple[float, int]]
    unknown_since: float | None


class _Once(Collector):
    """Metrics that were made for this scrape."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class Cached:
    """The text of a scrape, used again for some seconds: two Prometheus servers and a curious person cost one.

    Args:
        snapshot: what a scrape tells.
        keep_s: for so many seconds.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        snapshot: Callable[[], Awaitable[Snapshot]],
        *,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshot = snapshot
        self._keep_s = keep_s
        self._clock = clock
        self._text = b""
        self._made = float("-inf")
        self._turn = asyncio.Lock()

    async def text(self) -> bytes:
        """The exposition."""
        async with self._turn:
            if self._clock() - self._made >= self._keep_s:
                self._text = exposition(await self._snapshot())
                self._made = self._clock()
            return self._text


def exposition(snapshot: Snapshot) -> bytes:
    """The text of the scrape."""
    registry = CollectorRegistry()
    registry.register(_Once([*_capacity(snapshot), *_work(snapshot), *_ledger(snapshot)]))
    return generate_latest(registry)


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _capacity(snapshot: Snapshot) -> list[Metric]:
    build = InfoMetricFamily("aiinfn_build", "The version of the service", value={"version": __version__})
    known = snapshot.unknown_since is None
    units = {
        (name, state): float(amount)
        for name, stock in snapshot.stock.items()
        for state, amount in (("total", stock.total), ("free", stock.free))
        if known
    }
    weights = {
        (
            flavour.resource.replace(".", "_").replace("/", "_").replace("-", "_"),
            flavour.model,
            flavour.name,
        ): flavour.weight
        for flavour in snapshot.platform.flavours
        if flavour.accelerator
    }
    return [
        build,
        _gauge("aiinfn_flavour_units", "Units of a flavour; absent while unknown", ("flavour", "state"), units),
        _gauge(
            "aiinfn_gpu_resource_weight",
            "What one unit counts in whole accelerators of reference",
            ("resource", "model", "flavour"),
            weights,
        ),
    ]


def _work(snapshot: Snapshot) -> list[Metric]:
    pods: Counter[tuple[str, ...]] = Counter(
        (
            pod.labels.get(names.KIND, ""),
            pod.labels.get(names.ACTIVITY, ""),
            pod.labels.get(names.FLAVOUR, ""),
            "running" if pod.phase == "Running" else "waiting",
        )
        for pod in snapshot.pods
        if pod.phase not in FINISHED and names.KIND in pod.labels
    )
    # A gauge: late evidence can take hours away, and a counter that falls counts everything again for `increase`.
    hours = _gauge(
        "aiinfn_weighted_gpu_hours",
        "Weighted GPU-hours held, by the ledger",
        ("activity", "flavour", "kind"),
        snapshot.weighted_hours,
    )
    labels = ("kind", "activity", "flavour", "state")
    return [
        _gauge(
            "aiinfn_pods",
            "Sessions and jobs that hold or wait for something",
            labels,
            pods,
        ),
        _gauge("aiinfn_jobs", "Offloaded jobs", ("activity", "state"), snapshot.jobs),
        hours,
    ]


def _ledger(snapshot: Snapshot) -> list[Metric]:
    liveness = snapshot.liveness
    inferred = CounterMetricFamily("aiinfn_ledger_records_inferred", "Records whose end was inferred since the start")
    inferred.add_metric([], liveness.inferred)
    observations = CounterMetricFamily("aiinfn_ledger_observations", "Observations written since the start")
    observations.add_metric([], liveness.observations)
    restarts = CounterMetricFamily("aiinfn_watch_restarts", "Watches that had to be started again", labels=("kind",))
    for kind, (_, count) in snapshot.watches.items():
        restarts.add_metric([kind], count)
    return [
        _gauge(
            "aiinfn_ledger_records",
            "Records by state",
            ("state",),
            {(k,): float(v) for k, v in snapshot.records.items()},
        ),
        _gauge(
            "aiinfn_ledger_queue_depth", "Observations that wait to be written", (), {(): float(snapshot.queue_depth)}
        ),
        _gauge("aiinfn_ledger_last_write_timestamp_seconds", "The ledger's last write", (), {(): liveness.last_write}),
        _gauge(
            "aiinfn_watch_last_sync_timestamp_seconds",
            "The last list or event of a watch",
            ("kind",),
            {(kind,): at for kind, (at, _) in snapshot.watches.items()},
        ),
        inferred,
        observations,
        restarts,
    ]
