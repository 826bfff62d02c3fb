"""Who did what, to whom, when and why: acts that somebody may have to answer for. Kept in the database, append-only.

Names, groups, sentences and numbers only: nothing with which one could do anything.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from aiinfn_hub.store.engine import insert
from aiinfn_hub.store.tables import audit

What = Literal[
    "login",  # somebody came in
    "login-refused",  # and somebody did not
    "rights",  # groups or administration changed, by the IAM's word
    "standing",  # the IAM, or the platform file, does not let somebody in any more, or does not answer
    "session-started",  # the hub let the pod of a session run
    "session-stopped",  # and has stopped it, or found it gone
    "token-issued",  # a session has a token of the IAM
    "token-taken",  # and has it no more
    "hub-token",  # a token of JupyterHub was made or revoked
    "extended",  # a session may last longer
    "drain",  # a session is to end: its person lost the right to it, its time is over, nobody uses it
    "drain-off",  # and may stay after all
    "stopped",  # and has been stopped
    "held",  # a ticket or a job of such a person was put aside
    "held-off",  # and taken up again
    "admin",  # somebody changed what is somebody else's
]
Fact = str | int | float | bool | list[str]


def _new_id() -> str:
    return uuid.uuid4().hex


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act.

    Attributes:
        what: its kind.
        actor: who did it: a username, `service NAME`, or "" for the platform itself.
        about: whom it is about; "" where nobody known.
        why: a sentence.
        done: False for what was refused.
        at: Unix seconds.
        facts: more, for programs.
        id: so that an act which is sent twice is kept once.
    """

    what: What
    actor: str = ""
    about: str = ""
    why: str = ""
    done: bool = True
    at: float = msgspec.field(default_factory=time.time)
    facts: Mapping[str, Fact] = {}
    id: str = msgspec.field(default_factory=_new_id)

    @property
    def line(self) -> str:
        """One line of JSON for a log; line breaks in it are escaped."""
        return msgspec.json.encode(self).decode()


def record(connection: sa.Connection, acts: Iterable[Act]) -> None:
    """Keep these; those that are there already stay as they are."""
    rows = [msgspec.structs.asdict(act) for act in acts]
    if rows:
        connection.execute(insert(connection, audit).on_conflict_do_nothing(), rows)


def acts(
    connection: sa.Connection,
    *,
    person: str | None = None,
    what: str | None = None,
    before: float | None = None,
    limit: int = 100,
) -> list[Act]:
    """The newest first.

    Args:
        connection: to the database.
        person: who did it, or whom it is about.
        what: of this kind only.
        before: Unix seconds; the next page begins where one ended.
        limit: at most so many.
    """
    query = sa.select(audit).order_by(audit.c.at.desc(), audit.c.id).limit(limit)
    if person is not None:
        query = query.where(sa.or_(audit.c.actor == person, audit.c.about == person))
    if what is not None:
        query = query.where(audit.c.what == what)
    if before is not None:
        query = query.where(audit.c.at < before)
    rows: Iterable[Any] = connection.execute(query).mappings()
    return [Act(**row) for row in rows]
