"""Creating, reading and changing objects with the rules of the Kubernetes API: versions, uids, defaults, conflicts."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiinfn_hub.kube.kinds import Kind
from aiinfn_hub.local.api import conversion, shapes, status, validation
from aiinfn_hub.local.api.kinds import Resource, Resources
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.pod_admission import check_account, resolve_priority
from aiinfn_hub.local.api.status import Problem
from aiinfn_hub.local.api.store import Store, Stored, encode
from aiinfn_hub.local.api.strategies import Strategy, strategy

Object = dict[str, Any]
Admission = Callable[[Kind, Object], Object]

NAMESPACES = Resources().builtin(("", "namespaces"))
#: Letters of generated names: no vowels, so that none spells a word (k8s.io/apimachinery/pkg/util/rand).
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
#: Metadata that only the server sets.
_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAME = ("name", "namespace", "generateName")


def timestamp(seconds: float) -> str:
    """Unix time as `metav1.Time` writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """The rules around a `Store`.

    Args:
        store: where objects live.
        admission: called with kind and object at each creation, after defaults and before validation; what it returns
            is created. Its errors refuse the creation.
        clock: Unix time in seconds.
    """

    def __init__(self, store: Store, admission: Admission | None, clock: Callable[[], float]) -> None:
        self.store = store
        self._admission = admission
        self._clock = clock

    def now(self) -> str:
        """The time as objects carry it."""
        return timestamp(self._clock())

    def get(self, resource: Resource, namespace: str, name: str) -> Stored:
        """The object.

        Raises:
            NotFound: there is none.
        """
        stored = self.store.get(ref(resource, namespace, name))
        if stored is None:
            raise status.not_found(resource, name)
        return stored

    def create(self, resource: Resource, namespace: str, obj: Object, *, dry_run: bool = False) -> Stored:
        """The new object.

        Raises:
            InvalidInput: 400 or 422 with causes.
            Conflict: its name is taken.
            NotFound: its namespace is not there.
            Forbidden: its namespace is being deleted, or admission refused it.
        """
        obj = self._normal(resource, namespace, obj)
        self._check_namespace(resource, namespace, obj["metadata"].get("name", ""))
        self._start(resource, namespace, obj["metadata"])
        rules = _rules(resource)
        rules.default(obj)
        if resource.table == ("", "pods"):
            check_account(resource, namespace, obj, self.store)
            resolve_priority(resource, obj, self.store)
        rules.prepare(obj, self.now())
        if self._admission is not None:
            obj = self._admission(resource.stored, obj)
        problems = [*validation.metadata_problems(resource, obj["metadata"]), *rules.problems(obj)]
        name = obj["metadata"].get("name", "")
        if problems:
            raise status.invalid(resource, name, problems)
        if (present := self.store.get(ref(resource, namespace, name))) is not None:
            raise status.already_exists(resource, name, leaving="deletionTimestamp" in present.obj["metadata"])
        return self.commit(ref(resource, namespace, name), obj, dry_run=dry_run)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: Object,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Stored:
        """The object, replaced as far as the path allows: its status only, or all but its status.

        Raises:
            InvalidInput: 400 or 422 with causes.
            Conflict: somebody else changed it, or it is another object by now.
            NotFound: there is none.
        """
        old = self.get(resource, namespace, name)
        new = self._normal(resource, namespace, obj)
        uid, found = new["metadata"].get("uid"), old.obj["metadata"]["uid"]
        if uid and uid != found:
            raise status.other_object(resource, (namespace, name), uid, found)
        return self._change(resource, old, new, subresource, dry_run=dry_run)

    def _change(self, resource: Resource, old: Stored, obj: Object, subresource: str, *, dry_run: bool) -> Stored:
        name = old.ref.name
        self._check_update(resource, old, obj["metadata"], name)
        meta = obj["metadata"]
        for key in (*_OWN, *_NAME):
            meta.pop(key, None)
        meta |= {key: old.obj["metadata"][key] for key in (*_OWN, *_NAME) if key in old.obj["metadata"]}
        new = self._merged(resource, old, obj, subresource)
        rules = _rules(resource)
        if not subresource:
            rules.carry(new, old.obj)
            rules.default(new)
        problems = [*validation.metadata_problems(resource, meta), *_finalizer_problems(meta, old.obj["metadata"])]
        if not subresource:
            problems += [*rules.problems(new), *rules.changes(new, old.obj)]
        if problems:
            raise status.invalid(resource, name, problems)
        return self.replace(resource, old, new, dry_run=dry_run)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Any],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Stored:
        """The object after `change`, which gets a copy of it in the version that was asked for.

        Raises:
            InvalidInput, Conflict, NotFound: like `update`.
        """
        old = self.get(resource, namespace, name)
        document = conversion.served(resource, Stored(old.ref, old.revision, old.fresh(), old.raw))
        changed = change(document)
        if not isinstance(changed, dict) or not isinstance(changed.get("metadata"), dict):
            raise status.bad_request("the patch leaves no object with metadata")
        new = self._normal(resource, namespace, changed, patched=True)
        return self._change(resource, old, new, subresource, dry_run=dry_run)

    def replace(self, resource: Resource, old: Stored, new: Object, *, dry_run: bool = False) -> Stored:
        """Store `new` in place of `old` unless nothing changed; delete it if the last finalizer has gone."""
        meta = new["metadata"] = _tidy(new["metadata"])
        meta["resourceVersion"] = old.obj["metadata"]["resourceVersion"]
        if new == old.obj:
            return old
        if resource.generation and _content(resource, new) != _content(resource, old.obj):
            meta["generation"] = meta.get("generation", 0) + 1
        # A namespace is held by `spec.finalizers`, which the garbage collector empties.
        held = meta.get("finalizers") or (resource.kind.kind == "Namespace" and new["spec"].get("finalizers"))
        if "deletionTimestamp" in meta and not held and not meta.get("deletionGracePeriodSeconds") and not dry_run:
            return self.store.drop(old.ref, new)
        return self.commit(old.ref, new, dry_run=dry_run)

    def _normal(self, resource: Resource, namespace: str, body: Any, *, patched: bool = False) -> Object:
        """The body as the stored version, its shape checked and its nulls dropped."""
        if not isinstance(body, dict):
            raise status.bad_request("the body is not an object")
        kind = resource.kind
        version, name = body.setdefault("apiVersion", kind.api_version), body.setdefault("kind", kind.kind)
        if (version, name) != (kind.api_version, kind.kind):
            message = f"the object provided is a {name} of {version}, expected {kind.kind} of {kind.api_version}"
            raise status.bad_request(message)
        content = {key: _pruned(value) for key, value in body.items() if value is not None}
        # Lists rely on this order.
        obj: Object = {"apiVersion": "", "kind": ""} | conversion.to_stored(resource, content)
        obj.setdefault("metadata", {})
        shapes.check(resource, obj, patched=patched)
        meta = obj["metadata"]
        if meta.get("namespace", namespace) not in {namespace, ""}:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise status.bad_request(message)
        for key in ("managedFields", "selfLink"):
            meta.pop(key, None)
        obj["metadata"] = _tidy(meta)
        return obj

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.kind.namespaced:
            return
        found = self.store.get(Ref("", "namespaces", "", namespace))
        if found is None:
            raise status.not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in found.obj["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            message = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
            raise status.forbidden(resource, name, why, [cause])

    def _start(self, resource: Resource, namespace: str, meta: Object) -> None:
        """The metadata that every new object gets."""
        if meta.pop("resourceVersion", ""):
            raise status.internal("resourceVersion should not be set on objects to be created")
        for key in _OWN:
            meta.pop(key, None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generated(resource, namespace, meta["generateName"])
        meta.setdefault("name", "")  # refused with the other mistakes
        meta.pop("namespace", None)
        if resource.kind.namespaced:
            meta["namespace"] = namespace
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = self.now()
        if resource.generation:
            meta["generation"] = 1

    def _generated(self, resource: Resource, namespace: str, prefix: str) -> str:
        while True:
            name = prefix[:58] + "".join(secrets.choice(_LETTERS) for _ in range(5))
            if self.store.get(ref(resource, namespace, name)) is None:
                return name

    def _check_update(self, resource: Resource, old: Stored, meta: Object, name: str) -> None:
        if meta.get("name", name) != name:
            message = f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
            raise status.bad_request(message)
        if meta.get("uid", old.obj["metadata"]["uid"]) != old.obj["metadata"]["uid"]:
            raise status.invalid(resource, name, [Problem.invalid("metadata.uid", meta["uid"], "field is immutable")])
        version = meta.get("resourceVersion", "")
        if not version and not resource.unconditional:
            raise status.unversioned(resource, name)
        if version and version != str(old.revision):
            raise status.modified(resource, name)

    def _merged(self, resource: Resource, old: Stored, obj: Object, subresource: str) -> Object:
        """The part of `obj` that the path may change, the rest as it was."""
        if subresource == "status":
            kept = old.fresh()
            # The status of a custom resource is written alone; that of a builtin kind with labels and finalizers.
            meta = kept["metadata"] if resource.custom else obj["metadata"]
            kept.pop("status", None)
            return {**kept, "metadata": meta, **({"status": obj["status"]} if "status" in obj else {})}
        if resource.status:
            obj.pop("status", None)
            if "status" in old.obj:
                obj["status"] = old.fresh()["status"]
        return obj

    def commit(self, target: Ref, obj: Object, *, dry_run: bool) -> Stored:
        """Store an object as it is, or only say what would be stored."""
        if dry_run:
            return Stored(target, self.store.revision, obj, encode(obj))
        return self.store.put(target, obj)


def ref(resource: Resource, namespace: str, name: str) -> Ref:
    """Where an object of a resource lives."""
    return Ref(*resource.table, namespace if resource.kind.namespaced else "", name)


def _rules(resource: Resource) -> Strategy:
    return strategy(resource.table, status=resource.status or not resource.custom)


def _pruned(value: Any) -> Any:
    """Without nulls, as Go's `omitempty` leaves them out."""
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _tidy(meta: Object) -> Object:
    """Metadata without empty maps and lists, as Go's `omitempty` leaves them out."""
    return {key: value for key, value in meta.items() if value not in ({}, [])}


def _content(resource: Resource, obj: Object) -> Object:
    """What `metadata.generation` counts the changes of."""
    ignored = {"metadata", "status"} if resource.status or not resource.custom else {"metadata"}
    content = {key: value for key, value in obj.items() if key not in ignored}
    # A pod's binding does not count.
    return content | ({"spec": obj["spec"] | {"nodeName": ""}} if resource.table == ("", "pods") else {})


def _finalizer_problems(new: Object, old: Object) -> list[Problem]:
    added = set(new.get("finalizers") or ()) - set(old.get("finalizers") or ())
    if not added or "deletionTimestamp" not in old:
        return []
    listed = ", ".join(f'"{name}"' for name in sorted(added))
    detail = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
    return [Problem.forbidden("metadata.finalizers", detail)]
