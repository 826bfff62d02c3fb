"""Everything here needs the real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, running_demo
from support.leftovers import clear


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def demo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """The platform on the real control plane, with this machine as its nodes."""
    home = tmp_path_factory.mktemp("demo") / "home"
    with running_demo(home, "--kubeconfig", str(cluster.kubeconfig)) as running:
        yield running
    clear(cluster)
