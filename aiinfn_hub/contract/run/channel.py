"""How a run speaks to the service: plain HTTP with a bearer token, tried again while it makes sense."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import ssl
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Tuple, TypeVar
from urllib.parse import quote

from .frames import Frame

_T = TypeVar("_T")
#: Seconds one request may take, and the longest pause between two attempts.
TIMEOUT_S = 30.0
MAX_PAUSE_S = 15.0
MAX_ANSWER = 64 * 1024**2


class Refused(Exception):
    """The service answered, and the answer is no; trying again would not help."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__("the service answered %d: %s" % (status, text))
        self.status = status


class Gone(Refused):
    """The run is over, or a newer attempt has taken its place."""


class Unreachable(Exception):
    """No usable answer, for as long as we were willing to ask."""


class Welcome(NamedTuple):
    """What an attempt is told at its start.

    `heartbeat_s` is how often to speak; `limit_s` the seconds that the person's code has, None for those of the spec;
    `restore` says that earlier work has been kept.
    """

    attempt: int
    heartbeat_s: float
    limit_s: Optional[float] = None
    restore: bool = False


class Orders(NamedTuple):
    """What the service wants now: the run to end, and the seconds that all of this attempt may take."""

    cancel: bool
    limit_s: Optional[float] = None


class Channel(Protocol):
    """What a run asks of its service. `patience_s` is how long to try again (0: once); see the exceptions above.

    `vitals` are what an attempt says of itself: `Vitals.report`.
    """

    def exchange(self, capability: str, pod_uid: str, patience_s: float, /) -> Welcome:
        """Trade the capability for the working token."""

    def fetch(self, sha256: str, patience_s: float, /) -> bytes:
        """The bytes of an input, which have this hash."""

    def frames(self, batch: List[Frame], vitals: Dict[str, Any], /) -> Tuple[int, Orders]:
        """Deliver frames, once: the next sequence number that is expected, and what the service wants."""

    def heartbeat(self, vitals: Dict[str, Any], /) -> Orders:
        """Say that the run is alive, once."""

    def keep_piece(self, sha256: str, data: bytes, patience_s: float, /) -> None:
        """Send a piece of a checkpoint."""

    def keep_checkpoint(self, about: Dict[str, Any], patience_s: float, /) -> None:
        """Say that all pieces of a checkpoint are there: {"path", "pieces": [{"sha256", "size"}]}."""

    def checkpoints(self, patience_s: float, /) -> List[Dict[str, Any]]:
        """What earlier attempts have kept, the latest first: the same, with "attempt"."""

    def piece(self, sha256: str, patience_s: float, /) -> bytes:
        """A piece of one of these, which has this hash."""

    def deliver(self, name: str, codec: str, data: bytes, summary: str, patience_s: float, /) -> None:
        """Deliver one output."""

    def result(self, report: Dict[str, Any], patience_s: float, /) -> None:
        """Say how the run ended."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    # urllib would send the token along to wherever it is told to go.
    def redirect_request(self, *_arguments: Any, **_options: Any) -> None:
        return None


class HttpChannel:
    """The runner listener of the service.

    Args:
        url: base address, without the run.
        run: identifier of the run.
        sleep: pauses between attempts.
    """

    def __init__(self, url: str, run: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._base = "%s/runs/%s" % (url.rstrip("/"), run)
        self._token = ""
        self._sleep = sleep
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )

    def exchange(self, capability: str, pod_uid: str, patience_s: float) -> Welcome:
        """Trade the capability for the working token."""
        self._token = capability
        answer = self._json("POST", "/exchange", {"pod_uid": pod_uid}, patience_s)
        self._token = str(answer["token"])
        heartbeat_s, restore = float(answer.get("heartbeat_s", 5)), bool(answer.get("restore"))
        return Welcome(int(answer.get("attempt", 1)), heartbeat_s, _seconds(answer), restore)

    def fetch(self, sha256: str, patience_s: float) -> bytes:
        """The bytes of an input, with the hash that they must have."""
        return self._bytes("/inputs/", sha256, patience_s)

    def frames(self, batch: List[Frame], vitals: Dict[str, Any]) -> Tuple[int, Orders]:
        """Deliver frames, once: the next sequence number that is expected, and what the service wants."""
        answer = self._json("POST", "/frames", {"frames": batch, **vitals})
        return int(answer["next"]), Orders(bool(answer.get("cancel")), _seconds(answer))

    def heartbeat(self, vitals: Dict[str, Any]) -> Orders:
        """Say that the run is alive."""
        answer = self._json("POST", "/heartbeat", vitals)
        return Orders(bool(answer.get("cancel")), _seconds(answer))

    def deliver(self, name: str, codec: str, data: bytes, summary: str, patience_s: float) -> None:
        """Deliver one output."""
        headers = {
            "X-Aiinfn-Codec": codec,
            "X-Aiinfn-Sha256": hashlib.sha256(data).hexdigest(),
            # The name of a field of an array may hold anything.
            "X-Aiinfn-Summary": " ".join(summary.encode("ascii", "replace").decode("ascii").split())[:200],
            "Content-Type": "application/octet-stream",
        }
        self._patiently(lambda: self._once("PUT", "/outputs/" + quote(name), data, headers), patience_s)

    def result(self, report: Dict[str, Any], patience_s: float) -> None:
        """Say how the run ended."""
        self._json("POST", "/result", report, patience_s)

    def keep_piece(self, sha256: str, data: bytes, patience_s: float) -> None:
        """Send a piece of a checkpoint."""
        headers = {"Content-Type": "application/octet-stream"}
        self._patiently(lambda: self._once("PUT", "/pieces/" + sha256, data, headers), patience_s)

    def keep_checkpoint(self, about: Dict[str, Any], patience_s: float) -> None:
        """Say that all pieces of a checkpoint are there."""
        self._json("POST", "/checkpoints", about, patience_s)

    def checkpoints(self, patience_s: float) -> List[Dict[str, Any]]:
        """What earlier attempts have kept, the latest first."""
        found = self._patiently(lambda: _decoded(self._once("GET", "/checkpoints")), patience_s)
        return list(found.get("checkpoints", ()))

    def piece(self, sha256: str, patience_s: float) -> bytes:
        """A piece of one of these, with the hash that it must have."""
        return self._bytes("/pieces/", sha256, patience_s)

    def _bytes(self, path: str, sha256: str, patience_s: float) -> bytes:
        def attempt() -> bytes:
            data = self._once("GET", path + sha256)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise Unreachable("%s came damaged" % sha256)
            return data

        return self._patiently(attempt, patience_s)

    def _json(self, method: str, path: str, body: Dict[str, Any], patience_s: float = 0.0) -> Dict[str, Any]:
        data = json.dumps(body).encode("ascii")

        headers = {"Content-Type": "application/json"}
        return self._patiently(lambda: _decoded(self._once(method, path, data, headers)), patience_s)

    def _patiently(self, attempt: Callable[[], _T], patience_s: float) -> _T:
        deadline = time.monotonic() + patience_s
        pause = 0.25
        while True:
            try:
                return attempt()
            except Unreachable:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise
            self._sleep(min(left_s, pause * random.uniform(0.5, 1.0)))  # noqa: S311  spreads load, hides nothing
            pause = min(2 * pause, MAX_PAUSE_S)

    def _once(
        self, method: str, path: str, data: Optional[bytes] = None, headers: Optional[Dict[str, str]] = None
    ) -> bytes:
        request = urllib.request.Request(self._base + path, data=data, headers=headers or {}, method=method)  # noqa: S310
        # Not in `headers`: this one is never sent on to another host.
        request.add_unredirected_header("Authorization", "Bearer " + self._token)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read(MAX_ANSWER)
                return content
        except urllib.error.HTTPError as error:
            # 429 of a PUT is a full quota, which time does not help; of anything else, too many requests.
            again = error.code in (408, 425, 429) and not (error.code == 429 and method == "PUT")
            raise _refusal(error.code, error.read(2000).decode("utf-8", "replace"), again=again) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("the service does not answer: %s" % error) from error


def _decoded(answer: bytes) -> Dict[str, Any]:
    try:
        decoded = json.loads(answer.decode("utf-8") or "{}")
    except ValueError as error:
        raise Unreachable("the answer is no JSON") from error
    return decoded if isinstance(decoded, dict) else {}


def _seconds(answer: Dict[str, Any]) -> Optional[float]:
    found = answer.get("limit_s")
    return None if found is None else float(found)


def _refusal(status: int, text: str, *, again: bool) -> Exception:
    if again or status >= 500:
        return Unreachable("the service answered %d" % status)
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        text = text[:200]
    return (Gone if status in (409, 410) else Refused)(status, text)
