"""The spawn form of a server, from what the hub, the service and the last session know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.last_choice import LastChoice
from aiinfn_hub.hub.offers import OfferSource
from aiinfn_hub.hub.refusal import refusal
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions import quick
from aiinfn_hub.sessions.availability import Seen
from aiinfn_hub.sessions.form import Starts, render
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.records import again


class Server(Protocol):
    """What the form needs to know of the spawner."""

    user: Any
    handler: Any
    last: LastChoice
    offers: OfferSource
    user_options: Mapping[str, Any]

    @property
    def platform(self) -> Platform:
        """The catalogue."""

    @property
    def person(self) -> Person:
        """The owner."""

    def ticket(self, seen: Seen) -> TicketOffer | None:
        """This server's place in the queue."""


async def form_page(server: Server) -> str:
    """Filled in with what was just refused, what a link says, what waits in the queue, or what worked last.

    Raises:
        Refusal: the person may not use anything.
    """
    if not server.person.activities and server.handler is not None:
        # Who was told to ask for a group comes back when it is granted, not when JupyterHub asks again by itself.
        await server.handler.refresh_auth(server.user, force=True)
    platform, person = server.platform, server.person
    try:
        offered = choices(platform, person)
    except AiinfnError as error:
        raise refusal(error) from error
    seen = await server.offers.look()
    ticket = server.ticket(seen)
    attempt = server.last.take(server.user_options if ticket else None)
    buttons = quick.offered(platform, person, offered, seen, server.last.worked)
    links = again(platform, person, server.last.records)
    return render(platform, person, offered, seen=seen, attempt=attempt, ticket=ticket, starts=Starts(buttons, links))
