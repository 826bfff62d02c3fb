"""The one way to Prometheus: instant queries, of which only sums over the whole answer are wanted."""

from __future__ import annotations

import math

import httpx
import msgspec

from aiinfn_hub.errors import RemoteFailed, Unavailable

#: Seconds for one answer; a sum over a session of a week is a lot to read.
DEADLINE_S = 30.0


class _Sample(msgspec.Struct):
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Sample] = []


class _Answer(msgspec.Struct):
    status: str
    data: _Data = msgspec.field(default_factory=_Data)
    error: str = ""


class Prometheus:
    """A Prometheus server, or what speaks like one.

    Args:
        url: without a slash at the end, as in http://prometheus.monitoring.svc:9090.
    """

    def __init__(self, url: str, *, http: httpx.AsyncClient | None = None) -> None:
        self._url = url.rstrip("/")
        self._http = http or httpx.AsyncClient(timeout=DEADLINE_S)

    async def value(self, query: str, *, at: float) -> float | None:
        """The one value of a query at a time (Unix seconds); None where there is nothing, which is not zero.

        Raises:
            Unavailable: it does not answer.
            RemoteFailed: it refuses the query, or answers what we cannot read.
        """
        try:
            answer = await self._http.get(f"{self._url}/api/v1/query", params={"query": query, "time": f"{at:.3f}"})
        except httpx.HTTPError as error:
            raise Unavailable("Prometheus does not answer.") from error
        if answer.status_code >= 500:
            raise Unavailable(f"Prometheus answers {answer.status_code}.")
        try:
            found = msgspec.json.decode(answer.content, type=_Answer)
            values = [float(sample.value[1]) for sample in found.data.result]
        except (msgspec.MsgspecError, ValueError) as error:
            raise RemoteFailed("Prometheus answers what we cannot read.") from error
        if found.status != "success":
            raise RemoteFailed(f"Prometheus refuses the query: {found.error[:200]}")
        good = [value for value in values if math.isfinite(value)]
        return sum(good) if good else None

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()
