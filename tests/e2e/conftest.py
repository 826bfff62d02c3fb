"""The journeys are walked on the real control plane first, and then on the embedded platform.

One demo for all tests of a file, and never two on one cluster: their nodes have the same names.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, running_demo
from support.leftovers import clear

from aiinfn_hub.catalogue import example_path

PLACES = [pytest.param("real", marks=pytest.mark.cluster), "embedded"]


@pytest.fixture(scope="module", params=PLACES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A running demo with fixed passwords, whose platform file is `platform.yaml` beside its home."""
    arguments, cluster = place(request)
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(example_path(), folder / "platform.yaml")
    with running_demo(folder / "home", "--platform", str(folder / "platform.yaml"), *arguments) as running:
        yield running
    if cluster is not None:
        clear(cluster)


@pytest.fixture(params=PLACES)
def arguments(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What a test says to `aiinfn demo` for the place where it runs; what it leaves on a cluster goes at the end."""
    found, cluster = place(request)
    yield found
    if cluster is not None:
        clear(cluster)


def place(request: pytest.FixtureRequest) -> tuple[list[str], Cluster | None]:
    if request.param == "embedded":
        return [], None
    cluster: Cluster = request.getfixturevalue("cluster")
    return ["--kubeconfig", str(cluster.kubeconfig)], cluster
