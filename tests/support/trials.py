"""Jobs, pods and what becomes of them, for tests that ask the real control plane and the embedded one the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.places import Place

from aiinfn_hub.kube.client import EVENTS, PODS, Kind

Object = dict[str, Any]
JOB_NAME = "batch.kubernetes.io/job-name"


def pod_spec(script: str = "true", *, requests: Object | None = None, **spec: Any) -> Object:
    """The specification of a pod that runs a shell script; `requests` are its limits as well."""
    resources = {"requests": requests, "limits": requests} if requests else {}
    container = {"name": "main", "image": "i:1", "command": ["sh", "-c", script], "resources": resources}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    } | spec


def pod(name: str, script: str = "true", *, labels: Object | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": pod_spec(script, **spec),
    }


def job(
    name: str,
    script: str = "true",
    *,
    labels: Object | None = None,
    annotations: Object | None = None,
    pod: Object | None = None,
    **spec: Any,
) -> Object:
    """A Job; `pod` goes into the specification of its pods, other keywords into its own. One failure is enough."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec(script, **(pod or {}))}} | spec,
    }


def until(file: Path, then: str = "true") -> str:
    """A script that waits for a file."""
    return f"until [ -e {file} ]; do sleep 0.05; done; {then}"


async def appears(file: Path, timeout_s: float = 20) -> None:
    """Wait until a script has made a file."""
    async with asyncio.timeout(timeout_s):
        while not file.exists():
            await asyncio.sleep(0.02)


@dataclass
class History:
    """Every revision of the objects of one kind in a namespace, in order, as the API told them."""

    seen: list[Object] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def of(self, name: str) -> list[Object]:
        """The revisions of one object."""
        return [one for one in self.seen if one["metadata"]["name"] == name]

    def turns(self, name: str) -> list[str]:
        """Each change of a condition: "Suspended=True JobSuspended"."""
        return turns(self.of(name))

    async def until(
        self, name: str, condition: Callable[[Object], object], what: str = "", timeout_s: float = 40
    ) -> Object:
        """The first revision of an object of which the condition holds."""

        def found() -> list[Object]:
            return [one for one in self.of(name) if condition(one)]

        try:
            async with asyncio.timeout(timeout_s), self.news:
                await self.news.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"{name}: never {what or 'so'}; last {(self.of(name) or [None])[-1]}") from None
        return found()[0]

    async def until_gone(self, name: str, timeout_s: float = 40) -> None:
        async with asyncio.timeout(timeout_s), self.news:
            await self.news.wait_for(lambda: name in self.gone)

    async def first(self, condition: Callable[[Object], object], timeout_s: float = 40) -> Object:
        """The first revision of any object of which the condition holds."""

        def found() -> list[Object]:
            return [one for one in self.seen if condition(one)]

        try:
            async with asyncio.timeout(timeout_s), self.news:
                await self.news.wait_for(found)
        except TimeoutError:
            last = {one["metadata"]["name"]: one.get("status") for one in self.seen}
            raise AssertionError(f"nothing like that; last were {last}") from None
        return found()[0]


def turns(revisions: list[Object]) -> list[str]:
    """Each change of a condition over the revisions of an object."""
    told: list[str] = []
    last: dict[str, str] = {}
    for one in revisions:
        for condition in (one.get("status") or {}).get("conditions") or ():
            words = f"{condition['type']}={condition['status']} {condition.get('reason', '')}"
            if last.get(condition["type"]) != words:
                last[condition["type"]] = words
                told.append(words)
    return told


@asynccontextmanager
async def history(place: Place, kind: Kind) -> AsyncIterator[History]:
    """Look on from here."""
    told = History()
    _, version = await place.client.list(kind, place.namespace)
    task = asyncio.create_task(_follow(place, kind, version, told))
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(place: Place, kind: Kind, version: str, told: History) -> None:
    while True:  # the server ends a watch after a while, and the next goes on where it ended
        async for event, text in place.client.watch(kind, place.namespace, resource_version=version):
            found = json.loads(text)
            version = found["metadata"]["resourceVersion"]
            if event == "BOOKMARK":
                continue
            async with told.news:
                told.seen.append(found)
                if event == "DELETED":
                    told.gone.add(found["metadata"]["name"])
                told.news.notify_all()


def holds(name: str, reason: str = "") -> Callable[[Object], bool]:
    """Whether an object has a condition that is true, for this reason if one is named."""
    return says(name, "True", reason)


def says(name: str, status: str, reason: str = "") -> Callable[[Object], bool]:
    """Whether an object has a condition with this status, for this reason if one is named."""

    def test(found: Object) -> bool:
        one = condition(found, name)
        return one.get("status") == status and reason in ("", one.get("reason"))

    return test


def condition(found: Object, name: str) -> Object:
    """A condition of an object; {} if it has none."""
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == name), {})


def phase(wanted: str) -> Callable[[Object], bool]:
    return lambda found: found["status"].get("phase") == wanted


async def pods_of(place: Place, name: str) -> list[Object]:
    """The pods of a Job, oldest first."""
    found, _ = await place.client.list(PODS, place.namespace, labels=f"{JOB_NAME}={name}")
    return sorted(found, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))


async def events(place: Place, name: str, *wanted: str, timeout_s: float = 20) -> list[tuple[str, str]]:
    """Reason and message of the events about an object, once one with each wanted reason is there."""
    told: list[tuple[str, str]] = []
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found, _ = await place.client.list(EVENTS, place.namespace)
                about = [one for one in found if one["involvedObject"]["name"] == name]
                told = [(one["reason"], one["message"]) for one in about]
                if set(wanted) <= {reason for reason, _ in told}:
                    return told
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{name}: no event {wanted}; there are {told}") from None
