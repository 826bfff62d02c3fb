"""Fixtures of the real control plane. In CI it must be there; on a laptop its tests are skipped with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.controlplane.build import Unbuildable, missing
from support.controlplane.cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def controlplane() -> None:
    """The programs are built."""
    absent = missing()
    if not absent:
        return
    reason = f"{', '.join(module.name for module in absent)} not built: run `make controlplane`"
    if os.environ.get("CI"):
        raise Unbuildable(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for all tests that break nothing: `AIINFN_KUBECONFIG`, or one of our own."""
    named = os.environ.get("AIINFN_KUBECONFIG")
    if named:
        yield Cluster(Path(named))
        return
    request.getfixturevalue("controlplane")
    folder = tmp_path_factory.mktemp("cluster")
    with running_cluster(folder, audit=True) as running:
        yield running


@pytest.fixture
def own_cluster(controlplane: None, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster for one test, which may break it."""
    with running_cluster(tmp_path, audit=True) as running:
        yield running
