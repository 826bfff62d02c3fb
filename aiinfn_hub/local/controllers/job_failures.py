"""What a failed pod means for its Job: podFailurePolicy. Pure; the words are the Job controller's."""

from __future__ import annotations

from aiinfn_hub.local.controllers.job_shapes import FailurePolicy, FailureRule, Job, JobPod


def has_failed(job: Job, pod: JobPod) -> bool:
    """Whether the pod counts as failed now: where only failed pods are replaced, not while it is still ending."""
    if pod.phase == "Failed":
        return True
    return pod.deleting and pod.phase != "Succeeded" and not job.replaces_failed_only


def verdict(policy: FailurePolicy | None, pod: JobPod) -> tuple[str, str]:
    """The action for a failed pod ("Count", "Ignore", "FailIndex", "FailJob") and the sentence for a FailJob."""
    for index, rule in enumerate(policy.rules if policy else ()):
        said = _matches(rule, pod)
        if said:
            return rule.action, f"{said} matching {rule.action} rule at index {index}"
    return "Count", ""


def ended_index(job: Job, pod: JobPod, action: str) -> bool:
    """Whether a failed pod was the last try of its index."""
    limit = job.spec.backoff_limit_per_index
    return limit is not None and (action == "FailIndex" or (action != "Ignore" and pod.failures >= limit))


def _matches(rule: FailureRule, pod: JobPod) -> str:
    if rule.on_exit_codes is not None:
        wanted = rule.on_exit_codes
        for ended in pod.exits:
            named = wanted.container_name in (None, "", ended.container)
            # A container that ended well never matches, also not NotIn.
            if named and ended.code != 0 and (ended.code in wanted.values) == (wanted.operator == "In"):
                return (
                    f"Container {ended.container} for pod {pod.namespace}/{pod.name} failed with exit code {ended.code}"
                )
    for pattern in rule.on_pod_conditions or ():
        if (pattern.type, pattern.status) in pod.conditions:
            return f"Pod {pod.namespace}/{pod.name} has condition {pattern.type}"
    return ""
