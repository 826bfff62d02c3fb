"""Who may speak to whom: network policies, which only open what the first of them closes. Pure.

A site that needs more (a database in a private network, say) adds a policy of its own; they add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.install.service import METRICS_PORT, NAME, PORT, RUNS_PORT
from aiinfn_hub.pods import names

#: Of the hub's API, and of a session's server.
HUB_PORT, SESSION_PORT, PROMETHEUS_PORT = 8081, 8888, 9090
#: The chart of the hub labels its pods so; the proxy is where people come in.
HUB, PROXY = {"component": "hub"}, {"component": "proxy"}
MONITORING = "monitoring"
#: Private, shared and link-local addresses: the cluster's own, the site's, and where clouds keep their credentials.
NOT_INTERNET = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
NOT_INTERNET_6 = ("::1/128", "fc00::/7", "fe80::/10")
#: Where NodeLocal DNSCache listens, by its documentation.
_LOCAL_DNS = "169.254.20.10/32"

Rule = dict[str, Any]


def objects(platform: Platform) -> list[dict[str, Any]]:
    """The policies of both namespaces; those of hub and proxy are the chart's."""
    return [_closed(platform), _sessions(platform), _jobs(platform), _service(platform)]


def _closed(platform: Platform) -> dict[str, Any]:
    return _policy("aiinfn-closed", platform.namespace, {}, [], [])


def _sessions(platform: Platform) -> dict[str, Any]:
    system = platform.system_namespace
    ingress = [{"from": [_pods(system, HUB), _pods(system, PROXY)], "ports": _tcp(SESSION_PORT)}]
    egress = [
        _dns(),
        {"to": [_pods(system, HUB)], "ports": _tcp(HUB_PORT)},
        {"to": [_pods(system, {"app": NAME})], "ports": _tcp(PORT)},
        _internet(),
    ]
    return _policy("aiinfn-sessions", platform.namespace, {names.KIND: names.SESSION}, ingress, egress)


def _jobs(platform: Platform) -> dict[str, Any]:
    """Nobody calls a job, and a job does not call the hub: it speaks to the listener of runs."""
    runs = {"to": [_pods(platform.system_namespace, {"app": NAME})], "ports": _tcp(RUNS_PORT)}
    return _policy("aiinfn-jobs", platform.namespace, {names.KIND: names.JOB}, [], [_dns(), runs, _internet()])


def _service(platform: Platform) -> dict[str, Any]:
    own = platform.system_namespace
    callers = [_pods(own, HUB), _pods(own, PROXY), _pods(platform.namespace, {names.KIND: names.SESSION})]
    ingress = [
        {"from": callers, "ports": _tcp(PORT)},
        # Jobs at remote sites come through an ingress, wherever that runs; each brings its capability.
        {"ports": _tcp(RUNS_PORT)},
        {"from": [_namespace(MONITORING)], "ports": _tcp(METRICS_PORT)},
    ]
    egress = [
        _dns(),
        {"to": [_pods(own, HUB)], "ports": _tcp(HUB_PORT)},
        # What DCGM measured of a record that has ended.
        {"to": [_namespace(MONITORING)], "ports": _tcp(PROMETHEUS_PORT)},
        # The API server and the database are no pods that a policy could name.
        {"ports": _tcp(443, 6443, 5432)},
    ]
    return _policy(NAME, own, {"app": NAME}, ingress, egress)


def _policy(
    name: str, namespace: str, labels: dict[str, str], ingress: Sequence[Rule], egress: Sequence[Rule]
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "podSelector": {"matchLabels": labels} if labels else {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": list(ingress),
            "egress": list(egress),
        },
    }


def _namespace(name: str) -> Rule:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _pods(namespace: str, labels: dict[str, str]) -> Rule:
    return _namespace(namespace) | {"podSelector": {"matchLabels": labels}}


def _tcp(*ports: int) -> list[Rule]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _dns() -> Rule:
    ports = [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return {"to": [_namespace("kube-system"), {"ipBlock": {"cidr": _LOCAL_DNS}}], "ports": ports}


def _internet() -> Rule:
    blocks = (("0.0.0.0/0", NOT_INTERNET), ("::/0", NOT_INTERNET_6))
    return {"to": [{"ipBlock": {"cidr": cidr, "except": list(private)}} for cidr, private in blocks]}
