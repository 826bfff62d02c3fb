"""POSIX users at the hub: for the pods of sessions, and for the service, whose jobs run as the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
from tornado import web

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput
from aiinfn_hub.hub.outbox import ServiceHandler
from aiinfn_hub.identity.hubapi import PosixUser
from aiinfn_hub.identity.person import Person
from aiinfn_hub.identity.uids import Uids


async def numbered(spawner: Any) -> Person:
    """The owner of a session that starts, with the POSIX user where the platform file gives people one.

    Raises:
        InvalidInput: another authenticator than ours is used, which has no numbers.
        Forbidden: the person has none yet, and the IAM gives them out.
        Unavailable: the file of the numbers cannot be used, or every number is taken.
    """
    person: Person = spawner.person
    posix = spawner.platform.posix
    if posix is None:
        return person
    uids: Uids | None = getattr(spawner.authenticator, "uids", None)
    if uids is None:
        raise InvalidInput("The platform file has posix, whose user numbers only IamAuthenticator knows.")
    return replace(person, uid=await asyncio.to_thread(uids.of, person.name, posix))


class PosixHandler(ServiceHandler):
    """GET /hub/aiinfn/posix?person=NAME, for the service alone."""

    async def get(self) -> None:
        """A `PosixUser`; its `uid` is null where people have none.

        Raises:
            web.HTTPError: the caller has not the scope, there is no such user, or the number cannot be had.
        """
        self.prepare_service()
        name = self.get_query_argument("person")
        user = self.find_user(name)
        if user is None:
            raise web.HTTPError(404, f"There is no user {name!r}.")
        try:
            person = await numbered(user.spawner)
        except Forbidden as error:  # 403 says that the caller may not ask
            raise web.HTTPError(409, error.message) from error
        except AiinfnError as error:
            raise web.HTTPError(503, error.message) from error
        self.finish(msgspec.json.encode(PosixUser(uid=person.uid)))


def handlers() -> list[tuple[Any, ...]]:
    """For `c.JupyterHub.extra_handlers`."""
    return [(r"/aiinfn/posix", PosixHandler)]
