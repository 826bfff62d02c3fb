"""Garbage collection: dependents of owners that are gone, contents of namespaces that go, events that are old.

One background task, fed by the store's changes. What it knows beyond the store is an index that it can rebuild.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress

from aiinfn_hub.local.api.columns import seconds
from aiinfn_hub.local.api.definitions import CLEANUP
from aiinfn_hub.local.api.deletion import FOREGROUND, ORPHAN, DeleteOptions, Preconditions, delete
from aiinfn_hub.local.api.kinds import Resource, Resources
from aiinfn_hub.local.api.objects import Objects
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Change, Object, Stored

#: The real one forgets events after an hour, too.
EVENT_LIFE_S = 3600
_SWEEP_S = 60


class GarbageCollector:
    """`start`, then it works in the background until `stop`."""

    def __init__(self, objects: Objects, resources: Resources, log: logging.Logger) -> None:
        self._objects = objects
        self._store = objects.store
        self._resources = resources
        self._log = log
        self._living: dict[str, Ref] = {}
        self._dependents: defaultdict[str, set[Ref]] = defaultdict(set)
        self._waiting: dict[Ref, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look through everything once, then follow the changes."""
        for table in self._store.tables():
            for stored in self._store.select(table):
                self._note(Change("ADDED", stored, None))
        self._store.subscribe(None, self._note)
        self._task = asyncio.create_task(self._run(), name="garbage collector")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _note(self, change: Change) -> None:
        ref, meta = change.now.ref, change.now.obj["metadata"]
        before = _owners(change.before.obj) if change.before else set()
        after = set() if change.verb == "DELETED" else _owners(change.now.obj)
        for uid in before - after:
            self._dependents[uid].discard(ref)
            self._look_at(self._living.get(uid))
        for uid in after - before:
            self._dependents[uid].add(ref)
        if change.verb == "DELETED":
            self._living.pop(meta["uid"], None)
            for dependent in self._dependents.pop(meta["uid"], ()):
                self._look_at(dependent)
            for container in _containers(ref):
                self._look_at(container)
        else:
            self._living[meta["uid"]] = ref
            if after != before or "deletionTimestamp" in meta:
                self._look_at(ref)

    def _look_at(self, ref: Ref | None) -> None:
        if ref is not None:
            self._waiting[ref] = None
            self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_S):
                    await self._wake.wait()
            self._wake.clear()
            await self._work()
            if loop.time() - swept >= _SWEEP_S:
                swept = loop.time()
                self.forget_events()

    async def _work(self) -> None:
        failed: dict[Ref, None] = {}
        while self._waiting:
            ref = next(iter(self._waiting))
            del self._waiting[ref]
            stored = self._store.get(ref)
            resource = self._resources.stored((ref.group, ref.plural))
            try:
                if stored is not None and resource is not None:
                    self._settle(resource, stored)
            except Exception:  # noqa: BLE001  the boundary of a background loop: a full disk, above all
                kind = resource.kind.kind if resource else ref.plural
                self._log.exception("garbage collection of %s %s/%s failed", kind, ref.namespace, ref.name)
                failed[ref] = None
            await asyncio.sleep(0)
        # Tried again with the next change or sweep, whichever comes first.
        self._waiting |= failed

    def _settle(self, resource: Resource, stored: Stored) -> None:
        """Do what one object needs."""
        meta = stored.obj["metadata"]
        if "deletionTimestamp" in meta:
            finalizers = meta.get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(resource, stored)
            elif FOREGROUND in finalizers:
                self._foreground(resource, stored)
            elif CLEANUP in finalizers:
                self._undefine(resource, stored)
            elif resource.kind.kind == "Namespace":
                self._empty(resource, stored)
        if meta.get("ownerReferences"):
            self._check_owners(resource, stored)

    def _check_owners(self, resource: Resource, stored: Stored) -> None:
        """Delete an object none of whose owners stays; otherwise drop the references to those that do not.

        The references to owners that wait for their dependents go too, or those would wait for ever.
        """
        owners: list[Object] = stored.obj["metadata"]["ownerReferences"]
        solid = [owner for owner in owners if self._is_solid(owner)]
        if len(solid) == len(owners):
            return
        if solid:
            new = stored.fresh()
            new["metadata"]["ownerReferences"] = solid
            self._objects.replace(resource, stored, new)
        elif "deletionTimestamp" not in stored.obj["metadata"]:
            waited_for = any(owner["uid"] in self._living for owner in owners)
            self._delete(
                resource, stored, "Foreground" if waited_for and self._has_dependents(stored) else "Background"
            )

    def _is_solid(self, owner: Object) -> bool:
        """Whether an owner is there to stay: not gone, and not waiting for its dependents."""
        ref = self._living.get(owner["uid"])
        stored = self._store.get(ref) if ref else None
        if stored is None:
            return False
        meta = stored.obj["metadata"]
        return "deletionTimestamp" not in meta or FOREGROUND not in (meta.get("finalizers") or ())

    def _has_dependents(self, stored: Stored) -> bool:
        return bool(self._dependents.get(stored.obj["metadata"]["uid"]))

    def _delete(self, resource: Resource, stored: Stored, propagation: str) -> None:
        options = DeleteOptions(
            propagation_policy=propagation, preconditions=Preconditions(uid=stored.obj["metadata"]["uid"])
        )
        delete(self._objects, resource, stored.ref.namespace, stored.ref.name, options)

    def _orphan(self, resource: Resource, stored: Stored) -> None:
        """Let the dependents go on without their owner."""
        uid = stored.obj["metadata"]["uid"]
        for ref in list(self._dependents.get(uid, ())):
            dependent, kind = self._store.get(ref), self._resources.stored((ref.group, ref.plural))
            if dependent is not None and kind is not None:
                new = dependent.fresh()
                new["metadata"]["ownerReferences"] = [o for o in new["metadata"]["ownerReferences"] if o["uid"] != uid]
                self._objects.replace(kind, dependent, new)
        self._release(resource, stored, ORPHAN)

    def _foreground(self, resource: Resource, stored: Stored) -> None:
        """Delete the dependents; the owner goes when the last one that blocks it has gone."""
        uid = stored.obj["metadata"]["uid"]
        dependents = [found for ref in self._dependents.get(uid, ()) if (found := self._store.get(ref))]
        for dependent in dependents:
            self._look_at(dependent.ref)
        if not any(_blocks(dependent, uid) for dependent in dependents):
            self._release(resource, stored, FOREGROUND)

    def _undefine(self, resource: Resource, stored: Stored) -> None:
        """Delete the objects of a definition that goes, then the definition."""
        spec = stored.obj["spec"]
        table = spec["group"], spec["names"]["plural"]
        if self._delete_all(table, ""):
            return
        self._release(resource, stored, CLEANUP)

    def _empty(self, resource: Resource, stored: Stored) -> None:
        """Delete the contents of a namespace that goes, then the namespace."""
        left = [self._delete_all(table, stored.ref.name) for table in self._store.tables()]
        if not any(left):
            new = stored.fresh()
            new["spec"]["finalizers"] = []
            self._objects.replace(resource, stored, new)

    def _delete_all(self, table: tuple[str, str], namespace: str) -> int:
        """Delete what is not being deleted yet; returns how many are left."""
        resource = self._resources.stored(table)
        found = self._store.select(table, namespace)
        if resource is None:
            return 0
        for stored in found:
            if "deletionTimestamp" not in stored.obj["metadata"]:
                self._delete(resource, stored, "Background")
        return len(self._store.select(table, namespace))

    def _release(self, resource: Resource, stored: Stored, finalizer: str) -> None:
        new = stored.fresh()
        new["metadata"]["finalizers"] = [name for name in new["metadata"]["finalizers"] if name != finalizer]
        self._objects.replace(resource, stored, new)

    def forget_events(self) -> None:
        """Drop the events of more than an hour ago."""
        now = seconds(self._objects.now())
        for stored in self._store.select(("", "events")):
            if now - seconds(stored.obj["metadata"]["creationTimestamp"]) > EVENT_LIFE_S:
                self._store.drop(stored.ref)


def _containers(ref: Ref) -> tuple[Ref, Ref]:
    """What may be waiting for the last object of its kind: a namespace, a definition."""
    definition = Ref("apiextensions.k8s.io", "customresourcedefinitions", "", f"{ref.plural}.{ref.group}")
    return Ref("", "namespaces", "", ref.namespace), definition


def _owners(obj: Object) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}


def _blocks(dependent: Stored, uid: str) -> bool:
    owners = dependent.obj["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)
