"""A way to Kubernetes for spawners, which read its configuration once per process; and a whole hub for their pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes_asyncio.config import kube_config
from kubespawner.clients import load_config
from support.plainsite import Site, plain_site

NOWHERE = """
apiVersion: v1
kind: Config
current-context: x
clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: x, user: {}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
"""


@pytest.fixture
def fresh_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The file that KubeSpawner will read; it leads nowhere until a test writes another one."""
    path = tmp_path / "kubeconfig"
    path.write_text(NOWHERE)
    # The variable KUBECONFIG is read when the module is imported.
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    load_config.cache_clear()
    yield path
    load_config.cache_clear()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One real JupyterHub for all tests of our pages."""
    with plain_site(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(scope="session")
def busy_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Another one, where sessions go through a queue with one slice."""
    with plain_site(tmp_path_factory.mktemp("busy"), slices=1) as running:
        yield running
