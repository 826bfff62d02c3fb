from __future__ import annotations

from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from support.offload import NOW, new_run, request

from aiinfn_hub.contract.jobs import JobState, ValueRef
from aiinfn_hub.errors import AiinfnError, Conflict, Expired, Forbidden, NotFound
from aiinfn_hub.offload import capability, frames, results, runs
from aiinfn_hub.offload.capability import CAPABILITY_S, TOKEN_SLACK_S, Grant
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import Database

S = JobState


@dataclass
class Life:
    """A queued run with its capability."""

    database: Database
    run_id: str
    secret: str

    def exchange(self, pod: str = "pod-1", secret: str = "", now: float = NOW) -> Grant:
        return self.database.run(capability.exchange, self.run_id, secret or self.secret, pod, now=now)

    def speak(self, token: str, now: float = NOW) -> int:
        return self.database.run(capability.authenticate, self.run_id, token, now=now)[1]

    def move(self, *states: JobState) -> None:
        for state in states:
            assert self.database.run(runs.move, self.run_id, state, now=NOW)

    @property
    def run(self) -> runs.Run:
        return self.database.run(runs.get, self.run_id)


def life_of(database: Database, key: str = "key") -> Life:
    run, _ = database.run(runs.create, new_run(request(time_s=600), idempotency_key=key), now=NOW)
    secret = database.run(capability.give, run.id, now=NOW)
    database.run(runs.move, run.id, S.QUEUED, now=NOW)
    return Life(database, run.id, secret)


@pytest.fixture
def life(database: Database) -> Life:
    return life_of(database)


def test_the_capability_is_traded_for_a_token_and_the_run_runs(life: Life) -> None:
    grant = life.exchange()
    assert grant.attempt == 1
    assert life.speak(grant.token) == 1
    assert life.run.state is S.RUNNING
    assert life.run.started_at == NOW


def test_only_hashes_are_stored(life: Life) -> None:
    token = life.exchange().token
    with life.database.engine.connect() as connection:
        rows = [*connection.execute(sa.select(tables.run)), *connection.execute(sa.select(tables.attempt))]
    assert life.secret not in str(rows)
    assert token not in str(rows)


def test_a_second_exchange_of_the_same_pod_is_refused(life: Life) -> None:
    life.exchange()
    with pytest.raises(Conflict, match="exchanged once"):
        life.exchange()


def test_a_token_is_no_capability_and_the_capability_no_token(life: Life) -> None:
    token = life.exchange().token
    with pytest.raises(Forbidden):
        life.exchange("pod-2", secret=token)
    with pytest.raises(Forbidden):
        life.speak(life.secret)


def test_another_runs_secrets_open_nothing(life: Life) -> None:
    other = life_of(life.database, "other")
    with pytest.raises(Forbidden):
        life.exchange(secret=other.secret)
    with pytest.raises(Forbidden):
        life.speak(other.exchange("pod-9").token)


def test_a_pod_of_another_run_that_has_its_token_gets_no_second_one(life: Life) -> None:
    life.exchange("pod-1")
    with pytest.raises(Conflict):
        life_of(life.database, "other").exchange("pod-1")


@pytest.mark.parametrize("wrong", ["", "x", "ü", "a" * 10_000])
def test_a_wrong_secret_is_refused(life: Life, wrong: str) -> None:
    with pytest.raises(Forbidden):
        life.database.run(capability.check, life.run_id, wrong, now=NOW)


def test_no_capability_opens_a_run_that_never_had_one(database: Database) -> None:
    run, _ = database.run(runs.create, new_run(), now=NOW)
    with pytest.raises(Forbidden):
        database.run(capability.check, run.id, "", now=NOW)


def test_a_run_that_does_not_exist_is_not_found(life: Life) -> None:
    with pytest.raises(NotFound):
        life.database.run(capability.check, "01nope", life.secret, now=NOW)


def test_a_new_capability_makes_the_old_one_worthless(life: Life) -> None:
    old, life.secret = life.secret, life.database.run(capability.give, life.run_id, now=NOW)
    with pytest.raises(Forbidden):
        life.exchange(secret=old)
    assert life.exchange().attempt == 1


def test_the_second_attempt_fences_the_first(life: Life) -> None:
    first = life.exchange("pod-1")
    life.move(S.EVICTED)
    assert life.speak(first.token) == 1, "the evicted one may finish its sentence"
    second = life.exchange("pod-2")
    assert second.attempt == 2 == life.run.attempt
    with pytest.raises(Conflict, match="newer attempt"):
        life.speak(first.token)
    assert life.speak(second.token) == 2


def test_a_retry_without_an_eviction_is_the_next_attempt_too(life: Life) -> None:
    life.exchange("pod-1")
    assert life.exchange("pod-2").attempt == 2
    assert life.run.attempt == 2


def test_an_eviction_before_the_first_word_counts_as_an_attempt(life: Life) -> None:
    life.move(S.STARTING, S.EVICTED)
    assert life.exchange().attempt == 2


def test_the_output_says_where_another_attempt_starts(life: Life) -> None:
    life.exchange("pod-1")
    life.exchange("pod-2")
    shown = life.database.run(frames.after, life.run_id, 0)
    assert [frame["text"] for frame in shown] == ["[aiinfn: attempt 2 starts here]\n"]


def test_another_attempt_starts_without_the_values_of_the_first(life: Life) -> None:
    life.exchange("pod-1")
    life.database.run(results.put, life.run_id, "total", ValueRef("json", "0" * 64, 1))
    life.exchange("pod-2")
    assert life.database.run(results.of_run, life.run_id) == {}


@pytest.mark.parametrize("end", [S.SUCCEEDED, S.FAILED, S.CANCELLED])
def test_after_the_end_nothing_is_taken(life: Life, end: JobState) -> None:
    token = life.exchange().token
    life.move(end)
    for attempt in (lambda: life.speak(token), lambda: life.exchange("pod-2")):
        with pytest.raises(Expired, match=f"over: {end.value}"):
            attempt()


def test_a_lost_run_may_still_deliver_the_truth(life: Life) -> None:
    token = life.exchange().token
    life.move(S.LOST)
    assert life.speak(token) == 1


def test_a_capability_ends_whatever_the_queue(life: Life) -> None:
    assert life.database.run(capability.check, life.run_id, life.secret, now=NOW + CAPABILITY_S)
    with pytest.raises(Expired, match="too old"):
        life.exchange(now=NOW + CAPABILITY_S + 1)


def test_a_token_ends_whatever_the_heartbeat(life: Life) -> None:
    token = life.exchange().token
    assert life.speak(token, NOW + 600 + TOKEN_SLACK_S) == 1
    with pytest.raises(Expired, match="too old"):
        life.speak(token, NOW + 600 + TOKEN_SLACK_S + 1)


def test_a_pod_that_speaks_while_its_run_is_still_staging_is_heard(database: Database) -> None:
    run, _ = database.run(runs.create, new_run(), now=NOW)
    secret = database.run(capability.give, run.id, now=NOW)
    database.run(capability.exchange, run.id, secret, "pod-1", now=NOW)
    assert database.run(runs.get, run.id).state is S.RUNNING


def test_the_last_word_is_remembered(life: Life) -> None:
    assert life.database.run(capability.contact, life.run_id).last_seen is None
    token = life.exchange().token
    life.speak(token, NOW + 42)
    found = life.database.run(capability.contact, life.run_id)
    assert (found.pod_uid, found.last_seen) == ("pod-1", NOW + 42)


@given(st.text(), st.text())
def test_only_the_secret_itself_is_the_same(one: str, other: str) -> None:
    try:
        stored = capability.digest(one)
        same = capability.same(other, stored)
    except (AiinfnError, UnicodeEncodeError):
        return
    assert same is (one == other)
