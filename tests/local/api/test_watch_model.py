"""Watches with selectors, against a model: a client that follows one knows exactly what is selected now."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aiinfn_hub.local.api import listing
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Store
from aiinfn_hub.local.api.views import Metadata, Rows, Whole, choose
from aiinfn_hub.local.api.watching import Watch

MAPS = Resources().builtin(("", "configmaps"))
QUERIES: list[dict[str, str]] = [
    {},
    {"labelSelector": "team=red"},
    {"labelSelector": "team!=red"},
    {"labelSelector": "team in (red,blue),!old"},
    {"labelSelector": "old"},
    {"fieldSelector": "metadata.name=a"},
    {"labelSelector": "team", "fieldSelector": "metadata.namespace!=x"},
]
LABELS = st.fixed_dictionaries({}, optional={"team": st.sampled_from(["red", "blue"]), "old": st.just("1")})
REFS = st.builds(lambda ns, name: Ref("", "configmaps", ns, name), st.sampled_from("xy"), st.sampled_from("abc"))


class Follower:
    """A client of one watch; it reads when it is told to."""

    def __init__(self, store: Store, namespace: str, query: dict[str, str], *, resume: bool) -> None:
        self.store = store
        self.namespace = namespace
        self.query = query
        self.known: dict[tuple[str, str], dict[str, Any]] = {}
        self.watch = Watch(store, Whole(MAPS), namespace, listing.selection(query, MAPS))
        if resume:  # a list first, then from its version
            self.known = dict(self.selected())
            query = {**query, "resourceVersion": str(store.revision)}
        self.watch.open(query)

    def selected(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What a list would say now."""
        chosen = listing.selection(self.query, MAPS)
        rows = self.store.select(MAPS.table, self.namespace)
        return {(r.ref.namespace, r.ref.name): r.obj for r in rows if chosen is None or chosen(r.obj)}

    def read(self) -> None:
        text = self.watch.take()
        for line in text.splitlines():
            event = json.loads(line)
            obj = event["object"]
            key = obj["metadata"]["namespace"], obj["metadata"]["name"]
            assert (event["type"] == "ADDED") is (key not in self.known), event
            if event["type"] == "DELETED":
                assert int(obj["metadata"]["resourceVersion"]) > int(self.known.pop(key)["metadata"]["resourceVersion"])
            else:
                self.known[key] = obj
        assert self.known == self.selected()


class WatchMachine(RuleBasedStateMachine):
    """Changes, and followers that come when they like."""

    @initialize()
    def begin(self) -> None:
        self.store = Store()
        self.followers: list[Follower] = []

    @rule(ref=REFS, labels=LABELS, value=st.integers(0, 3))
    def put(self, ref: Ref, labels: dict[str, str], value: int) -> None:
        meta = {"name": ref.name, "namespace": ref.namespace, "labels": labels}
        self.store.put(ref, {"metadata": meta, "data": {"n": str(value)}})

    @rule(ref=REFS)
    def drop(self, ref: Ref) -> None:
        if self.store.get(ref):
            self.store.drop(ref)

    @rule(query=st.sampled_from(QUERIES), namespace=st.sampled_from(["", "x"]), resume=st.booleans())
    def follow(self, query: dict[str, str], namespace: str, *, resume: bool) -> None:
        self.followers.append(Follower(self.store, namespace, query, resume=resume))

    @rule()
    def read(self) -> None:
        for follower in self.followers:
            follower.read()

    def teardown(self) -> None:
        for follower in getattr(self, "followers", []):
            follower.read()
            follower.watch.close()
        if hasattr(self, "store"):
            assert not self.store._subscribers[MAPS.table]


TestWatch = WatchMachine.TestCase
TestWatch.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.asyncio
async def test_nothing_falls_between_the_start_and_the_first_change() -> None:
    """A change right after `open`, with no turn of the loop in between, is told once."""
    store = Store()
    ref = Ref("", "configmaps", "x", "a")
    store.put(ref, {"metadata": {"name": "a"}})
    with Watch(store, Whole(MAPS), "", None) as watch:
        watch.open({"resourceVersion": "0"})
        store.put(ref, {"metadata": {"name": "a"}, "data": {}})
        store.drop(ref)
        events = [json.loads(line)["type"] for line in (await watch.next(1)).splitlines()]
    assert events == ["ADDED", "MODIFIED", "DELETED"]


@pytest.mark.asyncio
async def test_waiting_ends_with_the_first_event_or_with_the_time() -> None:
    store = Store()
    with Watch(store, Whole(MAPS), "", None) as watch:
        watch.open({})
        assert await watch.next(0.01) == b""
        waiting = asyncio.create_task(watch.next(5))
        await asyncio.sleep(0)
        store.put(Ref("", "configmaps", "x", "a"), {"metadata": {"name": "a"}})
        assert b"ADDED" in await waiting
        waiting = asyncio.create_task(watch.next(5))
        await asyncio.sleep(0)
        watch.wake()
        assert await waiting == b""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", Whole),
        ("application/json", Whole),
        ("*/*", Whole),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Rows),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Whole),
        ("application/json;as=Table;v=v1beta1,application/json;as=Table;v=v1", Rows),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Metadata),
        ("application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1,application/json", Metadata),
        ("application/json,application/json;as=Table;v=v1", Whole),
        ("application/vnd.kubernetes.protobuf,application/json;as=Table;v=v1", Whole),
        (";;;,=,;as", Whole),
    ],
)
def test_which_representation_a_client_gets(accept: str, kind: type) -> None:
    assert type(choose(accept, MAPS, "", 0.0)) is kind
