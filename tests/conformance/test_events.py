"""Events as their writers need them and as KubeSpawner's reflector reads them."""

from __future__ import annotations

from typing import Any

import pytest
from support.asking import MERGE, Ask, play
from support.places import Place

pytestmark = pytest.mark.asyncio

NEW = "/apis/events.k8s.io/v1/namespaces/{ns}/events"


def event(meta: dict[str, Any], namespace: str = "{ns}", **rest: Any) -> dict[str, Any]:
    about = {"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": namespace}
    common = {"involvedObject": about, "reason": "R", "message": "M"}
    return {"apiVersion": "v1", "kind": "Event", "metadata": meta, **common, **rest}


EMPTY = {"eventTime": None, "firstTimestamp": None, "lastTimestamp": None, "source": {}, "reportingComponent": ""}
STEPS = [
    Ask("POST events", event({"name": "a.1"}), 201, has=EMPTY | {"type": None, "reportingInstance": ""}),
    Ask("POST events", event({"generateName": "a."}, type="Warning"), 201, has={"metadata.generateName": "a."}),
    Ask("POST events", event({"name": "x"}, "other"), 422, "Invalid", "does not match event.namespace",
        ("involvedObject.namespace",)),
    Ask("POST events", event({"name": "x"}, ""), 422, "Invalid", fields=("involvedObject.namespace",)),
    Ask("PATCH events/a.1", {"count": 5, "lastTimestamp": "2026-01-01T00:00:00Z"}, kind=MERGE,
        has={"count": 5, "lastTimestamp": "2026-01-01T00:00:00Z"}),
    Ask("GET events?fieldSelector=involvedObject.kind%3DPod,involvedObject.name%3Da,type%3DWarning",
        has={"items.0.metadata.generateName": "a.", "items.1": None}),
    Ask("GET events?fieldSelector=involvedObject.name%3Db", has={"items": []}),
    Ask("GET events?fieldSelector=involvedObject.namespace%3D{ns},reason%3DR,metadata.name%3Da.1",
        has={"items.0.metadata.name": "a.1"}),
    Ask(f"GET {NEW}/a.1", has={"note": "M", "regarding.name": "a", "deprecatedCount": 5, "message": None,
                              "deprecatedLastTimestamp": "2026-01-01T00:00:00Z"}),
    Ask(f"GET {NEW}?fieldSelector=regarding.name%3Da", has={"items.0.regarding.name": "a"}),
    Ask(f"POST {NEW}", {"metadata": {"name": "b.1"}, "regarding": {"kind": "Pod", "name": "b", "namespace": "{ns}"},
        "reason": "Queued", "action": "Wait", "note": "waiting for quota", "type": "Normal",
        "reportingController": "example.com/aiinfn", "reportingInstance": "here",
        "eventTime": "2026-01-01T00:00:00.000000Z"}, 201, has={"note": "waiting for quota"}),
    Ask("GET events/b.1", has={"message": "waiting for quota", "involvedObject.name": "b",
                               "reportingComponent": "example.com/aiinfn"}),
]  # fmt: skip


async def test_events_are_kept_under_both_names_and_found_by_what_they_are_about(place: Place) -> None:
    await play(place, STEPS)
