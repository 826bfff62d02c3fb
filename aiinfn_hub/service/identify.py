"""Who makes a request: JupyterHub says who the token or the cookie belongs to, and what groups they are in now."""

from __future__ import annotations

import hmac
from typing import Any

from jupyterhub.services.auth import HubOAuth
from tornado.web import RequestHandler

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import Forbidden, NotAuthenticated
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.identity.person import Caller, Person, person_of
from aiinfn_hub.identity.roles import narrowed
from aiinfn_hub.service.config import ServiceConfig

#: What the hub may ask, whoever it asks for.
FOR_THE_HUB = (("GET", "/api/offer"), ("GET", "/api/image"), ("POST", "/api/reservations"))
#: And for nobody in particular.
FOR_ALL = ("GET", "/api/stock")
#: Who acts is asked for anew; what is read, or put again and again, may be some seconds behind.
ACTS = frozenset({"POST", "DELETE"})


def hub_oauth(config: ServiceConfig, token: str) -> HubOAuth:
    """JupyterHub's own client for services, told what a hub-managed service would find in its environment."""
    return HubOAuth(
        api_token=token,
        api_url=config.hub_api_url,
        base_url=config.prefix + "/",
        hub_prefix=config.hub_prefix,
        oauth_client_id=f"service-{config.name}",
        oauth_redirect_uri=f"{config.prefix}/oauth_callback",
        access_scopes={"access:services", f"access:services!service={config.name}"},
        cache_max_age=30,
    )


class Identify:
    """The application's `identify`: from a request to a `Caller`, or an error."""

    def __init__(self, auth: HubOAuth, hub: HubApi, platform: Platform, hub_key: str) -> None:
        self.auth = auth
        self.hub = hub
        self.platform = platform
        self._hub_key = hub_key

    async def __call__(self, handler: RequestHandler) -> Caller:
        """The person behind the request, with the groups of now; a token has no more rights than its scopes.

        Raises:
            NotAuthenticated: no token or cookie, or one that JupyterHub does not know.
            Forbidden: the token may not use this service, or is no person's.
        """
        if self._is_hub(handler):
            return await self._on_behalf(handler)
        model: dict[str, Any] | None = await self.auth.get_user(handler, sync=False)
        if model is None:
            raise NotAuthenticated(
                "JupyterHub does not know who this is.",
                hint="Log in again, or restart the session if it is an old one.",
            )
        if not self.auth.check_scopes(self.auth.access_scopes, model):
            raise Forbidden("This token may not use the service.", hint="It lacks access:services!service=aiinfn.")
        if model.get("kind", "user") != "user":
            raise Forbidden(f"{model['name']} is a service, not a person.")
        person = await self.person(model["name"], fresh=handler.request.method in ACTS)
        if self.auth.get_token(handler, in_cookie=False):
            person = narrowed(self.platform, person, model["scopes"])
        return Caller(person, _server_of(model))

    async def person(self, name: str, *, fresh: bool = False) -> Person:
        """What the platform grants to this user of the hub; `fresh` asks for the groups of this moment."""
        user = await self.hub.user(name, fresh=fresh)
        return person_of(self.platform, user.name, user.groups, admin=user.admin)

    def _is_hub(self, handler: RequestHandler) -> bool:
        scheme, _, key = handler.request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and hmac.compare_digest(key.encode(), self._hub_key.encode())

    async def _on_behalf(self, handler: RequestHandler) -> Caller:
        """What the hub process may ask, and nothing else; it says for whom with `person`."""
        name, path = handler.get_query_argument("person", ""), handler.request.path
        if handler.request.method == FOR_ALL[0] and path.endswith(FOR_ALL[1]):
            return Caller(Person("", frozenset(), ()), None, hub=True)
        if not name or not any(handler.request.method == method and path.endswith(end) for method, end in FOR_THE_HUB):
            raise Forbidden("The hub may only ask for a person's offer and an image, and reserve for one.")
        return Caller(await self.person(name), None, hub=True)


def _server_of(model: dict[str, Any]) -> str | None:
    """Which session the token belongs to: it may open that server and no other. A person's own tokens open all."""
    begin = f"access:servers!server={model['name']}/"
    opens = {scope.removeprefix(begin) for scope in model.get("scopes", ()) if scope.startswith(begin)}
    return opens.pop() if len(opens) == 1 else None
