"""How Kueue's manager is set: the `Configuration` in its ConfigMap. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from aiinfn_hub.contract.quantities import format_duration, parse_duration
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.install.doctor.facts import KUEUE_NAMESPACE, KUEUE_SETTINGS, Facts, Object, at, labels, selects
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.install.doctor.kueue_checks import INSTALL
from aiinfn_hub.install.kueue import NAMESPACE_LABEL

FRAMEWORKS = ("batch/job", "pod")
#: Seconds. Sites make a job wait for days; nobody's image takes that long.
SHORT_S = 24 * 3600
#: What Kueue 0.19 does where its `Configuration` says nothing; v1beta1 has to turn it on, and then has less patience.
DEFAULT_TIMEOUT, OLD_TIMEOUT = "30m", "5m"
_SETTING = "managerConfig of Kueue's chart: "


def settings(facts: Facts) -> Object | None:
    """The `Configuration` of the manager; None if it is not there or no mapping."""
    for config in facts.of("settings"):
        for text in (at(config, "data") or {}).values():
            found = _parsed(text)
            if isinstance(found, dict) and found.get("kind") == "Configuration":
                return found
    return None


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def _unknown_settings(facts: Facts) -> Iterator[Seen]:
    if settings(facts) is None:
        what = "has no Configuration" if facts.of("settings") else "is not there"
        yield Seen(f"ConfigMap {KUEUE_NAMESPACE}/{KUEUE_SETTINGS}: {what}", INSTALL)


def _patience(facts: Facts) -> tuple[str, str] | None:
    """Timeout and recovery timeout as written or by default; None if Kueue does not wait for pods to be Ready."""
    found = settings(facts)
    if found is None or (found.get("featureGates") or {}).get("DisableWaitForPodsReady"):
        return None
    section = found.get("waitForPodsReady") or {}
    old = str(found.get("apiVersion", "")).endswith("/v1beta1")
    if old and not section.get("enable"):
        return None
    timeout = str(section.get("timeout") or (OLD_TIMEOUT if old else DEFAULT_TIMEOUT))
    return timeout, str(section.get("recoveryTimeout", "0s" if old else timeout))


def _seconds(text: str) -> int:
    """Of a duration of Go; 0 for none."""
    try:
        return parse_duration(text)
    except InvalidInput:
        return 0


def _said(facts: Facts, key: str, value: object) -> str:
    written = key.rpartition(".")[2] in str((settings(facts) or {}).get(key.partition(".")[0], ""))
    return f"ConfigMap {KUEUE_NAMESPACE}/{KUEUE_SETTINGS}: {key} is {value}{'' if written else ' by default'}"


def _impatient(facts: Facts) -> Iterator[Seen]:
    patience = _patience(facts)
    if patience is not None and _seconds(patience[0]) < SHORT_S:
        yield Seen(
            _said(facts, "waitForPodsReady.timeout", patience[0]),
            _SETTING + 'waitForPodsReady: {timeout: "168h", recoveryTimeout: "0s"}',
        )


def _unforgiving(facts: Facts) -> Iterator[Seen]:
    patience = _patience(facts)
    if patience is not None and _seconds(patience[1]):
        text = f"{patience[1]} ({format_duration(_seconds(patience[1]))})"
        yield Seen(
            _said(facts, "waitForPodsReady.recoveryTimeout", text),
            _SETTING + 'waitForPodsReady: {timeout: "168h", recoveryTimeout: "0s"}',
        )


def _everything(facts: Facts) -> Iterator[Seen]:
    if (settings(facts) or {}).get("manageJobsWithoutQueueName"):
        yield Seen(_said(facts, "manageJobsWithoutQueueName", "true"), _SETTING + "manageJobsWithoutQueueName: false")


def _selector(facts: Facts) -> Object | None:
    found = settings(facts)
    system = {"key": NAMESPACE_LABEL, "operator": "NotIn", "values": ["kube-system", KUEUE_NAMESPACE]}
    return None if found is None else found.get("managedJobsNamespaceSelector") or {"matchExpressions": [system]}


def _ours_only(facts: Facts) -> str:
    return f'{_SETTING}managedJobsNamespaceSelector: {{matchLabels: {{{NAMESPACE_LABEL}: "{facts.namespace}"}}}}'


def _labels_of(facts: Facts, namespace: str) -> dict[str, str]:
    found = next((labels(one) for one in facts.of("namespaces") if one["metadata"]["name"] == namespace), {})
    return {NAMESPACE_LABEL: namespace} | found


def _misses(facts: Facts) -> Iterator[Seen]:
    selector = _selector(facts)
    if selector is not None and not selects(selector, _labels_of(facts, facts.namespace)):
        said = _said(facts, "managedJobsNamespaceSelector", f"{selector}, which leaves out {facts.namespace}")
        yield Seen(said, _ours_only(facts))


def _takes_system(facts: Facts) -> Iterator[Seen]:
    selector = _selector(facts)
    system = ("kube-system", KUEUE_NAMESPACE, facts.system_namespace)
    taken = [one for one in system if selector is not None and selects(selector, _labels_of(facts, one))]
    if taken:
        said = _said(facts, "managedJobsNamespaceSelector", f"{selector}, which takes {', '.join(taken)}")
        yield Seen(said, _ours_only(facts))


def _lacks_frameworks(facts: Facts) -> Iterator[Seen]:
    found = settings(facts)
    if found is None:
        return
    given = (found.get("integrations") or {}).get("frameworks") or ["batch/job"]
    absent = [one for one in FRAMEWORKS if one not in given]
    if absent:
        said = _said(facts, "integrations.frameworks", f"{given}, without {', '.join(absent)}")
        yield Seen(said, _SETTING + "integrations: {frameworks: [batch/job, pod]}")


def _check(code: str, says: str, *reads: str, look: Any) -> Check:
    return Check(code=code, group="Settings of Kueue", says=says, reads=reads, look=look)


CHECKS = (
    _check(
        "kueue-settings-unknown",
        "Nobody knows how long Kueue lets a pod become Ready, and which namespaces it takes.",
        "settings",
        "cluster queues",
        look=_unknown_settings,
    ),
    _check(
        "pods-ready-timeout",
        "A session whose image takes longer is deleted; a job that waits at a site loses its place, again and again.",
        "settings",
        look=_impatient,
    ),
    _check(
        "pods-ready-recovery",
        "A session that runs is deleted for good when it is not Ready for a while, as on a slow disk.",
        "settings",
        look=_unforgiving,
    ),
    _check(
        "unnamed-jobs-managed",
        "Kueue suspends Jobs and gates pods that name no queue, for ever.",
        "settings",
        look=_everything,
    ),
    _check(
        "namespace-not-managed",
        "Kueue leaves sessions and jobs alone: nobody waits, and everybody fights for the same GPUs.",
        "settings",
        "namespaces",
        look=_misses,
    ),
    _check(
        "system-namespaces-managed",
        "Kueue takes pods of the system or of the hub: a hub that restarts may wait in a queue.",
        "settings",
        "namespaces",
        look=_takes_system,
    ),
    _check(
        "integrations-missing",
        "Kueue does not know this kind of work: sessions start past the queue, or jobs wait for ever.",
        "settings",
        look=_lacks_frameworks,
    ),
)
