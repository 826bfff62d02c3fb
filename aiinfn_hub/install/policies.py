"""Admission policies of the namespace of sessions and jobs, in force for whoever asks; and the namespace itself. Pure.

What is new is judged in full; what changes is compared with what was there, so that a pod whose image has left the
catalogue can still end, lose its finalizer and go.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.install import network
from aiinfn_hub.install.changes import job_changes, pod_changes, pod_ends
from aiinfn_hub.install.expressions import Rule, binding, policy, text, words
from aiinfn_hub.install.pod_rules import JOB_CONTROLLERS, KUEUE_PREFIX, OURS, pod_rules, variables
from aiinfn_hub.offload.manifest import GATED_BY
from aiinfn_hub.pods import names

PODS, JOBS, POD_CHANGES, POD_ENDS, JOB_CHANGES, DOORS = (
    f"aiinfn-{what}" for what in ("pods", "jobs", "pod-changes", "pod-ends", "job-changes", "doors")
)
#: Labels that a Job and its pods share: who pays, for what, and which run it is.
SHARED = (names.KIND, names.ACTIVITY, names.FLAVOUR, names.PERSON, names.RUN)


def objects(platform: Platform) -> list[dict[str, Any]]:
    """The namespace, its policies and their bindings, and the network policies."""
    policies = [
        _pods(platform),
        _jobs(platform),
        pod_changes(POD_CHANGES, platform),
        pod_ends(POD_ENDS, platform),
        job_changes(JOB_CHANGES),
        _doors(),
    ]
    return [
        *_namespaces(platform),
        *policies,
        *(binding(one["metadata"]["name"], platform.namespace) for one in policies),
        *network.objects(platform),
        # Last: Kubernetes makes it a moment after the namespace, and `kubectl apply` stumbles if both do so at once.
        _account(platform),
    ]


def _namespaces(platform: Platform) -> list[dict[str, Any]]:
    """The Pod Security Standard says much of the same as the policies; it is kept up to date by Kubernetes."""
    modes = ("enforce", "audit", "warn")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.system_namespace}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.namespace, "labels": labels}},
    ]


def _account(platform: Platform) -> dict[str, Any]:
    """The account that Kubernetes makes and every pod gets: it has no rights, and no pod gets its token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": platform.namespace},
        "automountServiceAccountToken": False,
    }


def _resources(group: str, operation: str, *resources: str) -> list[dict[str, Any]]:
    return [{"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": list(resources)}]


def _pods(platform: Platform) -> dict[str, Any]:
    controllers = f"request.userInfo.username in {list(JOB_CONTROLLERS)}"
    known = variables(platform, "object.?metadata", "object.spec", by_controller=f"({controllers})")
    return policy(PODS, _resources("", "CREATE", "pods"), known, [*pod_rules(platform), *_session_or_job()])


def _session_or_job() -> list[Rule]:
    """A session is in the interactive queue of its activity. A job's pod is in none: its Job is, and was judged.

    Kueue leaves a pod alone whose owner it manages, so that owner must be true: only the Job controller names one.
    """
    session, job = f'variables.kind == "{names.SESSION}"', f'variables.kind == "{names.JOB}"'
    queue, priority = (f'variables.labels[?{text(key)}].orValue("")' for key in (names.QUEUE, names.PRIORITY))
    expected = f'({session} ? variables.activity + "-{names.INTERACTIVE}" : "")'
    queues = {
        names.QUEUE: f"{queue} != {expected}",
        names.PRIORITY: f'{priority} != ({session} ? "{names.INTERACTIVE}" : "")',
    }
    owner = "object.metadata.?ownerReferences.orValue([])"
    theirs = f'{owner}.exists(o, o.kind == "Job" && o.name == "job-" + variables.run)'
    makers = {
        "a session with an owner": f"{session} && size({owner}) != 0",
        "a job's pod that the Job controller did not make": f"{job} && !variables.by_controller",
        "a session that the Job controller made": f"{session} && variables.by_controller",
        "a pod of another run's Job": f"{job} && !{theirs}",
    }
    return [
        Rule("wrong_queue", words(queues), "These labels are not those of the activity's queue for this kind of pod"),
        Rule("wrong_maker", words(makers), "Nobody makes this"),
    ]


def _jobs(platform: Platform) -> dict[str, Any]:
    template = "object.spec.template"
    known = variables(platform, f"{template}.?metadata", f"{template}.spec", by_controller="false")
    known |= {
        "job_labels": "object.metadata.?labels.orValue({})",
        "job_annotations": "object.metadata.?annotations.orValue({})",
    }
    return policy(JOBS, _resources("batch", "CREATE", "jobs"), known, [*pod_rules(platform), *_job()])


def _job() -> list[Rule]:
    queues = {
        names.QUEUE: f'variables.job_labels[?{text(names.QUEUE)}].orValue("") != variables.activity + "-{names.BATCH}"',
        names.PRIORITY: f'variables.job_labels[?{text(names.PRIORITY)}].orValue("") != "{names.BATCH}"',
    }
    agree = {key: f"variables.job_labels[?{text(key)}] != variables.labels[?{text(key)}]" for key in SHARED}
    makers = {
        "kind": f'variables.kind != "{names.JOB}"',
        "name": 'object.metadata.?name.orValue("") != "job-" + variables.run',
        # Kueue leaves a Job alone whose owner it manages.
        "ownerReferences": "size(object.metadata.?ownerReferences.orValue([])) != 0",
        "suspend": "!object.spec.?suspend.orValue(false)",
        "managedBy": 'object.spec.?managedBy.orValue("") != ""',
        "restartPolicy": 'variables.spec.?restartPolicy.orValue("") != "Never"',
    }
    annotations = f"k in {[*OURS, GATED_BY]} || k.startsWith('kubectl.kubernetes.io/')"
    labels = f"k.startsWith({text(KUEUE_PREFIX)}) && !(k in {[names.QUEUE, names.PRIORITY]})"
    template_labels = f"variables.labels.map(k, k.startsWith({text(KUEUE_PREFIX)}), k)"
    return [
        Rule("wrong_job_queue", words(queues), "These labels are not those of the activity's queue for jobs"),
        Rule("wrong_template", words(agree), "These labels of the Job and of its pods are not the same"),
        Rule("wrong_job", words(makers), "These are not as a job of the platform has them"),
        Rule(
            "wrong_job_annotations",
            f"variables.job_annotations.map(k, !({annotations}), k)",
            "Annotations of the Job that are not ours",
        ),
        Rule(
            "wrong_job_labels",
            f"variables.job_labels.map(k, {labels}, k) + {template_labels}",
            "Labels that only Kueue sets",
        ),
    ]


def _doors() -> dict[str, Any]:
    """Ways into a pod that was judged: another container in it, and more of the node than the queue gave."""
    rule = Rule("opened", "[request.subResource]", "Pods here stay as they were made")
    return policy(DOORS, _resources("", "UPDATE", "pods/ephemeralcontainers", "pods/resize"), {}, [rule])
