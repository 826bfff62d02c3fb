from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.offload import NOW, new_run, request

from aiinfn_hub.contract.jobs import FINAL, TRANSITIONS, JobState, ValueRef
from aiinfn_hub.errors import AiinfnError, Conflict, NotFound
from aiinfn_hub.offload import capability, frames, results, runs
from aiinfn_hub.offload.results import Report
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import Database

S = JobState


def created(database: Database, **changes: Any) -> runs.Run:
    now = changes.pop("now", NOW)
    run, _ = database.run(runs.create, new_run(**changes), now=now)
    return run


def moved(database: Database, run: runs.Run, *states: JobState, **changes: Any) -> bool:
    done = [database.run(runs.move, run.id, state, now=NOW + 1, **changes) for state in states]
    return all(done)


def test_a_new_run_is_staging(database: Database) -> None:
    run = created(database, wanted=request(name="fit", outputs=["total"]))
    assert (run.state, run.name, run.attempt, run.frames) == (S.STAGING, "fit", 1, 0)
    assert run.wanted == request(name="fit", outputs=["total"])


def test_the_same_key_and_request_are_the_same_run(database: Database) -> None:
    run, new = database.run(runs.create, new_run(), now=NOW)
    again, new_again = database.run(runs.create, new_run(), now=NOW + 9)
    assert (new, new_again) == (True, False)
    assert again == run


def test_the_same_key_with_another_request_is_a_conflict(database: Database) -> None:
    run = created(database)
    with pytest.raises(Conflict, match=f"belongs to the job fit \\({run.id}\\)"):
        created(database, wanted=request(source="other"))


def test_keys_of_two_people_have_nothing_to_do_with_each_other(database: Database) -> None:
    assert created(database).id != created(database, owner="bob", wanted=request(source="other")).id


def test_identifiers_sort_by_time_and_are_no_names() -> None:
    ids = [runs.new_id(NOW + n) for n in range(50)]
    assert ids == sorted(ids)
    assert all(len(one) == 26 and one[0].isdigit() and one.isalnum() and one.islower() for one in ids)


def test_a_name_finds_the_latest_of_its_owner(database: Database) -> None:
    created(database, idempotency_key="1")
    latest = created(database, idempotency_key="2", now=NOW + 5)
    created(database, owner="bob", idempotency_key="3", now=NOW + 9)
    assert database.run(runs.find, "alice", "fit").id == latest.id
    assert database.run(runs.find, "alice", latest.id).id == latest.id


@pytest.mark.parametrize("by", ["id", "name"])
def test_another_persons_run_does_not_exist(database: Database, by: str) -> None:
    run = created(database)
    with pytest.raises(NotFound):
        database.run(runs.find, "bob", getattr(run, by))


def test_lists_are_filtered_and_newest_first(database: Database) -> None:
    first = created(database, idempotency_key="1")
    second = created(database, idempotency_key="2", wanted=request(name="plot"), now=NOW + 1)
    third = created(database, idempotency_key="3", now=NOW + 2)
    created(database, owner="bob", idempotency_key="4")
    moved(database, third, S.QUEUED)

    def ids(**query: Any) -> list[str]:
        return [run.id for run in database.run(runs.search, "alice", **query)]

    assert ids() == [third.id, second.id, first.id]
    assert ids(name="fit") == [third.id, first.id]
    assert ids(states=[S.QUEUED]) == [third.id]
    assert ids(limit=1) == [third.id]
    assert database.run(runs.count_active, "alice") == 3


def test_what_is_over_is_not_active(database: Database) -> None:
    run = created(database)
    assert [one.id for one in database.run(runs.active)] == [run.id]
    moved(database, run, S.FAILED)
    assert database.run(runs.active) == []
    assert database.run(runs.counts) == {("lhcb-flashsim", "failed"): 1}


@pytest.mark.parametrize("before", JobState)
@pytest.mark.parametrize("after", JobState)
def test_only_legal_steps_are_taken(tmp_path: Path, before: JobState, after: JobState) -> None:
    database = fresh(tmp_path)
    run = created(database)
    with database.engine.begin() as connection:
        connection.execute(tables.run.update().values(state=before.value))
    legal = after in TRANSITIONS[before] or (after is before and before not in FINAL)
    assert database.run(runs.move, run.id, after, now=NOW, reason="because") is legal
    found = database.run(runs.get, run.id)
    assert found.state is (after if legal else before)
    database.close()


def test_a_reason_that_does_not_change_changes_nothing(database: Database) -> None:
    run = created(database)
    assert moved(database, run, S.QUEUED, reason="waits")
    assert not moved(database, run, S.QUEUED, reason="waits")
    assert moved(database, run, S.QUEUED, reason="waits for one more")


def test_an_eviction_opens_the_next_attempt_once(database: Database) -> None:
    run = created(database)
    moved(database, run, S.QUEUED, S.RUNNING, S.EVICTED)
    moved(database, run, S.EVICTED, reason="still ending")
    assert database.run(runs.get, run.id).attempt == 2


def test_an_end_gets_its_time(database: Database) -> None:
    run = created(database)
    moved(database, run, S.QUEUED, S.FAILED)
    assert database.run(runs.get, run.id).finished_at == NOW + 1


def test_a_wish_to_cancel_is_noted_once_and_not_after_the_end(database: Database) -> None:
    run = created(database)
    assert database.run(runs.ask_to_cancel, run.id, now=NOW).cancel_requested
    assert database.run(runs.ask_to_cancel, run.id, now=NOW).cancel_requested
    moved(database, run, S.FAILED)
    with pytest.raises(Conflict, match="is over: failed"):
        database.run(runs.ask_to_cancel, run.id, now=NOW)


def test_cancelling_what_was_cancelled_is_no_mistake(database: Database) -> None:
    run = created(database)
    moved(database, run, S.CANCELLED)
    assert database.run(runs.ask_to_cancel, run.id, now=NOW).state is S.CANCELLED


def test_the_view_tells_what_does_not_come_back(database: Database) -> None:
    run = created(database, wanted=request(outputs=["a", "b"]))
    moved(database, run, S.QUEUED, S.SUCCEEDED, missing={"b": "not assigned"})
    value = ValueRef("json", "0" * 64, 3)
    view = results.view(database.run(runs.get, run.id), {"a": value})
    assert view.outputs == {"a": value, "b": ValueRef("", "", 0, "not assigned")}
    assert view.final


def fresh(folder: Path) -> Database:
    """A database without the time that migrations take."""
    database = Database(f"sqlite:///{folder}/fast.sqlite")
    tables.metadata.create_all(database.engine)
    return database


class Lives(RuleBasedStateMachine):
    """A run under everything that can happen to it, in any order; beside a model of what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = fresh(Path(self.folder.name))
        self.run_id = created(self.database, wanted=request(outputs=["total"])).id
        self.secret = self.database.run(capability.give, self.run_id, now=NOW)
        self.tokens: list[str] = []
        self.sent: dict[int, int] = {}
        self.state = S.STAGING
        self.final_seen: JobState | None = None

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    def current(self) -> runs.Run:
        return self.database.run(runs.get, self.run_id)

    @rule(state=st.sampled_from(JobState))
    def the_cluster_moves_it(self, state: JobState) -> None:
        self.database.run(runs.move, self.run_id, state, now=NOW, reason="r")

    @rule()
    def a_pod_introduces_itself(self) -> None:
        open_ = self.current().state not in FINAL - {S.LOST}
        try:
            grant = self.database.run(capability.exchange, self.run_id, self.secret, f"pod-{len(self.tokens)}", now=NOW)
        except AiinfnError:
            assert not open_
            return
        assert open_
        assert grant.attempt > len(self.sent) - 1
        self.tokens.append(grant.token)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), count=st.integers(1, 4), repeat=st.booleans())
    def an_attempt_sends_frames(self, data: st.DataObject, count: int, repeat: bool) -> None:
        which = data.draw(st.integers(0, len(self.tokens) - 1))
        newest, open_ = which == len(self.tokens) - 1, self.current().state not in FINAL - {S.LOST}
        try:
            run, attempt = self.database.run(capability.authenticate, self.run_id, self.tokens[which], now=NOW)
        except AiinfnError:
            assert not (newest and open_), "the newest attempt of an open run is heard"
            return
        assert newest
        assert open_
        first = self.sent.get(which, 0) + (0 if repeat and self.sent.get(which) else 1)
        batch = [{"seq": first + n, "output_type": "stream", "text": f"{which}:{first + n}"} for n in range(count)]
        following = self.database.run(frames.append, run, attempt, batch, now=NOW)
        self.sent[which] = first + count - 1
        assert following == self.sent[which] + 1

    @precondition(lambda self: self.tokens)
    @rule(state=st.sampled_from(["succeeded", "failed"]))
    def the_newest_attempt_reports(self, state: str) -> None:
        before = self.current()
        try:
            run, _ = self.database.run(capability.authenticate, self.run_id, self.tokens[-1], now=NOW)
        except AiinfnError:
            assert before.state in FINAL - {S.LOST}
            return
        assert self.database.run(results.finish, run, Report(state, 0), now=NOW)
        cancelled = state == "failed" and before.cancel_requested and before.state is not S.LOST
        expected = S.CANCELLED if cancelled else S(state)
        assert self.current().state is expected

    @rule()
    def its_owner_cancels(self) -> None:
        over = self.current().state in FINAL - {S.CANCELLED}
        try:
            self.database.run(runs.ask_to_cancel, self.run_id, now=NOW)
        except Conflict:
            assert over

    @invariant()
    def an_end_is_for_ever(self) -> None:
        state = self.current().state
        if self.final_seen is not None:
            assert state is self.final_seen
        if state in FINAL and state is not S.LOST:
            self.final_seen = state

    @invariant()
    def frames_are_numbered_without_a_gap_and_never_twice(self) -> None:
        found = self.database.run(frames.after, self.run_id, 0, limit=10_000)
        assert [frame["seq"] for frame in found] == list(range(1, len(found) + 1))
        texts = [frame["text"] for frame in found if not frame["text"].startswith("[aiinfn")]
        assert len(texts) == len(set(texts)) == sum(self.sent.values())
        assert self.current().frames == len(found)

    @invariant()
    def only_one_attempt_is_open(self) -> None:
        open_ = sa.select(sa.func.count()).where(tables.attempt.c.ended_at.is_(None))
        assert self.database.run(lambda connection: connection.execute(open_).scalar_one()) <= 1


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
