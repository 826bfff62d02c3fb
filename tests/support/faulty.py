"""A client whose next requests fail as told, and then works again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube.client import Kind, KubeClient

Object = dict[str, Any]


class FaultyClient(KubeClient):
    """`fail(kind, subresource, error)`; with `done`, the request is carried out and only its answer is lost."""

    _faults: list[tuple[Kind, str, AiinfnError, bool]]

    @classmethod
    def of(cls, client: KubeClient) -> FaultyClient:
        found = cls(client._api, request_s=client._request_s)
        found._faults = []
        return found

    def fail(self, kind: Kind, subresource: str, error: AiinfnError, *, done: bool = False) -> None:
        self._faults.append((kind, subresource, error, done))

    async def _perhaps(self, kind: Kind, subresource: str, request: Callable[[], Any]) -> Object:
        fault = next((f for f in self._faults if f[:2] == (kind, subresource)), None)
        if fault is None:
            return await request()
        self._faults.remove(fault)
        if fault[3]:
            await request()
        raise fault[2]

    async def create(self, kind: Kind, obj: Object, *args: Any, subresource: str = "", **more: Any) -> Object:
        request = super().create
        return await self._perhaps(
            kind, subresource, lambda: request(kind, obj, *args, subresource=subresource, **more)
        )

    async def patch(self, kind: Kind, *args: Any, subresource: str = "", **more: Any) -> Object:
        request = super().patch
        return await self._perhaps(kind, subresource, lambda: request(kind, *args, subresource=subresource, **more))

    async def delete(self, kind: Kind, *args: Any, **more: Any) -> Object:
        request = super().delete
        return await self._perhaps(kind, "", lambda: request(kind, *args, **more))
