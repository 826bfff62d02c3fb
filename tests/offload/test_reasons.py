from __future__ import annotations

import pytest
from support.offload import pod, workload

from aiinfn_hub.kube.slim import Workload
from aiinfn_hub.offload.reasons import eviction_reason, queue_reason, refusal_reason, start_reason

COULD_NOT = "couldn't assign flavors to pod set main: "


@pytest.mark.parametrize(
    ("reason", "message", "sentence", "never"),
    [
        # The words of kueue-verified.md, with the gate for granular reasons off and on.
        pytest.param("Inadmissible", "LocalQueue nolq doesn't exist", "queue is not set up", True, id="no LocalQueue"),
        pytest.param(
            "Misconfigured", "LocalQueue nolq doesn't exist", "queue is not set up", True, id="the same, granular"
        ),
        pytest.param(
            "Inadmissible", "ClusterQueue nosuchcq doesn't exist", "queue is not set up", True, id="no ClusterQueue"
        ),
        pytest.param("Inadmissible", "ClusterQueue gone is inactive", "on hold", False, id="an inactive ClusterQueue"),
        pytest.param("Suspended", "ClusterQueue gone is inactive", "on hold", False, id="the same, granular"),
        pytest.param(
            "Pending",
            "workload namespace doesn't match ClusterQueue selector",
            "queue is not set up",
            True,
            id="the namespace is not selected",
        ),
        pytest.param(
            "Pending",
            COULD_NOT + "resource nvidia.com/mig-1g.10gb unavailable in ClusterQueue",
            "does not offer nvidia.com/mig-1g.10gb",
            True,
            id="an uncovered resource",
        ),
        pytest.param(
            "Pending",
            COULD_NOT
            + "insufficient quota for nvidia.com/gpu in flavor a100, previously considered podsets requests (0) "
            "+ current podset request (9) > maximum capacity (3)",
            "more nvidia.com/gpu than its queue can ever give",
            True,
            id="above the maximum",
        ),
        pytest.param(
            "ExceedsMaxQuota",
            COULD_NOT + "insufficient quota for cpu in flavor x, ...",
            "more cpu than",
            True,
            id="the same, granular",
        ),
        pytest.param(
            "Pending",
            COULD_NOT + "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed",
            "waits for nvidia.com/gpu: 1 more",
            False,
            id="waiting",
        ),
        pytest.param(
            "WaitingForQuota",
            COULD_NOT + "insufficient unused quota for memory in flavor x, 2147483648 more needed",
            "waits for memory: 2Gi more",
            False,
            id="waiting for memory",
        ),
        pytest.param(
            "WaitingForQuota", "whatever a later version says", "waits for quota", False, id="the word alone is enough"
        ),
        pytest.param(
            "Pending",
            COULD_NOT + "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed. "
            "Pending the preemption of 1 workload(s)",
            "making room",
            False,
            id="reclaiming",
        ),
        pytest.param(
            "Pending",
            COULD_NOT + "flavor t4 doesn't match node affinity, insufficient unused quota for nvidia.com/gpu in flavor "
            "a100, 1 more needed, untolerated taint {aiinfn.infn.it/site leonardo NoSchedule <nil>} in flavor "
            "site.leonardo.a100",
            "waits for nvidia.com/gpu: 1 more",
            False,
            id="waiting, beside models and places that are not asked for",
        ),
        pytest.param(
            "Pending",
            COULD_NOT + "flavor t4 doesn't match node affinity, insufficient unused quota for nvidia.com/gpu in flavor "
            "a100, 1 more needed. Pending the preemption of 1 workload(s)",
            "making room",
            False,
            id="reclaiming, beside a model that is not asked for",
        ),
        pytest.param(
            "NoMatchingFlavor",
            COULD_NOT + "flavor a100 doesn't match node affinity",
            "hardware",
            True,
            id="no such hardware",
        ),
        pytest.param(
            "AdmissionGated", "Admission is gated by: aiinfn.infn.it/inputs", "inputs", False, id="gated by us"
        ),
        pytest.param(
            "Pending",
            "Workload no longer fits after processing another workload",
            "waits for its turn",
            False,
            id="overtaken",
        ),
        pytest.param("SomethingNew", "of a later version", "waits for its turn", False, id="an unknown word"),
    ],
)
def test_kueues_words_become_a_sentence(reason: str, message: str, sentence: str, *, never: bool) -> None:
    found = queue_reason(workload(QuotaReserved=("False", reason, message)))
    assert sentence in found.sentence
    assert found.never is never
    assert found.next_step or not never


def test_a_workload_without_a_condition_is_a_waiting_one() -> None:
    assert "turn" in queue_reason(workload()).sentence


def test_no_workload_is_told_apart() -> None:
    assert "Kueue has not looked" in queue_reason(None).sentence


def test_a_reserved_place_is_told() -> None:
    assert "about to start" in queue_reason(workload(QuotaReserved=("True", "QuotaReserved", ""))).sentence


def test_one_that_was_put_aside_is_told() -> None:
    aside = Workload(uid="w", name="w", namespace="n", active=False)
    assert "put it aside" in queue_reason(aside).sentence


@pytest.mark.parametrize(
    ("evicted", "preempted", "words"),
    [
        ("Preempted", "InCohortReclamation", "interactive session"),
        ("Preempted", "InClusterQueue", "higher priority"),
        ("Preempted", "NewReason", "something with more right"),
        ("PodsReadyTimeout", "", "did not start in time"),
        ("ClusterQueueStopped", "", "operators stopped"),
        ("NewReason", "", "suspended"),
    ],
)
def test_an_eviction_names_a_class_and_nobody(evicted: str, preempted: str, words: str) -> None:
    conditions = {"Evicted": ("True", evicted, "by job-uid of bob")}
    if preempted:
        conditions["Preempted"] = ("True", preempted, "by job-uid of bob")
    found = eviction_reason(workload(**conditions))
    assert words in found
    assert "bob" not in found


def test_a_start_says_on_which_node() -> None:
    assert "node-1" in start_reason(pod("Pending")).sentence


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            'Internal error occurred: failed calling webhook "mjob.kb.io": failed to call webhook: connection refused',
            "Kueue does not answer, and nothing can be queued without it; it is tried again.",
        ),
        (
            'Internal error occurred: failed calling webhook "policy.example.org": no endpoints available',
            'The cluster does not answer; it is tried again. Internal error occurred: failed calling webhook "policy.',
        ),
        ("POST /jobs: timeout", "The cluster does not answer; it is tried again. POST /jobs: timeout"),
    ],
)
def test_who_does_not_answer_is_named(message: str, sentence: str) -> None:
    assert refusal_reason(message).startswith(sentence)
