"""What a pod of a session or a job may be, as rules over the variables of `variables`. Pure.

The manifest builders decide the same; this is the second wall, which also holds for whoever got hold of an account of
ours. Wherever a rule compares with the catalogue, its lists are constants of the policy: render it again when the
platform file changes. Pods that run are not judged again.
"""

from __future__ import annotations

from aiinfn_hub.catalogue.models import Platform, Toleration
from aiinfn_hub.install.expressions import FULL_REFERENCE, Rule, image_pattern, table, text, texts, words
from aiinfn_hub.install.storage_rules import folders, maker, storage_rules
from aiinfn_hub.pods import names
from aiinfn_hub.pods.iam_token import SUFFIX
from aiinfn_hub.pods.names import slug
from aiinfn_hub.pods.placement import RESERVED, place
from aiinfn_hub.pods.security import IMAGE_GID, USER_NAMESPACES, USER_NAMESPACES_PROFILE

#: Who makes the pods of Jobs: with an account for every controller, as kubeadm has it, or with one for all.
JOB_CONTROLLERS = ("system:serviceaccount:kube-system:job-controller", "system:kube-controller-manager")
KUEUE_PREFIX = "kueue.x-k8s.io/"
#: Annotations that our code writes.
OURS = (
    names.PERSON_NAME,
    names.SERVER,
    names.ACTIVITY_REASON,
    names.LIFETIME,
    names.PREFIX + "start",
    names.CHOICE,
)
#: What KubeSpawner, the Job controller and kubectl write. No prefix of Kubernetes as a whole: the switches of AppArmor
#: and of the autoscaler are under it.
THEIRS = ("hub.jupyter.org/", "batch.kubernetes.io/", "kubectl.kubernetes.io/")
#: What Kueue's webhook writes on a pod before it is stored.
KUEUE_ON_PODS = (KUEUE_PREFIX + "role-hash",)

#: Tolerations that Kubernetes and the chart of the hub add to every pod.
DEFAULT_TOLERATIONS = (
    Toleration(key="node.kubernetes.io/not-ready", effect="NoExecute"),
    Toleration(key="node.kubernetes.io/unreachable", effect="NoExecute"),
    Toleration(key="node.kubernetes.io/memory-pressure", effect="NoSchedule"),
    Toleration(key="hub.jupyter.org/dedicated", operator="Equal", value="user", effect="NoSchedule"),
    Toleration(key="hub.jupyter.org_dedicated", operator="Equal", value="user", effect="NoSchedule"),
)
_PLAIN_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def variables(platform: Platform, meta: str, spec: str, *, by_controller: str) -> dict[str, str]:
    """What the rules speak of.

    Args:
        platform: the catalogue.
        meta: CEL for the pod's metadata, as an optional value.
        spec: CEL for its spec.
        by_controller: CEL for whether the Job controller makes it, from a Job that was judged.
    """
    gids = table({activity.name: activity.gid for activity in platform.activities})
    shares = table({activity.name: slug(activity.name) for activity in platform.activities})
    resources = table({flavour.name: flavour.resource for flavour in platform.flavours})
    return {
        "own_token": f'{meta}.?name.orValue("") + "-token"',
        "own_iam_token": f'{meta}.?name.orValue("") + "{SUFFIX}"',
        "labels": f"{meta}.?labels.orValue({{}})",
        "annotations": f"{meta}.?annotations.orValue({{}})",
        "spec": spec,
        "containers": "variables.spec.containers + variables.spec.?initContainers.orValue([])",
        "volumes": "variables.spec.?volumes.orValue([])",
        "context": "variables.spec.?securityContext.orValue({})",
        "kind": _label(names.KIND),
        "activity": _label(names.ACTIVITY),
        "person": _label(names.PERSON),
        "run": _label(names.RUN),
        "capability": _label(names.CAPABILITY),
        "gid": f"{gids}[?variables.activity].orValue(0)",
        "share": f'{shares}[?variables.activity].orValue("")',
        "device": f'{resources}[?{_label(names.FLAVOUR)}].orValue("")',
        "by_controller": by_controller,
        "folders": folders(platform),
    }


def pod_rules(platform: Platform) -> list[Rule]:
    """Every rule that holds for a pod and for the template of a Job."""
    return [
        *_identity(platform),
        *_isolation(),
        *storage_rules(platform),
        *_images(platform),
        _tolerations(platform),
        *_placement(),
        *_metadata(),
    ]


def _label(key: str) -> str:
    return f'variables.labels[?{text(key)}].orValue("")'


def _containers(good: str) -> str:
    """CEL for the names of the containers `c` that are not as they should be."""
    return f"variables.containers.map(c, !({good}), c.name)"


def _identity(platform: Platform) -> list[Rule]:
    activities, flavours = [a.name for a in platform.activities], [f.name for f in platform.flavours]
    labels = {
        names.KIND: f"!(variables.kind in {texts([names.SESSION, names.JOB])})",
        names.ACTIVITY: f"!(variables.activity in {texts(activities)})",
        names.FLAVOUR: f"!({_label(names.FLAVOUR)} in {texts(flavours)})",
        names.PERSON: 'variables.person == ""',
        names.RUN: f'variables.kind == "{names.JOB}" && variables.run == ""',
        names.CAPABILITY: f'variables.capability != "" && !({_capable(platform)})',
    }
    groups = {
        "runAsGroup": "variables.context.?runAsGroup.orValue(0) != variables.gid",
        "fsGroup": "variables.context.?fsGroup.orValue(0) != variables.gid",
        "supplementalGroups": f"!variables.context.?supplementalGroups.orValue([]).all(g, g == {IMAGE_GID})",
        "runAsGroup of a container": "variables.containers.exists(c,"
        " c.?securityContext.?runAsGroup.orValue(variables.gid) != variables.gid)",
    }
    return [
        *_users(platform),
        Rule("wrong_labels", words(labels), "These labels are missing, or name what the platform file does not have"),
        Rule("wrong_groups", words(groups), "These must be the POSIX group of the activity"),
    ]


def _capable(platform: Platform) -> str:
    """CEL for whether the capability that the label names is the flavour's."""
    able = texts(flavour.name for flavour in platform.flavours if USER_NAMESPACES in flavour.capabilities)
    return f"variables.capability == {text(USER_NAMESPACES)} && {_label(names.FLAVOUR)} in {able}"


def _users(platform: Platform) -> list[Rule]:
    """A POSIX user that is a person's; only the folder of a share is made by another."""
    if platform.posix is None:
        return []
    posix = platform.posix
    uid = "variables.context.?runAsUser.orValue(0)"
    share = maker(platform, "activity") or "false"
    keeper = f"({share}) && c.?securityContext.?runAsUser.orValue(0) == {posix.keeper_uid}"
    own = f"c.?securityContext.?runAsUser.orValue({uid}) != {uid} && !({keeper})"
    wrong = {
        "runAsUser": f"!({uid} >= {posix.first_uid} && {uid} <= {posix.last_uid})",
        "runAsUser of a container": f"variables.containers.exists(c, {own})",
    }
    return [Rule("wrong_users", words(wrong), "These must be the POSIX user of the person")]


def _isolation() -> list[Rule]:
    token = {
        "automountServiceAccountToken": "variables.spec.?automountServiceAccountToken.orValue(true)",
        "serviceAccountName": '!(variables.spec.?serviceAccountName.orValue("") in ["", "default"])',
    }
    links = {"enableServiceLinks": "variables.spec.?enableServiceLinks.orValue(true)"}
    return [
        Rule("uses_host", _host(), "Nobody uses the node's own"),
        Rule("unrestricted", _unrestricted(), "These containers do not meet the restricted Pod Security Standard"),
        Rule("has_token", words(token), "A pod acts for nobody at the Kubernetes API; these are not as they must be"),
        Rule("has_links", words(links), "Addresses of services do not go into the environment; this must be false"),
    ]


def _host() -> str:
    host = {word: f"variables.spec.?{word}.orValue(false)" for word in ("hostNetwork", "hostPID", "hostIPC")}
    ports = "c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) != 0)"
    # The kubelet asks for these, past every network policy.
    asked = "[c.?livenessProbe, c.?readinessProbe, c.?startupProbe, c.?lifecycle.?postStart, c.?lifecycle.?preStop]"
    probes = f"{asked}.exists(h, h.?httpGet.?host.hasValue() || h.?tcpSocket.?host.hasValue())"
    return (
        f'{words(host)} + variables.containers.map(c, {ports}, "hostPort of " + c.name)'
        f' + variables.containers.map(c, {probes}, "host of a probe of " + c.name)'
    )


def _unrestricted() -> str:
    """What the Pod Security Standard has as restricted, and no profile of seccomp but the runtime's and a capability's.

    That the label of the capability is the flavour's own is a rule of the labels.
    """
    own, profile = "c.?securityContext", 'variables.context.?seccompProfile.?type.orValue("")'
    seccomp = f"{own}.?seccompProfile.?type.orValue({profile})"
    wider = (
        f'variables.capability == {text(USER_NAMESPACES)} && {seccomp} == "Localhost"'
        f' && {own}.?seccompProfile.?localhostProfile.orValue("") == {text(USER_NAMESPACES_PROFILE)}'
    )
    good = (
        f"!{own}.?privileged.orValue(false)",
        f"!{own}.?allowPrivilegeEscalation.orValue(true)",
        f'{own}.?capabilities.?drop.orValue([]).exists(d, d == "ALL")',
        f"size({own}.?capabilities.?add.orValue([])) == 0",
        f"{own}.?runAsNonRoot.orValue(variables.context.?runAsNonRoot.orValue(false))",
        f"{own}.?runAsUser.orValue(variables.context.?runAsUser.orValue(0)) != 0",
        f'({seccomp} == "RuntimeDefault" || ({wider}))',
        f'{own}.?procMount.orValue("Default") == "Default"',
    )
    return _containers(" && ".join(good))


def _images(platform: Platform) -> list[Rule]:
    listed = texts(image.ref for image in platform.images)
    pattern = text(image_pattern(platform.image_policy))
    # With the digest that its registry gave for the tag, it is the same entry of the list.
    dated = f'(c.image.matches("@sha256:[0-9a-f]{{64}}$") && c.image.split("@")[0] in {listed})'
    named = f"c.image in {listed} || {dated} || (c.image.matches({text(FULL_REFERENCE)}) && c.image.matches({pattern}))"
    good = " || ".join(filter(None, [maker(platform), named]))
    return [
        Rule(
            "wrong_images",
            f"variables.containers.map(c, !({good}), c.image)",
            "Images that are not in the platform file's list, nor allowed by its image_policy",
        )
    ]


def _tolerations(platform: Platform) -> Rule:
    """Kueue adds those of its flavors to the template of a Job that was judged, and to nothing else."""
    wanted = [*DEFAULT_TOLERATIONS, place(), *(place(site) for site in platform.sites)]
    wanted += [one for flavour in platform.flavours for one in flavour.tolerations]
    wanted += [one for site in platform.sites for one in site.tolerations]
    allowed = texts(f"{one.key}|{one.operator}|{one.value}|{one.effect}" for one in wanted)
    shown = " + '|' + ".join(
        f'x.?{field}.orValue("{default}")'
        for field, default in (("key", ""), ("operator", "Equal"), ("value", ""), ("effect", ""))
    )
    own = f'"{RESERVED}|Equal|" + variables.activity + "|"'
    return Rule(
        "wrong_tolerations",
        f"variables.spec.?tolerations.orValue([]).map(x,"
        f" !variables.by_controller && !({shown} in {allowed} || {shown} == {own}), {shown})",
        "Tolerations that no flavour and no site has (key|operator|value|effect)",
    )


def _placement() -> list[Rule]:
    priority = {
        "priorityClassName": 'variables.spec.?priorityClassName.orValue("") != ""',
        "priority": "variables.spec.?priority.orValue(0) != 0",
    }
    chosen = {
        "nodeName": 'variables.spec.?nodeName.orValue("") != ""',
        "schedulerName": 'variables.spec.?schedulerName.orValue("default-scheduler") != "default-scheduler"',
        "runtimeClassName": 'variables.spec.?runtimeClassName.orValue("") != ""',
        "resourceClaims": "size(variables.spec.?resourceClaims.orValue([])) != 0",
    }
    same = " && ".join(
        f'c.?resources.?limits[?"{what}"].hasValue()'
        f' && c.?resources.?limits[?"{what}"] == c.?resources.?requests[?"{what}"]'
        for what in ("cpu", "memory")
    )
    devices = f"c.?resources.?limits.orValue({{}}).all(k, k in {texts(_PLAIN_RESOURCES)} || k == variables.device)"
    return [
        Rule("wrong_priority", words(priority), "Who goes first is the queue's to say; these must not be set"),
        Rule("chooses_node", words(chosen), "These are the scheduler's, or the queue's, to choose"),
        Rule("wrong_amounts", _containers(same), "CPU and memory must be asked for and limited alike in containers"),
        Rule(
            "wrong_devices", _containers(devices), "Devices that the flavour does not have are asked for by containers"
        ),
    ]


def _metadata() -> list[Rule]:
    prefixes = " || ".join(f"k.startsWith({text(prefix)})" for prefix in THEIRS)
    queue_labels = texts((names.QUEUE, names.PRIORITY, KUEUE_PREFIX + "managed"))
    kueues = f"(variables.by_controller && k.startsWith({text(KUEUE_PREFIX)}))"
    known = f"k in {texts((*OURS, *KUEUE_ON_PODS))} || {prefixes} || {kueues}"
    return [
        # Plug-ins of sites run what some annotations say as commands on the site's hosts.
        Rule("wrong_annotations", f"variables.annotations.map(k, !({known}), k)", "Annotations that are not ours"),
        Rule(
            "wrong_queue_labels",
            f"variables.labels.map(k, k.startsWith({text(KUEUE_PREFIX)}) && !(k in {queue_labels} || {kueues}), k)",
            "Labels that only Kueue sets",
        ),
    ]
