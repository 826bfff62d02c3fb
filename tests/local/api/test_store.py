"""The store, against a model: whatever is done to it, lists, histories and subscribers tell the same story."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aiinfn_hub.errors import Expired
from aiinfn_hub.local.api.persistence import Journal, Ref
from aiinfn_hub.local.api.store import Change, Store, decode

TABLES = [("", "pods"), ("batch", "jobs")]
NAMES = st.sampled_from(["a", "b", "c"])
SPACES = st.sampled_from(["x", "y"])
HISTORY = 6


def ref(table: tuple[str, str], namespace: str = "x", name: str = "a") -> Ref:
    return Ref(*table, namespace, name)


def obj(name: str, value: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value}


class Mirror:
    """What somebody knows who lists once and then follows the history, as an informer does."""

    def __init__(self, store: Store, table: tuple[str, str]) -> None:
        self.table = table
        self.relist(store)

    def relist(self, store: Store) -> None:
        self.known = {row.ref: row.obj for row in store.select(self.table)}
        self.revision = store.revision

    def follow(self, store: Store) -> None:
        for change in store.since(self.table, self.revision):
            assert change.now.revision > self.revision
            assert (change.verb == "ADDED") is (change.now.ref not in self.known)
            self.revision = change.now.revision
            if change.verb == "DELETED":
                del self.known[change.now.ref]
            else:
                self.known[change.now.ref] = change.now.obj


class StoreMachine(RuleBasedStateMachine):
    """Puts, drops, restarts; mirrors that follow at their own pace."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(Journal(self.folder), HISTORY)
        self.model: dict[Ref, dict[str, Any]] = {}
        self.told: list[Change] = []
        self.store.subscribe(None, self.told.append)
        self.mirrors = [Mirror(self.store, table) for table in TABLES]

    @rule(table=st.sampled_from(TABLES), namespace=SPACES, name=NAMES, value=st.integers())
    def put(self, table: tuple[str, str], namespace: str, name: str, value: int) -> None:
        where = ref(table, namespace, name)
        before = self.store.revision
        stored = self.store.put(where, obj(name, value))
        assert stored.revision == self.store.revision == before + 1
        assert stored.obj["metadata"]["resourceVersion"] == str(stored.revision)
        assert self.told[-1].now is stored
        assert (self.told[-1].before is None) is (where not in self.model)
        self.model[where] = stored.obj

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        where = data.draw(st.sampled_from(sorted(self.model)))
        gone = self.store.drop(where)
        assert self.told[-1].verb == "DELETED"
        assert gone.obj["value"] == self.model.pop(where)["value"]
        assert self.store.get(where) is None

    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        mirror = data.draw(st.sampled_from(self.mirrors))
        try:
            mirror.follow(self.store)
        except Expired:
            mirror.relist(self.store)
        assert mirror.known == {row.ref: row.obj for row in self.store.select(mirror.table)}

    @rule()
    def restart(self) -> None:
        revision = self.store.revision
        self.store.close()
        self.store = Store(Journal(self.folder), HISTORY)
        assert self.store.revision == revision
        self.told.clear()
        self.store.subscribe(None, self.told.append)

    @invariant()
    def what_is_stored_is_what_was_put(self) -> None:
        if not hasattr(self, "store"):
            return
        rows = [row for table in TABLES for row in self.store.select(table)]
        assert {row.ref: row.obj for row in rows} == self.model
        for row in rows:
            assert decode(row.raw) == row.obj
            assert row.revision <= self.store.revision

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.store.close()
            shutil.rmtree(self.folder)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_list_is_in_order_and_of_its_namespace() -> None:
    store = Store()
    for namespace, name in (("y", "a"), ("x", "b"), ("x", "a")):
        store.put(ref(TABLES[0], namespace, name), obj(name))
    assert [(r.ref.namespace, r.ref.name) for r in store.select(TABLES[0])] == [("x", "a"), ("x", "b"), ("y", "a")]
    assert [r.ref.name for r in store.select(TABLES[0], "y")] == ["a"]
    assert store.select(("", "nothing")) == []


def test_a_fresh_copy_is_ones_own() -> None:
    store = Store()
    stored = store.put(ref(TABLES[0]), obj("a"))
    copy = stored.fresh()
    copy["value"] = 5
    copy["metadata"]["labels"] = {"x": "y"}
    assert store.get(ref(TABLES[0])) == stored
    assert stored.obj["value"] == 0
    assert "labels" not in stored.obj["metadata"]


def test_one_busy_table_does_not_age_the_history_of_another() -> None:
    store = Store(history=3)
    quiet = store.put(ref(TABLES[0]), obj("a"))
    for value in range(20):
        store.put(ref(TABLES[1]), obj("a", value))
    store.put(ref(TABLES[0]), obj("a", 1))
    assert [change.now.obj["value"] for change in store.since(TABLES[0], quiet.revision)] == [1]
    with pytest.raises(Expired):
        store.since(TABLES[1], quiet.revision)
    assert len(store.since(TABLES[1], store.revision - 4)) == 3


def test_who_unsubscribes_is_told_nothing_more() -> None:
    store = Store()
    told: list[Change] = []
    stop = store.subscribe(TABLES[0], told.append)
    store.put(ref(TABLES[0]), obj("a"))
    store.put(ref(TABLES[1]), obj("a"))
    stop()
    store.put(ref(TABLES[0]), obj("a", 1))
    assert [change.verb for change in told] == ["ADDED"]


def test_subscribers_see_the_store_as_it_is_after_the_change() -> None:
    store = Store()
    seen: list[Any] = []
    store.subscribe(None, lambda change: seen.append(store.get(change.now.ref)))
    stored = store.put(ref(TABLES[0]), obj("a"))
    store.drop(ref(TABLES[0]))
    assert seen == [stored, None]
