"""Who may speak to the server: whoever has the token, from a program on this machine (security rule 18)."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.store import encode


def answer(body: bytes, code: int = 200) -> web.Response:
    """A response of JSON that nobody caches."""
    headers = {"Cache-Control": "no-cache, private", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, status=code, content_type="application/json", headers=headers)


def refusal(error: AiinfnError) -> web.Response:
    """An error as a `Status`."""
    body = status.to_status(error)
    return answer(encode(body), body["code"])


def errors(log: logging.Logger) -> Middleware:
    """Turns errors into `Status` objects; what nobody expected is logged and answered with 500."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except AiinfnError as error:
            return refusal(error)
        except web.HTTPRequestEntityTooLarge:
            return refusal(status.too_large(request.client_max_size))
        except web.HTTPException:
            return refusal(status.no_such_path())
        except (ConnectionError, TimeoutError):
            raise  # the client has gone
        except RecursionError:
            return refusal(status.bad_request("the body is nested too deeply"))
        except Exception as error:  # the boundary of a request
            log.exception("%s %s failed", request.method, request.path)
            return refusal(AiinfnError(f"Internal error occurred: {type(error).__name__}"))

    return middleware


def guard(token: str, hosts: Callable[[], frozenset[str]]) -> Middleware:
    """Lets in requests with the token, sent to one of our own names, and from no web page.

    Args:
        token: the bearer token.
        hosts: the values of the `Host` header that are ours; any other is a name that somebody pointed at this machine.
    """
    wanted = f"Bearer {token}".encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Host", "").lower() not in hosts():
            raise status.denied("Forbidden: this Host is not served here")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in {f"https://{host}" for host in hosts()}:
            raise status.denied("Forbidden: no requests from web pages")
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, wanted):
            raise status.unauthorized()
        return await handler(request)

    return middleware
