"""The base of every handler of the REST API: who calls, JSON in, JSON out, errors in one shape."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, TypeVar

import msgspec
from tornado.web import HTTPError, RequestHandler

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput, all_errors
from aiinfn_hub.identity.person import Caller

T = TypeVar("T")
D = TypeVar("D")
#: `settings["identify"]` of the application: tells who makes a request, or raises `NotAuthenticated`.
Identify = Callable[[RequestHandler], Awaitable[Caller]]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class ApiHandler(RequestHandler):
    """A route for known callers only; `self.caller` is set before the method runs."""

    caller: Caller

    def set_default_headers(self) -> None:
        """Answers are about one person and one moment: never cached, never guessed to be a page."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

    async def prepare(self) -> None:
        """Find out who calls, then whether a page of ours sent it.

        Raises:
            NotAuthenticated: nobody known.
            Forbidden: a cookie came along with a request that changes something, without the XSRF token.
        """
        identify: Identify = self.settings["identify"]
        self.caller = await identify(self)
        if self.request.method not in SAFE_METHODS:
            try:
                self.check_xsrf_cookie()
            except HTTPError as error:
                raise Forbidden(
                    "The request came with a cookie, but without the XSRF token of our pages.",
                    hint="Send the _xsrf cookie's value as X-XSRFToken, or use a token in the Authorization header.",
                ) from error

    def check_xsrf_cookie(self) -> None:
        """Let a token in a header pass: no page of another site can send one. Cookies are sent by any page.

        JupyterHub's HubOAuth replaces the check of tornado's own class, so this one must end in `super()`.
        """
        scheme = self.request.headers.get("Authorization", "").partition(" ")[0].lower()
        if scheme not in {"token", "bearer"}:
            super().check_xsrf_cookie()

    def read(self, kind: type[T]) -> T:
        """The JSON body as `kind`.

        Raises:
            InvalidInput: the body is no JSON, or not of that shape; says where.
        """
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"The body of the request cannot be used: {error}.") from error

    def send(self, value: Any, status: int = 200) -> None:
        """Finish with `value` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def argument(self, name: str, default: D, kind: Callable[[str], T]) -> T | D:
        """The query argument as `kind` (str, int, float, bool, or any function of a text), or `default`.

        Raises:
            InvalidInput: it is there, but is none.
        """
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        try:
            value: Any = _BOOLEANS[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise _bad_argument(name, text, kind) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise _bad_argument(name, text, kind)
        return value  # type: ignore[no-any-return]  # bool is a Callable[[str], bool] that we do not call

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error as JSON with code, message and hint; what was not meant to happen says nothing of the inside."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(error, AiinfnError):
            error = _foreign(status_code, error)
        self.set_status(error.status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(error.to_json()))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Our own errors are answers, which the access log counts; the rest is logged with its traceback."""
        if not isinstance(value, AiinfnError) or type(value) is AiinfnError:
            super().log_exception(typ, value, tb)


def _bad_argument(name: str, text: str, kind: Callable[[str], Any]) -> InvalidInput:
    wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "usable here")  # type: ignore[call-overload]  # any callable can be looked up
    return InvalidInput(f"The argument {name}={text[:80]!r} is not {wanted}.")


def _foreign(status: int, error: BaseException | None) -> AiinfnError:
    """Tornado's own errors (no such method, bad encoding) by status; a bug of ours as a plain 500."""
    if status >= 500:
        return AiinfnError(
            "The service could not answer this.", hint="Try again in a moment; the service's log says more."
        )
    kind = next((one for one in all_errors() if one.status == status), InvalidInput)
    reason = error.reason if isinstance(error, HTTPError) and error.reason else HTTPStatus(status).phrase
    converted = kind(f"{reason}.")
    converted.status = status  # type: ignore[misc]  # a 405 has no class of its own, but stays a 405
    return converted
