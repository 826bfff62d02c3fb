"""The benchmarks of scale and starts at a size at which they are quick: the figures come out, and are sane."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import scale, starts
from bench.crowd import Size
from bench.figures import Figure

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("controlplane")]


def by_name(figures: list[Figure]) -> dict[str, float]:
    return {figure.name.strip(): figure.value for figure in figures}


def test_a_small_crowd_gives_every_figure_of_scale(tmp_path: Path) -> None:
    size = Size(nodes=20, pods=200, workloads=50)
    found = by_name(scale.measure(tmp_path, size, requests=10, churn_s=3))
    assert len(found) >= 35
    assert all(value >= 0 for value in found.values()), found
    assert found["a pod in the cache, by tracemalloc"] <= 2, "KiB; it does not depend on the machine"
    assert found["a pod's JSON"] > found["a pod in the cache, by tracemalloc"]
    assert found["scrape: size"] <= 3072
    assert found["first start, empty ledger: memory"] > 50
    assert found["offer: knows of a new pod after"] < 10, "the offer follows the cluster"


def test_some_starts_of_both_spawners_can_be_compared(tmp_path: Path) -> None:
    found = by_name(starts.measure(tmp_path, starts=10, at_once=5))
    for queue, calls in (("without a queue", 2), ("through the queue", 3)):
        assert found[f"{queue}: starts"] > 0
        assert found[f"{queue}: CPU of a start"] > 0
        assert found[f"{queue}: calls of a start"] >= calls, "the pod, its Secret, in a queue its gate"
