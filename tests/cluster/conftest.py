"""Everything here needs the real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, running_demo
from support.leftovers import clear

from aiinfn_hub.catalogue import example_path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def demo(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """The platform on the real control plane, with this machine as its nodes, where one person may queue many jobs."""
    folder = tmp_path_factory.mktemp("demo")
    platform = yaml.safe_load(example_path().read_text())
    for flavour in platform["flavours"]:
        flavour.pop("max_per_user", None)
    (folder / "platform.yaml").write_text(yaml.safe_dump(platform))
    arguments = ("--platform", str(folder / "platform.yaml"), "--kubeconfig", str(cluster.kubeconfig))
    with running_demo(folder / "home", *arguments) as running:
        yield running
    clear(cluster)
