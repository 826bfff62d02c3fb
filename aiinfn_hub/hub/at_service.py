"""The hub's way to the service: for one person, with the hub's key, in time or not at all."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import url_concat

from aiinfn_hub.errors import Unavailable, from_json


@dataclass(frozen=True)
class AtService:
    """Asks the service about one person.

    Attributes:
        person: the person's name.
        service_url: where the service is; "" if there is none.
        key_file: holds the key by which the hub speaks to the service; read at each question, because it is rotated.
    """

    person: str
    service_url: str
    key_file: Path

    async def ask(
        self, path: str, *, deadline_s: float, body: bytes | None = None, passed: Collection[int] = (429,)
    ) -> bytes:
        """The answer to a GET, or with a body to a POST.

        Args:
            path: below its API, with a query if there is one.
            deadline_s: seconds.
            body: of a POST.
            passed: statuses whose errors are raised as the service says them.

        Raises:
            Unavailable: there is no service, or it does not answer as ours does.
            AiinfnError: one of those that are passed on.
        """
        if not self.service_url:
            raise Unavailable("no service is configured")
        try:
            key = self.key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unavailable("the hub has no key for the service") from error
        try:
            # A redirect would carry the key to wherever it points.
            answer = await AsyncHTTPClient().fetch(
                url_concat(f"{self.service_url.rstrip('/')}/api/{path}", {"person": self.person}),
                method="GET" if body is None else "POST",
                body=body,
                headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
                connect_timeout=deadline_s,
                request_timeout=deadline_s,
                follow_redirects=False,
            )
        except HTTPClientError as error:
            raise _refused(error, passed) from error
        except OSError as error:
            raise Unavailable("the service does not answer") from error
        return answer.body


def _refused(error: HTTPClientError, passed: Collection[int]) -> Exception:
    # 599 is tornado's own number for "no answer".
    if error.code == 599 or error.response is None:
        return Unavailable("the service does not answer")
    try:
        said = msgspec.json.decode(error.response.body)
    except msgspec.MsgspecError:
        said = None
    ours = isinstance(said, dict) and "error" in said and error.code in passed
    return from_json(error.code, said) if ours else Unavailable(f"the service answers {error.code}")
