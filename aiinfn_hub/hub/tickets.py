"""Taking a session out of the queue: `DELETE /hub/aiinfn/tickets/USER/SERVER?uid=UID`.

A handler of the hub, for the pages of the hub: a browser cannot send their XSRF token to a service. The service has
such a route too, for its own pages and for programs.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from aiinfn_hub.errors import AiinfnError


class TicketHandler(APIHandler):
    """For whoever may stop the server: its owner, or an operator."""

    @needs_scope("delete:servers")
    async def delete(self, user_name: str, server_name: str = "") -> None:
        """Delete the ticket of that uid, so that a page which is old does not cancel what was asked for since.

        Raises:
            web.HTTPError: there is no such ticket, or Kubernetes does not answer.
        """
        user = self.find_user(user_name)
        if user is None or server_name not in user.orm_spawners:
            raise web.HTTPError(404, "There is no such server.")
        try:
            found = await user.spawners[server_name].objects.withdraw(self.get_query_argument("uid"))
        except AiinfnError as error:
            raise web.HTTPError(error.status, error.message) from error
        if not found:
            raise web.HTTPError(404, "This session is not in the queue any more.")
        self.log.info("%s took %s/%s out of the queue.", self.current_user.name, user_name, server_name)
        self.set_status(204)


def handlers() -> list[tuple[Any, ...]]:
    """For `c.JupyterHub.extra_handlers`."""
    return [(r"/aiinfn/tickets/([^/]+)/([^/]*)", TicketHandler)]
