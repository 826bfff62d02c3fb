"""Which pods of a Job have ended, and how that is counted exactly once. Pure.

A pod is counted once, whatever dies in between: it carries a finalizer; its uid is first written to
`status.uncountedTerminatedPods`, then the finalizer is taken away, and only then does it move into the sums.
"""

from __future__ import annotations

from aiinfn_hub.local.controllers.indexes import format_indexes, parse_indexes
from aiinfn_hub.local.controllers.job_failures import ended_index, has_failed, verdict
from aiinfn_hub.local.controllers.job_shapes import JobPod, Uncounted
from aiinfn_hub.local.controllers.job_step import Step


def count(todo: Step) -> None:
    """Move pods along: ended -> uncounted -> (finalizer gone) -> sums."""
    status, job = todo.status, todo.job
    known = {pod.uid: pod for pod in todo.pods}
    tracked = {pod.uid for pod in todo.pods if pod.tracked}
    before = todo.uncounted
    done = parse_indexes(status.completed_indexes)
    released = [uid for uid in before.succeeded if uid not in tracked]
    status.succeeded += len(released)
    status.failed += sum(uid not in tracked for uid in before.failed)
    after = Uncounted(
        [uid for uid in before.succeeded if uid in tracked], [uid for uid in before.failed if uid in tracked]
    )
    for pod in todo.pods:
        if not pod.tracked or pod.uid in after.succeeded or pod.uid in after.failed:
            continue
        if pod.phase == "Succeeded":
            fresh = not job.indexed or (pod.index is not None and pod.index not in done)
            if fresh:
                after.succeeded.append(pod.uid)
                done |= {pod.index} if job.indexed and pod.index is not None else set()
            else:
                todo.plan.release.append(pod)
        elif has_failed(job, pod):
            _count_failure(todo, pod, after)
    if job.indexed:
        status.completed_indexes = format_indexes(done)
    if job.spec.backoff_limit_per_index is not None:
        status.failed_indexes = format_indexes(todo.failed_indexes - done)
    status.uncounted_terminated_pods = after
    todo.plan.release += [known[uid] for uid in (*after.succeeded, *after.failed)]


def _count_failure(todo: Step, pod: JobPod, after: Uncounted) -> None:
    action, message = verdict(todo.job.spec.pod_failure_policy, pod)
    failing = todo.status.condition("FailureTarget")  # what a failing Job ends gives up no index
    if pod.index is not None and not failing and ended_index(todo.job, pod, action):
        todo.failed_indexes |= {pod.index}
    if action == "Ignore":
        todo.plan.release.append(pod)
        return
    after.failed.append(pod.uid)
    todo.new_failures += 1
    if action == "FailJob":
        todo.policy_failure = todo.policy_failure or message
