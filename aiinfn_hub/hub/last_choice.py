"""What a server was last started with: what its form is filled in with, and what starts with one click.

JupyterHub stores the options of a start before it is tried, also those that cannot work. What worked is ours to keep,
in the state of the server, which outlives its end and restarts of the hub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions import quick
from aiinfn_hub.sessions.form import Attempt, understood
from aiinfn_hub.sessions.profiles import choices

_KEY = "aiinfn_worked"


class LastChoice:
    """Of one server.

    Attributes:
        worked: the options of its last session that ran; empty before the first.
        attempt: what a link says or was just refused, until the form has shown it.
    """

    def __init__(self) -> None:
        self.worked: dict[str, Any] = {}
        self.attempt: Attempt | None = None

    def state(self) -> dict[str, Any]:
        """What JupyterHub is to keep."""
        return {_KEY: self.worked} if self.worked else {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what it kept."""
        self.worked = dict(state.get(_KEY) or {})

    def take(self, waiting: Mapping[str, Any] | None) -> Attempt:
        """What the form is filled in with: once a link or a mistake, else what waits in the queue, else what worked."""
        attempt, self.attempt = self.attempt, None
        return attempt or Attempt(self.worked if waiting is None else waiting)

    def read(
        self, platform: Platform, person: Person, fields: Mapping[str, Sequence[Any]]
    ) -> tuple[dict[str, Any], AiinfnError | None]:
        """The options of a posted form, or of its button, and what is wrong with them."""
        if quick.FIELD not in fields:
            return understood(platform, person, fields)
        try:
            return quick.chosen(choices(platform, person), self.worked, fields), None
        except AiinfnError as error:
            return {}, error
