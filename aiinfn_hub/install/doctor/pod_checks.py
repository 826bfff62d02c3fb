"""What runs or waits, and what the namespace does to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.install.doctor.facts import Facts, Named, Object, at, named
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.install.doctor.node_checks import virtual_nodes
from aiinfn_hub.kube.amounts import amount
from aiinfn_hub.kube.moments import unix
from aiinfn_hub.offload.manifest import GATED_BY
from aiinfn_hub.pods import names

#: Seconds. A session that waits is looked after by the service; what is older is forgotten.
OLD_SESSION_S, OLD_JOB_S = 24 * 3600, 3600
#: Kubernetes' own PriorityClasses begin so.
_SYSTEM = "system-"
#: What a ResourceQuota can count that Kueue counts as well.
_COUNTED = ("cpu", "memory", "requests.", "limits.", "pods", "count/pods", "count/jobs.batch")


def _default_priority(facts: Facts) -> Iterator[Seen]:
    for one in facts.of("priority classes"):
        if one.get("globalDefault"):
            who = named("PriorityClass", one)
            yield Seen(
                f"{who}: globalDefault is true (value {one.get('value')})",
                who.kubectl("patch", "--type merge", "--patch '{\"globalDefault\": false}'"),
            )


def _preempting(facts: Facts) -> Iterator[Seen]:
    for one in facts.of("priority classes"):
        policy = one.get("preemptionPolicy") or "PreemptLowerPriority"
        ours = not one["metadata"]["name"].startswith(_SYSTEM)
        if ours and int(one.get("value", 0)) > 0 and policy != "Never":
            who = named("PriorityClass", one)
            yield Seen(
                f"{who}: value is {one['value']}, preemptionPolicy is {policy}",
                f"{who.kubectl('get', '--output yaml')}   # make it again with preemptionPolicy: Never",
            )


def _tokens(facts: Facts) -> Iterator[Seen]:
    nodes = {node["metadata"]["name"] for node in virtual_nodes(facts)}
    for pod in facts.of("pods"):
        if at(pod, "spec", "nodeName") not in nodes:
            continue
        for index, volume in enumerate(at(pod, "spec", "volumes") or ()):
            if any("serviceAccountToken" in source for source in at(volume, "projected", "sources") or ()):
                who = named("Pod", pod)
                yield Seen(
                    f"{who}: spec.volumes[{index}].projected has serviceAccountToken, on {pod['spec']['nodeName']}",
                    f"{who.kubectl('delete')}   # and automountServiceAccountToken: false in what makes it",
                )


def _limits(facts: Facts) -> Iterator[Seen]:
    for limits in facts.of("limit ranges"):
        who = named("LimitRange", limits)
        for index, item in enumerate(at(limits, "spec", "limits") or ()):
            if item.get("type") not in ("Container", "Pod"):
                continue
            for words in (*_uneven(item), *_too_small(facts, item)):
                yield Seen(f"{who}: spec.limits[{index}].{words}", who.kubectl("delete"))


def _uneven(item: Object) -> Iterator[str]:
    """Defaults that make the requests of a container that says nothing differ from its limits."""
    default, request = item.get("default") or {}, item.get("defaultRequest") or {}
    for resource in sorted(default.keys() | request.keys()):
        one, other = default.get(resource), request.get(resource)
        if one is None or other is None or amount(resource, one) != amount(resource, other):
            yield f"default[{resource}] is {one or 'absent'}, defaultRequest[{resource}] is {other or 'absent'}"


def _too_small(facts: Facts, item: Object) -> Iterator[str]:
    """Bounds that a choice of the platform file is beyond."""
    flavours = facts.platform.flavours if facts.platform else ()
    for resource in ("cpu", "memory"):
        choices = sorted(choice for flavour in flavours for choice in getattr(flavour, resource).choices)
        for bound, sign, extreme in (("max", 1, choices[-1:]), ("min", -1, choices[:1])):
            limit = (item.get(bound) or {}).get(resource)
            if extreme and limit is not None and sign * extreme[0] > sign * amount(resource, limit):
                yield f"{bound}[{resource}] is {limit}, which a choice of {facts.file} is beyond"


def _quotas(facts: Facts) -> Iterator[Seen]:
    for quota in facts.of("resource quotas"):
        hard = at(quota, "spec", "hard") or {}
        counted = [f"{resource}={hard[resource]}" for resource in sorted(hard) if resource.startswith(_COUNTED)]
        if counted:
            who = named("ResourceQuota", quota)
            yield Seen(f"{who}: spec.hard is {', '.join(counted)}", who.kubectl("delete"))


def _age(facts: Facts, obj: Object) -> float:
    return facts.now - unix(obj["metadata"]["creationTimestamp"])


def _forgotten_sessions(facts: Facts) -> Iterator[Seen]:
    for pod in facts.of("pods"):
        gates = [gate["name"] for gate in at(pod, "spec", "schedulingGates") or ()]
        if pod["metadata"].get("namespace") != facts.namespace or names.GATE not in gates:
            continue
        if _age(facts, pod) > OLD_SESSION_S:
            who = named("Pod", pod)
            holds = "it waits for its turn" if len(gates) > 1 else "it holds quota that nobody uses"
            since = format_duration(_age(facts, pod))
            yield Seen(f"{who}: spec.schedulingGates has {names.GATE} for {since}; {holds}", who.kubectl("delete"))


def _forgotten_jobs(facts: Facts) -> Iterator[Seen]:
    for job in facts.of("jobs"):
        gated = GATED_BY in (at(job, "metadata", "annotations") or {})
        if gated and _age(facts, job) > OLD_JOB_S:
            who = Named("Job", job["metadata"]["name"], facts.namespace)
            since = format_duration(_age(facts, job))
            yield Seen(f"{who}: metadata.annotations has {GATED_BY} for {since}", who.kubectl("delete"))


def _check(code: str, says: str, *reads: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Sessions and jobs", says=says, reads=reads, look=look, **more)


CHECKS = (
    _check(
        "priority-default",
        "Every session and every job is refused: the policies let nobody have a priority, and this gives one to all.",
        "priority classes",
        look=_default_priority,
    ),
    _check(
        "priority-preempts",
        "Pods of this class throw sessions and jobs, which have priority 0, off their nodes, past the queue.",
        "priority classes",
        look=_preempting,
        level="note",
    ),
    _check(
        "token-at-site",
        "interLink sends the pod's token to the site, for 100 years: whoever reads it there is that account.",
        "nodes",
        "pods",
        look=_tokens,
    ),
    _check(
        "limits-uneven",
        "Pods get requests that are not their limits, or are refused: what is shown as free is not what people get.",
        "limit ranges",
        look=_limits,
    ),
    _check(
        "quota-twice",
        "What Kueue has admitted may be refused by the namespace's quota: the job holds its GPUs and has no pod.",
        "resource quotas",
        look=_quotas,
    ),
    _check(
        "session-forgotten",
        "A session that nobody starts is held since yesterday; once admitted, its GPU is nobody's.",
        "pods",
        look=_forgotten_sessions,
    ),
    _check(
        "job-forgotten",
        "The job will not start: its inputs never arrived, and whoever sent it still waits.",
        "jobs",
        look=_forgotten_jobs,
    ),
)
