"""Attacks on the namespace of sessions and jobs, as data: what turns a good manifest into one, and how it is refused.

Pure, so that whoever has an API server can try them. A kind says what is sent:

- "session", "job", "job pod": the changed manifest is created. A job's pod is sent as the Job controller, unless `user`
  says otherwise.
- "session change", "session status", "session ephemeralcontainers", "session resize", "job change": the good object is
  there (a session with the label and the finalizer `kueue.x-k8s.io/managed` and with Kueue's gate and ours), and the
  changed one replaces it, or that subresource.
- "site pod status": the same for a pod of that Job that is bound to the node `leonardo`.
- "session delete", "site pod delete": those are deleted.

The second wall stands alone while they are tried: the Pod Security Standard, which refuses some of them before the
policies are asked, is off in the namespace, the API server lets pods be privileged, and Kueue is not running, which
would suspend a Job and look up owners.

`words` are in the message of the refusal. `user` is who sends it; "" is a cluster administrator.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

Object = dict[str, Any]
Change = Callable[[Object], None]

OURS = "aiinfn.infn.it/"
KUEUES = "kueue.x-k8s.io/"
JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
KUEUE = "system:serviceaccount:kueue-system:kueue-controller-manager"
HUB = "system:serviceaccount:aiinfn-system:aiinfn-hub"
KUBELET = "system:serviceaccount:interlink:leonardo"
ANOTHER_KUBELET = "system:serviceaccount:interlink:recas-bari"


#: The profile of flavours with the capability of the same name.
NAMESPACES = {"type": "Localhost", "localhostProfile": "aiinfn/user-namespaces.json"}


class Attack(NamedTuple):
    """One attack; see the module."""

    id: str
    kind: str
    change: Change
    words: str
    user: str = ""

    def on(self, good: Object) -> Object:
        """The manifest that is sent."""
        bad = deepcopy(good)
        self.change(bad)
        return bad


def template(obj: Object) -> Object:
    """The pod in it: itself, or the template of a Job."""
    inner: Object = obj["spec"].get("template", obj)
    return inner


def spec(**fields: Any) -> Change:
    """Other fields of the pod's spec."""
    return lambda obj: template(obj)["spec"].update(deepcopy(fields))


def container(**fields: Any) -> Change:
    """Other fields of its container."""
    return lambda obj: template(obj)["spec"]["containers"][0].update(deepcopy(fields))


def security(**fields: Any) -> Change:
    """Other fields of the container's securityContext."""
    return lambda obj: template(obj)["spec"]["containers"][0]["securityContext"].update(deepcopy(fields))


def pod_security(**fields: Any) -> Change:
    """Other fields of the pod's securityContext."""
    return lambda obj: template(obj)["spec"]["securityContext"].update(deepcopy(fields))


def meta(part: str, key: str, value: str | None) -> Change:
    """Another label or annotation of the object itself; None takes it away."""
    return lambda obj: _put(obj["metadata"].setdefault(part, {}), key, value)


def inner(part: str, key: str, value: str | None) -> Change:
    """The same of a Job's pods."""
    return lambda obj: _put(obj["spec"]["template"]["metadata"].setdefault(part, {}), key, value)


def job_spec(**fields: Any) -> Change:
    """Other fields of a Job's spec."""
    return lambda obj: obj["spec"].update(deepcopy(fields))


def volume(**source: Any) -> Change:
    """One more volume."""
    return lambda obj: template(obj)["spec"]["volumes"].append({"name": "more", **deepcopy(source)})


def toleration(**fields: Any) -> Change:
    """One more toleration."""
    return lambda obj: template(obj)["spec"].setdefault("tolerations", []).append(dict(fields))


def amounts(kind: str, key: str, value: str | None) -> Change:
    """Another amount in the requests or the limits of the container."""
    return lambda obj: _put(template(obj)["spec"]["containers"][0]["resources"][kind], key, value)


def both(*changes: Change) -> Change:
    """One change after the other."""

    def change(obj: Object) -> None:
        for one in changes:
            one(obj)

    return change


#: Of the flavour that has the capability in these tests.
CAPABLE = both(meta("labels", OURS + "flavour", "u55c"), meta("labels", OURS + "capability", "user-namespaces"))


def _put(where: Object, key: str, value: str | None) -> None:
    where.pop(key, None)
    if value is not None:
        where[key] = value


def another_container(where: str, **fields: Any) -> Change:
    """One more container, as the first one but for some fields."""

    def change(obj: Object) -> None:
        pod = template(obj)["spec"]
        one = {**deepcopy(pod["containers"][0]), "name": "second", **fields}
        for field in ("ports", "lifecycle", "startupProbe"):  # of one container only
            one.pop(field, None)
        pod.setdefault(where, []).append(one)

    return change


def elsewhere(**fields: Any) -> Change:
    """The home of somebody else: another folder of the same claim."""

    def change(obj: Object) -> None:
        for mount in template(obj)["spec"]["containers"][0]["volumeMounts"]:
            if mount["name"] == "volume-home":
                mount.pop("subPath", None)
                mount.update(fields)

    return change


def own_by(kind: str, name: str) -> Change:
    """An owner that is said to control it."""
    api = {"Job": "batch/v1", "ReplicaSet": "apps/v1"}[kind]
    reference = {"apiVersion": api, "kind": kind, "name": name, "uid": "0-0-0-0", "controller": True}
    return lambda obj: obj["metadata"].update(ownerReferences=[reference])


def opened(prefix: str) -> Change:
    """The gates whose names begin so are open."""

    def change(obj: Object) -> None:
        gates = obj["spec"].get("schedulingGates", [])
        obj["spec"]["schedulingGates"] = [gate for gate in gates if not gate["name"].startswith(prefix)]

    return change


def finalizers(*names: str) -> Change:
    """These finalizers, and no other."""
    return lambda obj: obj["metadata"].update(finalizers=list(names))


def nothing(_obj: Object) -> None:
    """The good object itself, from somebody who must not send it."""


RULES = [
    # Volumes
    ("host-path", volume(hostPath={"path": "/"}), "kind that no session and no job has: more"),
    ("nfs", volume(nfs={"server": "10.0.0.1", "path": "/"}), "kind that no session and no job has: more"),
    ("inline-csi", volume(csi={"driver": "secrets.example.org"}), "kind that no session and no job has: more"),
    ("downward-api", volume(downwardAPI={"items": []}), "kind that no session and no job has: more"),
    (
        "projected-token",
        volume(projected={"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]}),
        "kind that no session and no job has: more",
    ),
    ("unknown-claim", volume(persistentVolumeClaim={"claimName": "grades"}), "as the platform file has them: more"),
    ("home-of-another", elsewhere(subPath="user-eve"), "not this person's or this activity's"),
    ("all-homes", elsewhere(), "not this person's or this activity's"),
    ("home-by-expression", elsewhere(subPathExpr="$(WHO)"), "not this person's or this activity's"),
    ("secret-of-another", volume(secret={"secretName": "jupyter-eve-token"}), "shown by volumes: more"),
    ("iam-token-of-another", volume(secret={"secretName": "jupyter-eve-iam"}), "shown by volumes: more"),
    ("iam-token-of-another-job", volume(secret={"secretName": "job-1-iam"}), "shown by volumes: more"),
    ("configmap-of-another", volume(configMap={"name": "kube-root-ca.crt"}), "shown by volumes: more"),
    (
        "secret-in-environment",
        container(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "jupyter-eve-token", "key": "token"}}}]),
        "in the environment of containers",
    ),
    (
        "all-of-a-secret-in-environment",
        container(envFrom=[{"secretRef": {"name": "jupyter-eve-token"}}]),
        "in the environment of containers",
    ),
    # The node's own
    ("host-network", spec(hostNetwork=True), "the node's own: hostNetwork"),
    ("host-pid", spec(hostPID=True), "the node's own: hostPID"),
    ("host-ipc", spec(hostIPC=True), "the node's own: hostIPC"),
    ("host-port", container(ports=[{"containerPort": 8888, "hostPort": 8888}]), "the node's own: hostPort"),
    (
        "probe-of-the-nodes-network",
        container(livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80}}),
        "the node's own: host of a probe",
    ),
    # The restricted standard
    ("privileged", security(privileged=True, allowPrivilegeEscalation=True), "restricted Pod Security Standard"),
    ("escalation", security(allowPrivilegeEscalation=True), "restricted Pod Security Standard"),
    ("all-capabilities", security(capabilities={}), "restricted Pod Security Standard"),
    (
        "one-capability",
        security(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        "restricted Pod Security Standard",
    ),
    ("root", security(runAsUser=0), "restricted Pod Security Standard"),
    ("perhaps-root", security(runAsNonRoot=False), "restricted Pod Security Standard"),
    ("root-everywhere", pod_security(runAsUser=0), "restricted Pod Security Standard"),
    ("unconfined", security(seccompProfile={"type": "Unconfined"}), "restricted Pod Security Standard"),
    ("profile-of-the-node", security(seccompProfile=NAMESPACES), "restricted Pod Security Standard"),
    ("no-context", container(securityContext=None), "restricted Pod Security Standard"),
    ("privileged-init", another_container("initContainers", securityContext=None), "Security Standard: second"),
    ("privileged-second", another_container("containers", securityContext=None), "Security Standard: second"),
    # Whose files
    ("group-of-another", pod_security(fsGroup=20003), "POSIX group of the activity: fsGroup"),
    ("run-as-group-of-another", pod_security(runAsGroup=20003), "POSIX group of the activity: runAsGroup"),
    ("one-more-group", pod_security(supplementalGroups=[100, 20003]), "activity: supplementalGroups"),
    ("group-of-a-container", security(runAsGroup=20003), "activity: runAsGroup of a container"),
    # Rights
    ("token", spec(automountServiceAccountToken=True), "at the Kubernetes API"),
    ("links", spec(enableServiceLinks=True), "enableServiceLinks"),
    # Images
    ("image-from-elsewhere", container(image="evil.example.org/miner:1"), "image_policy: evil.example.org/miner:1"),
    ("image-by-digest", container(image=f"evil.example.org/x:1@sha256:{'ab' * 32}"), "image_policy: evil.example.org"),
    ("image-without-registry", container(image="jupyter/scipy-notebook:1"), "image_policy: jupyter/scipy"),
    ("image-without-tag", container(image="quay.io/jupyter/scipy-notebook"), "image_policy: quay.io/jupyter"),
    ("image-below-a-pattern", container(image="quay.io/jupyter/a/b:1"), "image_policy: quay.io/jupyter/a/b:1"),
    ("image-in-an-init", another_container("initContainers", image="x.example.org/y:1"), "image_policy: x.example"),
    # Places
    ("node", both(spec(nodeName="gpu-1"), spec(schedulingGates=[])), "the queue's, to choose: nodeName"),
    ("scheduler", spec(schedulerName="mine"), "the queue's, to choose: schedulerName"),
    ("control-plane", toleration(key="node-role.kubernetes.io/control-plane", operator="Exists"), "no flavour and no"),
    ("node-of-others", toleration(key="reserved", operator="Equal", value="cms-ml"), "no flavour and no site has"),
    ("every-node", toleration(operator="Exists"), "no flavour and no site has"),
    # Amounts
    ("burst", amounts("limits", "cpu", "64"), "asked for and limited alike"),
    ("no-memory", both(amounts("limits", "memory", None), amounts("requests", "memory", None)), "limited alike"),
    (
        "uncharged-card",
        both(amounts("limits", "nvidia.com/gpu", "8"), amounts("requests", "nvidia.com/gpu", "8")),
        "Devices that the flavour does not have",
    ),
]

ATTACKS: list[Attack] = [
    *(Attack(f"{kind} {name}", kind, change, words) for kind in ("session", "job") for name, change, words in RULES),
    # What a session is
    Attack("session of no kind", "session", meta("labels", OURS + "kind", None), "kind"),
    Attack("session of another kind", "session", meta("labels", OURS + "kind", "tool"), "kind"),
    Attack("session of no activity", "session", meta("labels", OURS + "activity", "nobody"), "activity"),
    Attack("session of no flavour", "session", meta("labels", OURS + "flavour", "h100"), "flavour"),
    Attack(
        "session with the capability of another flavour",
        "session",
        both(meta("labels", OURS + "capability", "user-namespaces"), security(seccompProfile=NAMESPACES)),
        "capability",
    ),
    Attack(
        "session with a capability and another profile",
        "session",
        both(CAPABLE, security(seccompProfile=NAMESPACES | {"localhostProfile": "all.json"})),
        "restricted Pod Security Standard",
    ),
    Attack("session of nobody", "session", meta("labels", OURS + "person", None), "person"),
    Attack("session in no queue", "session", meta("labels", KUEUES + "queue-name", None), "queue-name"),
    Attack("session for jobs", "session", meta("labels", KUEUES + "queue-name", "cms-ml-batch"), "queue-name"),
    Attack("session of others", "session", meta("labels", KUEUES + "queue-name", "cms-ml-interactive"), "queue-name"),
    Attack("session first of all", "session", meta("labels", KUEUES + "priority-class", "urgent"), "priority-class"),
    Attack("session in a group", "session", meta("labels", KUEUES + "pod-group-name", "x"), "only Kueue sets"),
    Attack("session of a Job", "session", own_by("Job", "job-1"), "a session with an owner"),
    Attack("session of the controller", "session", nothing, "that the Job controller made", JOB_CONTROLLER),
    # Annotations
    *(
        Attack(f"session annotated {key}", "session", meta("annotations", key, "x"), f"not ours: {key}")
        for key in (
            "slurm-job.vk.io/flags",
            "slurm-job.vk.io/pre-exec",
            "fuse.vk.io/home",
            "interlink.eu/wstunnel-client-commands",
            "example.org/anything",
            "k8s.v1.cni.cncf.io/networks",
            KUEUES + "pod-suspending-parent",
            KUEUES + "safe-to-forcefully-delete",
            OURS + "unknown",
        )
    ),
    Attack(
        "session without AppArmor",
        "session",
        meta("annotations", "container.apparmor.security.beta.kubernetes.io/notebook", "unconfined"),
        "not ours: container.apparmor",
    ),
    # What a job is
    Attack("job in no queue", "job", meta("labels", KUEUES + "queue-name", None), "queue-name"),
    Attack("job as a session", "job", meta("labels", KUEUES + "queue-name", "lhcb-flashsim-interactive"), "queue-na"),
    Attack("job of others", "job", meta("labels", KUEUES + "queue-name", "cms-ml-batch"), "queue-name"),
    Attack("job before others", "job", meta("labels", KUEUES + "priority-class", "interactive"), "priority-class"),
    Attack("job of a running start", "job", job_spec(suspend=False), "as a job of the platform has them: suspend"),
    Attack("job run by another", "job", job_spec(managedBy="example.org/mine"), "managedBy"),
    Attack("job with an owner", "job", own_by("ReplicaSet", "x"), "ownerReferences"),
    Attack("job charged to others", "job", inner("labels", OURS + "activity", "cms-ml"), "POSIX group of the act"),
    Attack(
        "job of two flavours", "job", inner("labels", OURS + "flavour", "t4"), "are not the same: aiinfn.infn.it/fl"
    ),
    Attack("job for a session", "job", inner("labels", OURS + "kind", "session"), "Secrets or ConfigMaps of others"),
    Attack("job with a queue inside", "job", inner("labels", KUEUES + "queue-name", "x"), "only Kueue sets"),
    Attack("job of a prebuilt workload", "job", meta("labels", KUEUES + "prebuilt-workload-name", "x"), "only Kueue"),
    Attack("job that stretches", "job", meta("annotations", KUEUES + "elastic-job", "true"), "of the Job that are not"),
    Attack("job with flags", "job", meta("annotations", "slurm-job.vk.io/flags", "-A x"), "of the Job that are not"),
    Attack("job with flags inside", "job", inner("annotations", "slurm-job.vk.io/flags", "-A x"), "not ours: slurm"),
    Attack("job with an account", "job", spec(serviceAccountName="builder"), "serviceAccountName"),
    Attack("job in another runtime", "job", spec(runtimeClassName="nvidia"), "to choose: runtimeClassName"),
    Attack("job of another name", "job", lambda job: job["metadata"].update(name="job-x"), "has them: name"),
    # The pods of a job
    Attack("pod of a job by the hub", "job pod", nothing, "the Job controller did not make", HUB),
    Attack("pod of a job by an operator", "job pod", nothing, "the Job controller did not make", "admin"),
    Attack("pod of another run", "job pod", own_by("Job", "job-another"), "another run's Job"),
    Attack("pod of a job with an image", "job pod", container(image="evil.example.org/x:1"), "image_policy"),
    Attack("pod of a job with a queue", "job pod", meta("labels", KUEUES + "queue-name", "cms-ml-batch"), "queue-name"),
    # What changes
    *(
        Attack(f"session change of {key}", "session change", meta("labels", key, "eve"), f"as they were said: {key}")
        for key in (
            OURS + "person",
            OURS + "activity",
            OURS + "kind",
            OURS + "flavour",
            KUEUES + "queue-name",
            KUEUES + "priority-class",
        )
    ),
    Attack("session not counted", "session change", meta("labels", KUEUES + "managed", None), "kueue.x-k8s.io/managed"),
    Attack("session status renamed", "session status", meta("labels", OURS + "person", "eve"), "as they were said"),
    Attack(
        "session status renamed by a site", "session status", meta("labels", OURS + "person", "e"), "as they", KUBELET
    ),
    Attack("session told of a place", "session change", meta("labels", KUEUES + "podset", "x"), "only Kueue changes"),
    Attack("session of another image", "session change", container(image="ghcr.io/aiinfn/x:2"), "what it was made"),
    Attack("session let in", "session change", opened(KUEUES), "to open: kueue.x-k8s.io/admission"),
    Attack("session let in by the hub", "session change", opened(KUEUES), "kueue.x-k8s.io/admission", HUB),
    Attack("session taken", "session change", opened(OURS), "to open: aiinfn.infn.it/session"),
    Attack("session sent", "session change", spec(nodeSelector={"gpu": "a100"}), "where to go; these changed: nodeSel"),
    Attack(
        "session flagged", "session change", meta("annotations", "slurm-job.vk.io/flags", "x"), "does not change: slurm"
    ),
    Attack(
        "session flagged by a site",
        "session status",
        meta("annotations", "interlink.eu/wstunnel-client-commands", "x"),
        "does not change: interlink.eu",
        KUBELET,
    ),
    Attack("session of a job at a site", "session change", meta("annotations", "JobID", "1"), "not change: JobID"),
    Attack(
        "session of another name", "session change", meta("annotations", OURS + "person-name", "eve"), "not change: ai"
    ),
    Attack("session of no name", "session change", meta("annotations", OURS + "person-name", None), "not change: aii"),
    Attack("session of another start", "session change", meta("annotations", OURS + "start", "x"), "not change: aiinf"),
    Attack(
        "session debugged",
        "session ephemeralcontainers",
        spec(ephemeralContainers=[{"name": "debug", "image": "quay.io/jupyter/scipy-notebook:python-3.12"}]),
        "stay as they were made: ephemeralcontainers",
    ),
    Attack(
        "session grown",
        "session resize",
        both(amounts("limits", "cpu", "16"), amounts("requests", "cpu", "16")),
        "stay as they were made: resize",
    ),
    Attack("session renamed by the hub", "session change", meta("labels", OURS + "person", "eve"), "were said", HUB),
    Attack("session let go", "session change", finalizers(), "that only Kueue takes off", HUB),
    Attack("session adopted", "session change", own_by("Job", "job-1"), "Only controllers change what owns it", HUB),
    Attack("session of a site's", "session status", nothing, "its own node only", KUBELET),
    Attack("session ended by a site", "session delete", nothing, "its own node only", KUBELET),
    Attack("pod of another site", "site pod status", nothing, "its own node only", ANOTHER_KUBELET),
    Attack("pod of another site ended", "site pod delete", nothing, "its own node only", ANOTHER_KUBELET),
    Attack("job adopted", "job change", own_by("ReplicaSet", "x"), "Only controllers change what owns it"),
    Attack("job started", "job change", job_spec(suspend=False), "Only Kueue changes a Job"),
    Attack("job widened", "job change", job_spec(parallelism=50), "Only Kueue changes a Job"),
    Attack("job sent", "job change", spec(nodeSelector={"gpu": "a100"}), "Only Kueue changes a Job"),
    Attack("job moved", "job change", meta("labels", KUEUES + "queue-name", "cms-ml-batch"), "as they were said"),
    Attack("job charged to others later", "job change", inner("labels", OURS + "activity", "x"), "were said", KUEUE),
    Attack("job flagged later", "job change", meta("annotations", "slurm-job.vk.io/flags", "x"), "does not change"),
    Attack("job of another name later", "job change", meta("annotations", OURS + "person-name", "e"), "not change: ai"),
]

#: Changes that must go through, in the same form; `words` say whose they are.
#: An image of the example's list, with the digest that its registry gives for the tag.
BY_DIGEST = f"quay.io/jupyter/scipy-notebook:python-3.12@sha256:{'ab' * 32}"

WORK: list[Attack] = [
    Attack("session as it is", "session", nothing, "KubeSpawner"),
    Attack("session by digest", "session", container(image=BY_DIGEST), "KubeSpawner, with what a registry said"),
    Attack(
        "session with a capability", "session", both(CAPABLE, security(seccompProfile=NAMESPACES)), "of its flavour"
    ),
    Attack("job as it is", "job", nothing, "the service"),
    Attack("job pod as it is", "job pod", nothing, "the Job controller"),
    Attack(
        "job pod where Kueue sent it",
        "job pod",
        both(
            meta("labels", KUEUES + "podset", "main"),
            meta("labels", KUEUES + "local-queue-name", "lhcb-flashsim-batch"),
            meta("labels", KUEUES + "cluster-queue-name", "batch"),
            meta("annotations", KUEUES + "workload", "job-1"),
            spec(nodeSelector={"gpu": "t4"}),
            toleration(key="pool", operator="Exists"),
        ),
        "the Job controller",
    ),
    Attack(
        "session let in by Kueue",
        "session change",
        both(
            opened(KUEUES),
            meta("labels", KUEUES + "podset", "main"),
            meta("annotations", KUEUES + "workload", "pod-1"),
            spec(nodeSelector={"gpu": "t4"}),
        ),
        "Kueue",
        KUEUE,
    ),
    Attack("session taken by the hub", "session change", opened(OURS), "the hub", HUB),
    Attack("session on a network", "session status", meta("annotations", "cni.projectcalico.org/podIP", "x"), "a node"),
    Attack("pod noted by its site", "site pod status", meta("annotations", "JobID", "7"), "its kubelet", KUBELET),
    Attack("pod ended by its site", "site pod delete", nothing, "its kubelet", KUBELET),
    Attack("session without finalizer", "session change", finalizers(), "Kueue", KUEUE),
    Attack("session ended by the hub", "session delete", nothing, "the hub", HUB),
    Attack("job without gate", "job change", meta("annotations", KUEUES + "admission-gated-by", None), "the service"),
    Attack(
        "job started by Kueue",
        "job change",
        both(
            job_spec(suspend=False),
            inner("labels", KUEUES + "podset", "main"),
            inner("annotations", KUEUES + "workload", "job-1"),
            spec(nodeSelector={"gpu": "t4"}),
            toleration(key="pool", operator="Exists"),
        ),
        "Kueue",
        KUEUE,
    ),
]
