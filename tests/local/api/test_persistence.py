"""Objects on disk: what was acknowledged is there after kill -9, and versions go on where they were."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.kubeapi import running_api

from aiinfn_hub.errors import Expired, NotFound, Unavailable
from aiinfn_hub.kube.client import CONFIGMAPS, NAMESPACES, SECRETS, KubeClient
from aiinfn_hub.local.api.persistence import Journal, Ref
from aiinfn_hub.local.api.store import Store

MAPS = ("", "configmaps")

WRITER = """
import json, sys
from pathlib import Path
from aiinfn_hub.local.api.persistence import Journal, Ref
from aiinfn_hub.local.api.store import Store
store = Store(Journal(Path(sys.argv[1])))
number = 0
while True:
    number += 1
    ref = Ref("", "configmaps", "default", f"m{number % 50}")
    if number % 7 == 0 and store.get(ref):
        store.drop(ref)
        said = None
    else:
        said = number
        store.put(ref, {"metadata": {"name": ref.name}, "data": {"n": str(number), "x": "y" * 500}})
    print(json.dumps([store.revision, ref.name, said]), flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """A writer is killed at work, several times over; each time the file holds what it said, or one change more."""
    expected: dict[str, int] = {}
    seed = Store(Journal(tmp_path))
    revision = seed.revision
    seed.close()
    for _round in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        said = [json.loads(writer.stdout.readline()) for _ in range(300)]
        writer.send_signal(signal.SIGKILL)
        said += [json.loads(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        assert said[0][0] == revision + 1, "versions go on where they were"
        revision = said[-1][0]
        for _, name, number in said:
            expected.pop(name, None)
            if number is not None:
                expected[name] = number
        store = Store(Journal(tmp_path))
        found = {row.ref.name: int(row.obj["data"]["n"]) for row in store.select(MAPS)}
        assert store.revision in {revision, revision + 1}
        different = {name for name in found | expected if found.get(name) != expected.get(name)}
        assert len(different) <= (store.revision - revision), "only the change that was not acknowledged may be more"
        revision, expected = store.revision, found
        store.close()


def test_versions_go_on_after_a_restart_even_after_deletions(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    ref = Ref(*MAPS, "default", "a")
    store.put(ref, {"metadata": {"name": "a"}})
    store.drop(ref)
    last = store.revision
    store.close()
    again = Store(Journal(tmp_path))
    assert again.revision == last
    assert again.put(ref, {"metadata": {"name": "a"}}).revision == last + 1
    again.close()


def test_a_watch_from_before_a_restart_has_to_start_anew(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    first = store.put(Ref(*MAPS, "default", "a"), {"metadata": {"name": "a"}})
    store.put(Ref(*MAPS, "default", "b"), {"metadata": {"name": "b"}})
    store.close()
    again = Store(Journal(tmp_path))
    with pytest.raises(Expired):
        again.since(MAPS, first.revision)
    assert again.since(MAPS, again.revision) == []
    again.close()


def test_without_a_file_versions_of_an_earlier_server_are_too_old() -> None:
    earlier = Store()
    revision = earlier.put(Ref(*MAPS, "default", "a"), {"metadata": {"name": "a"}}).revision
    time.sleep(0.01)
    later = Store()
    with pytest.raises(Expired):
        later.since(MAPS, revision)


def test_a_change_that_cannot_be_written_did_not_happen(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    store = Store(journal)
    ref = Ref(*MAPS, "default", "a")
    store.put(ref, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    told: list[object] = []
    store.subscribe(None, told.append)
    journal._connection.execute("PRAGMA query_only = ON")
    before = store.revision
    for change in (lambda: store.put(ref, {"metadata": {"name": "a"}, "data": {"x": "2"}}), lambda: store.drop(ref)):
        with pytest.raises(Unavailable, match="cannot write"):
            change()
    assert store.revision == before
    found = store.get(ref)
    assert found is not None
    assert found.obj["data"] == {"x": "1"}
    assert told == []
    store.close()


def test_one_server_at_a_time(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    store.put(Ref(*MAPS, "default", "a"), {"metadata": {"name": "a"}})
    with pytest.raises(Unavailable, match="locked"):
        Journal(tmp_path)
    store.close()
    Journal(tmp_path).close()


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "objects.sqlite").write_text("this is no database, and long enough to be recognised as none" * 20)
    with pytest.raises(Unavailable, match="cannot be read"):
        Journal(tmp_path)


def test_the_file_stays_small_under_many_changes(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path))
    for number in range(3000):
        store.put(Ref(*MAPS, "default", "a"), {"metadata": {"name": "a"}, "data": {"x": "y" * 1000, "n": str(number)}})
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000_000
    store.close()
    connection = sqlite3.connect(tmp_path / "objects.sqlite")
    assert connection.execute("SELECT count(*) FROM object").fetchone() == (1,)
    connection.close()


@pytest.mark.asyncio
async def test_a_restarted_server_has_everything_and_goes_on(tmp_path: Path) -> None:
    async with running_api(tmp_path, persistent=True) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"metadata": {"name": "team"}})
        made = await client.create(CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}}, "team")
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": made["metadata"]["uid"]}
        await client.create(SECRETS, {"metadata": {"name": "s", "ownerReferences": [reference]}}, "team")
        widget = {
            "metadata": {"name": "widgets.x.io"},
            "spec": {
                "group": "x.io",
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": True, "storage": True}],
            },
        }
        await api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget)
        await api.call("POST", "/apis/x.io/v1/namespaces/team/widgets", {"metadata": {"name": "w"}})
        await client.close()
    async with running_api(tmp_path, persistent=True) as api:
        client = await KubeClient.connect(api.kubeconfig)
        assert await client.get(CONFIGMAPS, "a", "team") == made
        widgets = await api.call("GET", "/apis/x.io/v1/namespaces/team/widgets")
        assert [item["metadata"]["name"] for item in widgets.json["items"]] == ["w"]
        changed = await client.patch(CONFIGMAPS, "a", {"data": {"x": "2"}}, "team")
        assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        await client.delete(CONFIGMAPS, "a", "team")
        for _ in range(200):
            try:
                await client.get(SECRETS, "s", "team")
            except NotFound:
                break
        else:
            pytest.fail("the garbage collector forgot who owns what")
        await client.close()


@pytest.mark.asyncio
async def test_a_deletion_that_was_interrupted_is_finished_after_a_restart(tmp_path: Path) -> None:
    async with running_api(tmp_path, persistent=True) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"metadata": {"name": "team"}})
        await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "team")
        await api.server._garbage.stop()
        await client.delete(NAMESPACES, "team")
        assert (await client.get(CONFIGMAPS, "a", "team"))["metadata"]["name"] == "a"
        await client.close()
    async with running_api(tmp_path, persistent=True) as api:
        client = await KubeClient.connect(api.kubeconfig)
        for _ in range(200):
            try:
                await client.get(NAMESPACES, "team")
            except NotFound:
                break
        else:
            pytest.fail("the namespace is still there")
        await client.close()
