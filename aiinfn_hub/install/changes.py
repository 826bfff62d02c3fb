"""What may change of a pod or a Job that is there, and by whom: a comparison with what it was. Pure.

Subresources are judged too, because labels and annotations can be changed through `status`, which is what a virtual
kubelet may write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.install.expressions import Rule, policy, table, text, texts, words
from aiinfn_hub.install.pod_rules import KUEUE_PREFIX
from aiinfn_hub.install.rbac import hub_user, kubelet_nodes, kubelet_users
from aiinfn_hub.offload.manifest import GATED_BY
from aiinfn_hub.pods import names

#: As the chart of Kueue installs it into its default namespace.
KUEUE = "system:serviceaccount:kueue-system:kueue-controller-manager"
#: Controllers of Kubernetes: they adopt and let go what an object owns.
CONTROLLERS = "^system:(serviceaccount:kube-system:|kube-controller-manager$)"
#: Said once: who it is, who pays, how urgent it is, and that Kueue counts it.
FIXED = (
    names.KIND,
    names.ACTIVITY,
    names.FLAVOUR,
    names.PERSON,
    names.RUN,
    names.QUEUE,
    names.PRIORITY,
    KUEUE_PREFIX + "managed",
)
#: interLink's virtual kubelet notes the job's number at the site, and the address of its tunnel.
KUBELETS_NOTES = ("JobID", "interlink.eu/pod-ip")
#: Annotations that plug-ins of sites obey, and that say who it is. Others come from the node's network and do no harm.
GUARDED = "|".join(
    (
        f"^{names.PREFIX}",
        f"^{KUEUE_PREFIX}",
        "^JobID$",
        r"^([a-z0-9.-]+\.)?(vk\.io|knoc\.io|virtual-kubelet\.io|interlink|interlink\.eu|interlink\.io)/",
    )
)


def pod_changes(name: str, platform: Platform) -> dict[str, Any]:
    """The policy for changes of pods."""
    known = _variables() | {
        "hub": f"request.userInfo.username == {text(hub_user(platform))}",
        "kubelet": f"request.userInfo.username in {texts(kubelet_users(platform))}",
    }
    allowed = (
        f"(variables.kueue && k.startsWith({text(KUEUE_PREFIX)}))"
        f" || (variables.kubelet && k in {texts(KUBELETS_NOTES)})"
    )
    rules = [*_labels(), _annotations(allowed), *_holders(), _images(), *_directives(), _elsewhere(platform, "object")]
    return policy(name, _resources("", "UPDATE", "pods", "pods/status"), known, rules)


def pod_ends(name: str, platform: Platform) -> dict[str, Any]:
    """The policy for deletions of pods."""
    return policy(name, _resources("", "DELETE", "pods"), {}, [_elsewhere(platform, "oldObject")])


def job_changes(name: str) -> dict[str, Any]:
    """The policy for changes of Jobs. Kueue starts and stops them, and tells their pods where to go; nobody else."""
    allowed = (
        f"(variables.kueue && k.startsWith({text(KUEUE_PREFIX)})) || (k == {text(GATED_BY)} && !(k in variables.after))"
    )
    now, then = (f"{one}.spec.template.?metadata.?labels" for one in ("object", "oldObject"))
    template = {key: f"{now}[?{text(key)}] != {then}[?{text(key)}]" for key in FIXED}
    rules = [
        *_labels(),
        _annotations(allowed),
        *_holders(),
        Rule("relabelled", words(template), "Labels of the pods that stay as they were said"),
        Rule(
            "altered",
            words({"spec": "!variables.kueue && object.spec != oldObject.spec"}),
            "Only Kueue changes a Job",
        ),
    ]
    return policy(name, _resources("batch", "UPDATE", "jobs", "jobs/status"), _variables(), rules)


def _resources(group: str, operation: str, *resources: str) -> Sequence[dict[str, Any]]:
    return [{"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": list(resources)}]


def _variables() -> dict[str, str]:
    return {
        "kueue": f"request.userInfo.username == {text(KUEUE)}",
        "labels": "object.metadata.?labels.orValue({})",
        "labels_before": "oldObject.metadata.?labels.orValue({})",
        "after": "object.metadata.?annotations.orValue({})",
        "before": "oldObject.metadata.?annotations.orValue({})",
    }


def _labels() -> list[Rule]:
    fixed = f"{texts(FIXED)}.filter(k, variables.labels[?k] != variables.labels_before[?k])"
    moved = (
        f"!variables.kueue && k.startsWith({text(KUEUE_PREFIX)}) && variables.labels[?k] != variables.labels_before[?k]"
    )
    kueues = (
        f"variables.labels.map(k, {moved}, k) + variables.labels_before.map(k, {moved} && !(k in variables.labels), k)"
    )
    return [
        Rule("renamed", fixed, "Labels that stay as they were said"),
        Rule("moved", kueues, "Labels that only Kueue changes"),
    ]


def _annotations(allowed: str) -> Rule:
    changed = f"k.matches({text(GUARDED)}) && variables.after[?k] != variables.before[?k] && !({allowed})"
    gone = f"{changed} && !(k in variables.after)"
    wrong = f"variables.after.map(k, {changed}, k) + variables.before.map(k, {gone}, k)"
    return Rule("noted", wrong, "Annotations that this account does not change")


def _holders() -> list[Rule]:
    """What keeps Kueue's count true: its finalizer until the pod is over, and no owner that it would count instead."""
    over = 'has(object.metadata.deletionTimestamp) || object.?status.?phase.orValue("") in ["Succeeded", "Failed"]'
    held = "object.metadata.?finalizers.orValue([])"
    released = (
        "oldObject.metadata.?finalizers.orValue([]).filter(f,"
        f" f.startsWith({text(KUEUE_PREFIX)}) && !(f in {held}) && !variables.kueue && !({over}))"
    )
    owners = "object.metadata.?ownerReferences != oldObject.metadata.?ownerReferences"
    others = f"!request.userInfo.username.matches({text(CONTROLLERS)})"
    return [
        Rule("released", released, "Finalizers that only Kueue takes off before the end"),
        Rule("adopted", words({"ownerReferences": f"{others} && {owners}"}), "Only controllers change what owns it"),
    ]


def _elsewhere(platform: Platform, pod: str) -> Rule:
    """A virtual kubelet speaks for the pods of its node: an address it gave to another's would draw people there."""
    nodes = table(dict(zip(kubelet_users(platform), kubelet_nodes(platform), strict=True)))
    node = f'{pod}.spec.?nodeName.orValue("")'
    wrong = f"({nodes}[?request.userInfo.username].orValue({node}) != {node} ? [{pod}.metadata.name] : [])"
    return Rule("elsewhere", wrong, "This account speaks for the pods of its own node only")


def _images() -> Rule:
    now, then = (
        f"({one}.spec.containers + {one}.spec.?initContainers.orValue([])).map(c, c.image)"
        for one in ("object", "oldObject")
    )
    return Rule("exchanged", words({"image": f"{now} != {then}"}), "A pod runs what it was made with; this changed")


def _directives() -> list[Rule]:
    """Where a gated pod may go, and what holds it."""
    placed = {
        field: f"!variables.kueue && object.spec.?{field} != oldObject.spec.?{field}"
        for field in ("nodeSelector", "affinity", "tolerations")
    }
    gates = "object.spec.?schedulingGates.orValue([])"
    opened = (
        "oldObject.spec.?schedulingGates.orValue([]).map(g,"
        f" !{gates}.exists(o, o.name == g.name) && !(variables.kueue && g.name.startsWith({text(KUEUE_PREFIX)}))"
        f" && !(variables.hub && g.name == {text(names.GATE)}), g.name)"
    )
    return [
        Rule("placed", words(placed), "Only Kueue tells a pod where to go; these changed"),
        Rule("opened", opened, "Gates that are not this account's to open"),
    ]
