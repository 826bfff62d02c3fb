"""`pods/log`: what a container wrote, from the file that the node agent keeps, with tail, limit and follow."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from aiinfn_hub.local.api import listing, status
from aiinfn_hub.local.api.store import Object, Store, Stored

_BLOCK = 64 * 1024
#: How often a followed file is looked at, in seconds.
_POLL_S = 0.1
_FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class LogQuery:
    """What part of a log is asked for; None where all of it is."""

    follow: bool
    tail: int | None
    limit: int | None


class Logs:
    """The logs of one server's pods.

    Args:
        store: tells when a container has ended.
        root: the folder with `<pod uid>/logs/<container>.log`.
    """

    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._root = root
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every follower."""
        self._closing.set()

    async def serve(self, request: web.Request, pod: Stored) -> web.StreamResponse:
        """Answer with a log; a followed one ends with its container.

        Raises:
            InvalidInput: no such container, or it has not started, or a parameter is not served.
        """
        wanted = parse_query(request.query, pod.ref.name)
        container = _container(pod.obj, request.query.get("container", ""))
        if not pod.obj["spec"].get("nodeName"):
            return web.Response(status=204)
        path = self._root / pod.obj["metadata"]["uid"] / "logs" / f"{container}.log"
        if not path.exists():
            _refuse_waiting(pod.obj, container)
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "X-Content-Type-Options": "nosniff"})
        await response.prepare(request)
        if path.exists():
            with path.open("rb") as file:
                async for block in self._read(file, pod, container, wanted):
                    await response.write(block)
        return response

    async def _read(self, file: BinaryIO, pod: Stored, container: str, wanted: LogQuery) -> AsyncIterator[bytes]:
        if wanted.tail is not None:
            file.seek(tail_offset(file, wanted.tail))
        left = wanted.limit
        while True:
            # Before reading: what a container wrote last is in the file when it is said to have ended.
            ended = not wanted.follow or self._closing.is_set() or self._has_ended(pod, container)
            while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
                left = None if left is None else left - len(block)
                yield block
            if ended or left == 0:
                return
            await asyncio.sleep(_POLL_S)

    def _has_ended(self, pod: Stored, container: str) -> bool:
        found = self._store.get(pod.ref)
        if found is None or found.obj["metadata"]["uid"] != pod.obj["metadata"]["uid"]:
            return True
        state = _state(found.obj, container)
        return "terminated" in state or (found.obj.get("status") or {}).get("phase") in _FINISHED


def parse_query(query: Mapping[str, str], pod: str) -> LogQuery:
    """The parameters of the log of a pod.

    Raises:
        InvalidInput: one is not a number, or asks for what is not served: times are not recorded.
    """
    for name in ("sinceSeconds", "sinceTime", "timestamps", "previous"):
        if listing.flag(query, name) and query[name]:
            raise status.bad_request(f"{name} is not served by the embedded Kubernetes API")
    for name, least in (("tailLines", 0), ("limitBytes", 1)):
        text = query.get(name, "")
        if re.fullmatch("-?[0-9]+", text) and int(text) < least:
            detail = "must be greater than 0" if least else "must be greater than or equal to 0"
            problem = status.Problem.invalid(name, int(text), detail)
            raise status.invalid_value("PodLogOptions", problem, "PodLogOptions", name=pod)
    return LogQuery(
        follow=listing.flag(query, "follow"),
        tail=listing.number(query, "tailLines") if query.get("tailLines") else None,
        limit=listing.number(query, "limitBytes") if query.get("limitBytes") else None,
    )


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last lines of a file begin; an unfinished last line counts as one."""
    end = position = file.seek(0, os.SEEK_END)
    if not lines:
        return end
    found = 0
    while position > 0:
        start = max(position - _BLOCK, 0)
        file.seek(start)
        block = file.read(position - start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if start + at == end - 1:
                continue  # the end of the last line begins nothing
            found += 1
            if found == lines:
                return start + at + 1
        position = start
    return 0


def _container(pod: Object, name: str) -> str:
    spec = pod["spec"]
    names = [c["name"] for c in spec["containers"]]
    init = [c["name"] for c in spec.get("initContainers") or ()]
    title = pod["metadata"]["name"]
    if not name and len(names) == 1:
        return str(names[0])
    if not name:
        message = f"a container name must be specified for pod {title}, choose one of: [{' '.join(names)}]"
        if init:
            message += f" or one of the init containers: [{' '.join(init)}]"
        raise status.bad_request(message)
    if name not in {*names, *init}:
        raise status.bad_request(f"container {name} is not valid for pod {title}")
    return name


def _state(pod: Object, container: str) -> Object:
    found = pod.get("status") or {}
    statuses = [*(found.get("containerStatuses") or ()), *(found.get("initContainerStatuses") or ())]
    state: Object = next((s.get("state") or {} for s in statuses if s.get("name") == container), {})
    return state


def _refuse_waiting(pod: Object, container: str) -> None:
    """A container without a log has not started."""
    state = _state(pod, container)
    if not {"running", "terminated"} & set(state):
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        message = f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start: {reason}'
        raise status.bad_request(message)
