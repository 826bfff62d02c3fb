"""How long a session may last, and whether anybody uses it: tables, and reports at random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_platform import ACTIVITIES, small_platform

from aiinfn_hub.catalogue import Idle, Platform
from aiinfn_hub.contract.life import SessionUse
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names
from aiinfn_hub.sessions import lifetime
from aiinfn_hub.sessions.lifetime import FRESH_S, STEP_S, Idleness, Life, Use

H = 3600.0
NOTICE = 900.0
RULE = Idle(after_s=3600)


def site(extension: str | None = "6h") -> Platform:
    first, *others = ACTIVITIES
    return small_platform(activities=[first | {"max_extension": extension}, *others])


def pod(lifetime_s: str = "28800", flavour: str = "t4", activity: str = "lhcb", scheduled: float | None = 100.0) -> Pod:
    annotations = {names.PERSON_NAME: "ada", names.SERVER: ""} | ({names.LIFETIME: lifetime_s} if lifetime_s else {})
    labels = {names.KIND: "session", names.FLAVOUR: flavour, names.ACTIVITY: activity}
    return Pod(uid="u1", name="p", namespace="x", labels=labels, annotations=annotations, scheduled=scheduled)


@pytest.mark.parametrize(
    ("extension", "extended_s", "given_s", "extend_s"),
    [
        pytest.param("6h", 0.0, pod(), STEP_S, id="at most one step at once"),
        pytest.param("6h", 8 * H, pod(), 2 * H, id="what is left of 12 h and 6 h"),
        pytest.param("6h", 10 * H, pod(), 0.0, id="nothing is left"),
        pytest.param(None, 0.0, pod(), STEP_S, id="without an allowance up to the longest of the flavour"),
        pytest.param(None, 0.0, pod("43200"), 0.0, id="and no further"),
        pytest.param("6h", 0.0, pod(flavour="gone"), 0.0, id="a flavour that is gone gives none"),
        pytest.param("6h", 0.0, pod(activity="gone"), 0.0, id="nor an activity"),
    ],
)
def test_how_far_it_may_be_extended(extension: str | None, extended_s: float, given_s: Pod, extend_s: float) -> None:
    found = lifetime.life(site(extension), given_s, extended_s)
    assert found is not None
    assert found.ends == 100 + float(given_s.annotations[names.LIFETIME]) + extended_s
    assert found.extend_s == extend_s


@pytest.mark.parametrize("lifetime_s", ["", "-5", "1e9", "²"])
def test_without_a_time_there_is_no_end(lifetime_s: str) -> None:
    assert lifetime.life(site(), pod(lifetime_s), 0.0) is None


def test_what_has_no_node_yet_does_not_get_older() -> None:
    assert lifetime.life(site(), pod(scheduled=None), 0.0) is None


LONG = Life(site().flavour("t4"), 0.0, 8 * H, 0.0, 12 * H)
FULL = Life(site().flavour("t4"), 0.0, 8 * H, 4 * H, 12 * H)


@pytest.mark.parametrize(
    ("known", "idle", "now", "kind", "due"),
    [
        pytest.param(LONG, Idleness(), 7 * H, None, None, id="there is time"),
        pytest.param(LONG, Idleness(), 8 * H - NOTICE, "lifetime", 8 * H, id="notice in time"),
        pytest.param(LONG, Idleness(), 9 * H, "lifetime", 8 * H, id="and when the service was away"),
        pytest.param(FULL, Idleness(), 12 * H - 1, "longest", 12 * H, id="it may not be extended"),
        pytest.param(FULL, Idleness(), 10 * H, None, None, id="an extension counts"),
        pytest.param(LONG, Idleness(since=H), 2 * H - 1, None, None, id="not idle for long enough"),
        pytest.param(LONG, Idleness(since=H), 2 * H, "idle", None, id="idle"),
        pytest.param(None, Idleness(since=H), 2 * H, "idle", None, id="idle, without an end"),
        pytest.param(LONG, Idleness(since=H), 8 * H, "lifetime", 8 * H, id="both: its end is what counts"),
        pytest.param(LONG, Idleness(unknown="x"), 5 * H, None, None, id="nobody knows"),
    ],
)
def test_why_it_is_to_end(known: Life | None, idle: Idleness, now: float, kind: str | None, due: float | None) -> None:
    found = lifetime.lapse(known, idle, RULE, now=now, notice_s=NOTICE)
    assert (found.kind if found else None) == kind
    assert (found.due if found else None) == due


def test_without_a_rule_nothing_is_idle() -> None:
    assert lifetime.lapse(LONG, Idleness(since=0.0), None, now=7 * H, notice_s=NOTICE) is None


def test_what_the_person_reads() -> None:
    ends = lifetime.lapse(LONG, Idleness(), RULE, now=8 * H, notice_s=NOTICE)
    assert ends is not None
    assert ends.sentence == "You asked for 8 h."
    assert ends.next_step.startswith("Extend it if you need it;")
    full = lifetime.lapse(FULL, Idleness(), RULE, now=12 * H, notice_s=NOTICE)
    assert full is not None
    assert full.sentence == "You asked for 8 h, and extended it by 4 h. NVIDIA T4 may not last longer."
    bare = lifetime.lapse(LONG, Idleness(since=0.0), RULE, now=2 * H, notice_s=NOTICE)
    assert bare is not None
    assert "accelerator" not in bare.sentence, "nobody looked at it"
    idle = lifetime.lapse(LONG, Idleness(since=0.0, device=True), RULE, now=2 * H, notice_s=NOTICE)
    assert idle is not None
    assert idle.sentence == (
        "For 1 h no kernel and no terminal did anything, everything together used less than 100m cores, and the "
        "accelerator was idle."
    )


NOW = 10 * H
QUIET = Use(NOW, NOW - 2 * H, NOW - 2 * H)


@pytest.mark.parametrize(
    ("use", "device", "since", "unknown"),
    [
        pytest.param(QUIET, True, NOW - 2 * H, "", id="nothing happens"),
        pytest.param(QUIET, False, None, "", id="the accelerator works"),
        pytest.param(QUIET, None, None, "accelerator", id="nobody knows what the accelerator does"),
        pytest.param(None, True, None, "does not say", id="it has never said anything"),
        pytest.param(Use(NOW - FRESH_S - 1, 0.0, 0.0), True, None, "does not say", id="its reports are lost"),
        pytest.param(Use(NOW, 0.0, None), True, None, "processor", id="the processor is not measured"),
        pytest.param(Use(NOW, NOW - 2 * H, NOW - H / 2), True, NOW - H / 2, "", id="the processor worked later"),
        pytest.param(Use(NOW, NOW - 600, NOW - 2 * H), None, NOW - 600, "", id="nobody asks Prometheus so soon"),
        pytest.param(Use(NOW, NOW, NOW - 2 * H), True, None, "", id="it is used now"),
    ],
)
def test_whether_anybody_uses_it(use: Use | None, device: bool | None, since: float | None, unknown: str) -> None:
    found = lifetime.idleness(RULE, use, device=True, device_quiet=device, now=NOW)
    assert found.since == since
    assert unknown in found.unknown
    assert bool(found.unknown) is bool(unknown)


def test_a_cell_that_runs_for_long_is_use() -> None:
    use = lifetime.heard(None, SessionUse(busy=1, quiet_s=9999.0, cpu_cores=0.0), RULE, NOW)
    assert use.quiet_since == NOW


def test_a_service_that_starts_anew_takes_the_first_word_for_the_processor_as_its_begin() -> None:
    """Kernels say since when they are quiet; what the processor did before nobody told this service."""
    use = lifetime.heard(None, SessionUse(busy=0, quiet_s=7200.0, cpu_cores=0.0), RULE, NOW)
    assert use == Use(NOW, NOW - 7200, NOW)


reports = st.lists(
    st.tuples(
        st.floats(1, 300),
        st.booleans(),
        st.floats(-10, 10_000, allow_nan=False),
        st.none() | st.floats(0, 4, allow_nan=False),
    ),
    min_size=1,
    max_size=60,
)


@given(reports)
def test_it_is_never_called_idle_within_the_time_of_its_rule_after_any_use(
    said: list[tuple[float, bool, float, float | None]],
) -> None:
    use, now, used_at = None, 0.0, 0.0
    for after, busy, quiet_s, cores in said:
        now += after
        use = lifetime.heard(use, SessionUse(int(busy), quiet_s, cores), RULE, now)
        if busy or (cores is not None and cores >= 0.1):
            used_at = now
        idle = lifetime.idleness(RULE, use, device=False, device_quiet=None, now=now)
        assert idle.since is None or idle.since >= used_at
        assert cores is not None or idle.since is None
        found = lifetime.lapse(None, idle, RULE, now=now, notice_s=NOTICE)
        assert found is None or now - used_at >= RULE.after_s
