"""What the API server does to a Job: defaults, the selector and labels that tie its pods to it, what stays fixed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from aiinfn_hub.local.api.job_rules import counting_problems, policy_problems
from aiinfn_hub.local.api.pod_defaults import default_spec
from aiinfn_hub.local.api.pod_rules import spec_problems
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

_FIXED = ("selector", "completionMode", "podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "managedBy")
#: What Kueue changes in the template of a suspended Job, to place it.
_PLACEMENT = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def default_job(job: Object) -> None:
    """Fill in what was left out; what is there stays."""
    spec = job.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    default_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def prepare_job(job: Object) -> None:
    """A new Job's status, and unless it selects by hand, a selector by its uid with the labels that match."""
    job["status"] = {}
    spec, meta = job["spec"], job["metadata"]
    if spec.get("manualSelector"):
        return
    spec.setdefault("manualSelector", False)
    template = spec["template"].setdefault("metadata", {})
    template["labels"] = (template.get("labels") or {}) | {
        "batch.kubernetes.io/controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {})["batch.kubernetes.io/controller-uid"] = meta["uid"]


def job_problems(job: Object) -> list[Problem]:
    """The mistakes in a new Job."""
    spec = job["spec"]
    problems = [
        Problem.invalid(f"spec.{name}", spec[name], "must be greater than or equal to 0")
        for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
        if spec.get(name) is not None and spec[name] < 0
    ]
    if spec["completionMode"] not in {"NonIndexed", "Indexed"}:
        problems.append(Problem.unsupported("spec.completionMode", spec["completionMode"], ("NonIndexed", "Indexed")))
    problems += [*counting_problems(spec), *policy_problems(spec)]
    pod = spec["template"]["spec"]
    problems += [Problem(f"spec.template.{p.field}", p.reason, p.message) for p in spec_problems(pod)]
    policy = pod["restartPolicy"]
    if policy == "Always":
        problems.append(Problem.unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never")))
    return problems


def job_changes(new: Object, old: Object) -> list[Problem]:
    """What an update may not change."""
    after, before = new["spec"], old["spec"]
    fixed = [*_FIXED]
    elastic = before["completionMode"] == "Indexed" and after.get("completions") == after.get("parallelism")
    if not elastic:
        fixed.append("completions")
    problems = [
        Problem.invalid(f"spec.{name}", after.get(name), "field is immutable")
        for name in fixed
        if after.get(name) != before.get(name)
    ]
    started = (old.get("status") or {}).get("startTime") is not None
    placeable = bool(before.get("suspend")) and not started
    if _template(after, placeable=placeable) != _template(before, placeable=placeable):
        problems.append(Problem.invalid("spec.template", "", "field is immutable"))
    return problems


def _template(spec: Object, *, placeable: bool) -> Object:
    """The part of a Job's template that must stay what it was."""
    template: Object = deepcopy(spec["template"])
    if placeable:
        for name in _PLACEMENT:
            template["spec"].pop(name, None)
        meta = template.get("metadata") or {}
        meta.pop("labels", None)
        meta.pop("annotations", None)
    return template
