"""What Kueue says of pods is joined to them, in whichever order both are seen."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from aiinfn_hub.accounting.admissions import Admissions
from aiinfn_hub.accounting.sighting import Sighting
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.pods import names

NOW = 5000.0


class Heard:
    """Admissions, and what they noted as (pod, kind, time)."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, float]] = []
        self.admissions = Admissions(self._note, lambda: NOW)

    def _note(self, sighting: Sighting) -> None:
        assert (sighting.source, sighting.facts) == ("kueue", {})
        self.said.append((sighting.pod_uid, sighting.kind, sighting.observed_at))

    def pod(self, uid: str, event: str = "ADDED", **fields: Any) -> None:
        labels = {names.KIND: "session" if not fields.get("owner_uid") else "job"}
        plain = {"name": uid, "namespace": "aiinfn", "labels": labels, "created": 100.0}
        self.admissions.on_pod(event, Pod(uid=uid, **plain | fields))

    def workload(self, owner: str, event: str = "MODIFIED", **fields: Any) -> None:
        plain = {"uid": f"w-{owner}", "name": "w", "namespace": "aiinfn", "owner_uid": owner}
        self.admissions.on_workload(event, Workload(**plain | fields))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_session_is_told_once_in_any_order(heard: Heard, order: tuple[int, ...]) -> None:
    steps = [lambda: heard.pod("p"), lambda: heard.workload("p", admitted=101.0), lambda: heard.pod("p", "MODIFIED")]
    for number in order:
        steps[number]()
    heard.workload("p", admitted=101.0, released=200.0)
    heard.workload("p", admitted=101.0, released=200.0)
    assert heard.said == [("p", "began", 101.0), ("p", "ended", 200.0)]


def test_each_attempt_of_a_job_has_its_own_words(heard: Heard) -> None:
    heard.workload("job", admitted=90.0)
    heard.pod("first", owner_uid="job", created=91.0)
    heard.workload("job", released=200.0)  # evicted: not admitted any more
    heard.workload("job", admitted=300.0)
    heard.pod("second", owner_uid="job", created=301.0)
    heard.pod("first", "DELETED", owner_uid="job", created=91.0)
    heard.workload("job", admitted=300.0, released=400.0)
    assert heard.said == [
        ("first", "began", 90.0),
        ("first", "ended", 200.0),
        ("second", "began", 300.0),
        ("second", "ended", 400.0),
    ]


def test_what_kueue_says_last_comes_after_the_pod_is_gone(heard: Heard) -> None:
    """It evicts, waits until the pods are gone, and then has its place back."""
    heard.pod("first", owner_uid="job", created=91.0)
    heard.workload("job", admitted=90.0)
    heard.pod("first", "DELETED", owner_uid="job", created=91.0)
    heard.workload("job", released=205.0)
    heard.workload("job", admitted=300.0)
    assert heard.said == [("first", "began", 90.0), ("first", "ended", 205.0)]


def test_a_pod_that_is_gone_is_not_let_in_again(heard: Heard) -> None:
    """The Job made another one in its place, and Kueue was not asked."""
    heard.pod("failed", owner_uid="job", created=91.0)
    heard.pod("failed", "DELETED", owner_uid="job", created=91.0)
    heard.workload("job", admitted=90.0)
    heard.pod("retry", owner_uid="job", created=95.0)
    assert heard.said == [("retry", "began", 90.0)]


def test_a_service_that_starts_late_does_not_take_an_eviction_for_the_end_of_its_successor(heard: Heard) -> None:
    heard.workload("job", released=200.0)
    heard.pod("second", owner_uid="job", created=301.0)
    assert heard.said == []


def test_a_workload_that_vanishes_gives_its_place_back(heard: Heard) -> None:
    heard.pod("p")
    heard.workload("p", admitted=101.0)
    heard.workload("p", "DELETED", admitted=101.0)
    assert heard.said == [("p", "began", 101.0), ("p", "ended", NOW)]


def test_what_is_none_of_ours_or_was_never_let_in_says_nothing(heard: Heard) -> None:
    heard.pod("other", labels={})
    heard.workload("other", admitted=101.0)
    heard.pod("p")
    heard.workload("p")
    heard.workload("p", "DELETED")
    heard.pod("p", "DELETED")
    heard.workload("p", admitted=200.0)
    assert heard.said == []


def test_nothing_is_kept_of_what_is_gone(heard: Heard) -> None:
    for number in range(3):
        heard.pod(f"p{number}", owner_uid="job")
        heard.workload("job", admitted=101.0)
        heard.pod(f"p{number}", "DELETED", owner_uid="job")
    heard.workload("job", "DELETED", admitted=101.0)
    heard.pod("alone")
    heard.pod("alone", "DELETED")
    heard.pod("never seen", "DELETED")
    heard.pod("s")
    heard.workload("s", admitted=101.0)
    heard.workload("s", "DELETED", admitted=101.0)
    heard.pod("s", "DELETED")
    kept = {name: value for name, value in vars(heard.admissions).items() if name not in ("_note", "_clock")}
    assert not any(kept.values()), kept
