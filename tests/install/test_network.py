"""Network policies, asked as a packet would: from whom, to whom, on which port."""

from __future__ import annotations

import ipaddress
from typing import Any

import kubernetes_validate
import pytest
from support.small_platform import small_platform
from support.values_files import service_defaults

from aiinfn_hub.install import network

PLATFORM = small_platform()
POLICIES = network.objects(PLATFORM)
Pod = tuple[str, dict[str, str]]

SESSION: Pod = ("aiinfn", {"aiinfn.infn.it/kind": "session"})
JOB: Pod = ("aiinfn", {"aiinfn.infn.it/kind": "job"})
STRANGER: Pod = ("aiinfn", {})
HUB: Pod = ("aiinfn-system", {"app": "jupyterhub", "component": "hub"})
PROXY: Pod = ("aiinfn-system", {"app": "jupyterhub", "component": "proxy"})
SERVICE: Pod = ("aiinfn-system", {"app": "aiinfn-service"})
FALSE_HUB: Pod = ("aiinfn", {"component": "hub", "aiinfn.infn.it/kind": "session"})
DNS: Pod = ("kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS: Pod = ("monitoring", {})
INGRESS: Pod = ("ingress", {})


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def matches(peer: dict[str, Any], other: Pod | str) -> bool:
    """Whether a peer of a rule is this pod, or this address."""
    if isinstance(other, str):
        block = peer.get("ipBlock")
        address = ipaddress.ip_address(other)
        return block is not None and (
            address in ipaddress.ip_network(block["cidr"])
            and not any(address in ipaddress.ip_network(one) for one in block.get("except", ()))
        )
    if "ipBlock" in peer:
        return False
    labels = {"kubernetes.io/metadata.name": other[0]}
    return selects(peer["namespaceSelector"], labels) and selects(peer.get("podSelector", {}), other[1])


def open_to(pod: Pod, direction: str, other: Pod | str, port: int, protocol: str = "TCP") -> bool:
    """Whether the policies of the pod let it: without any, everything."""
    mine = [
        one["spec"]
        for one in POLICIES
        if one["metadata"]["namespace"] == pod[0] and selects(one["spec"]["podSelector"], pod[1])
    ]
    if not mine:
        return True
    peers = {"ingress": "from", "egress": "to"}[direction]
    return any(
        (peers not in rule or any(matches(peer, other) for peer in rule[peers]))
        and ("ports" not in rule or {"port": port, "protocol": protocol} in rule["ports"])
        for spec in mine
        for rule in spec[direction]
    )


@pytest.mark.parametrize(
    ("pod", "other", "port", "expected"),
    [
        (SESSION, HUB, 8888, True),
        (SESSION, PROXY, 8888, True),
        (SESSION, PROXY, 22, False),
        (SESSION, SESSION, 8888, False),
        (SESSION, JOB, 8888, False),
        (SESSION, FALSE_HUB, 8888, False),
        (SESSION, PROMETHEUS, 8888, False),
        (SESSION, "203.0.113.7", 8888, False),
        (JOB, HUB, 8888, False),
        (JOB, SERVICE, 8002, False),
        (STRANGER, HUB, 8888, False),
        (SERVICE, PROXY, 8001, True),
        (SERVICE, HUB, 8001, True),
        (SERVICE, SESSION, 8001, True),
        (SERVICE, JOB, 8001, False),
        (SERVICE, JOB, 8002, True),
        (SERVICE, INGRESS, 8002, True),
        (SERVICE, PROMETHEUS, 8003, True),
        (SERVICE, SESSION, 8003, False),
        (SERVICE, INGRESS, 8001, False),
    ],
)
def test_who_is_let_in(pod: Pod, other: Pod | str, port: int, expected: bool) -> None:
    assert open_to(pod, "ingress", other, port) is expected


@pytest.mark.parametrize(
    ("pod", "other", "port", "expected"),
    [
        (SESSION, HUB, 8081, True),
        (SESSION, HUB, 22, False),
        (SESSION, SERVICE, 8001, True),
        (SESSION, SERVICE, 8002, False),
        (SESSION, SERVICE, 8003, False),
        (SESSION, SESSION, 8888, False),
        (SESSION, PROXY, 8001, False),
        (SESSION, "198.51.100.1", 443, True),
        (SESSION, "2001:db8::1", 443, True),
        (SESSION, "169.254.169.254", 80, False),
        (SESSION, "10.96.0.1", 443, False),
        (SESSION, "192.168.1.1", 22, False),
        (SESSION, "172.20.0.1", 443, False),
        (SESSION, "100.100.100.200", 80, False),
        (SESSION, "fd00::1", 443, False),
        (SESSION, "fe80::1", 443, False),
        (JOB, SERVICE, 8002, True),
        (JOB, SERVICE, 8001, False),
        (JOB, HUB, 8081, False),
        (JOB, SESSION, 8888, False),
        (JOB, "198.51.100.1", 443, True),
        (JOB, "169.254.169.254", 80, False),
        (STRANGER, "198.51.100.1", 443, False),
        (STRANGER, HUB, 8081, False),
        (SERVICE, HUB, 8081, True),
        (SERVICE, "10.96.0.1", 443, True),
        (SERVICE, "10.1.2.3", 5432, True),
        (SERVICE, SESSION, 8888, False),
    ],
)
def test_where_to(pod: Pod, other: Pod | str, port: int, expected: bool) -> None:
    assert open_to(pod, "egress", other, port) is expected


@pytest.mark.parametrize("pod", [SESSION, JOB, SERVICE], ids=["session", "job", "service"])
@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_names_are_resolved_by_the_clusters_own_and_nowhere_else(pod: Pod, protocol: str) -> None:
    assert open_to(pod, "egress", DNS, 53, protocol)
    assert open_to(pod, "egress", "169.254.20.10", 53, protocol)
    assert not open_to(pod, "egress", "10.0.0.53", 53, protocol)


def test_what_nothing_opens_is_closed() -> None:
    (closed,) = [one["spec"] for one in POLICIES if one["spec"]["podSelector"] == {}]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert (closed["ingress"], closed["egress"]) == ([], [])


def test_the_ports_are_those_of_the_service() -> None:
    ports = service_defaults()
    assert (
        ports["port"],
        ports["runs_port"],
        ports["metrics_port"],
    ) == (network.PORT, network.RUNS_PORT, network.METRICS_PORT)


def test_the_namespaces_are_those_of_the_platform_file() -> None:
    other = small_platform(namespace="gpu", system_namespace="gpu-hub")
    assert {one["metadata"]["namespace"] for one in network.objects(other)} == {"gpu", "gpu-hub"}
    assert "aiinfn-system" not in str(network.objects(other))


def test_the_objects_are_what_kubernetes_takes() -> None:
    for one in POLICIES:
        kubernetes_validate.validate(one, "1.36", strict=True)
