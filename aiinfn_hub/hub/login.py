"""The handlers of the login: out to the IAM, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any

from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from tornado.web import HTTPError

from aiinfn_hub.errors import AiinfnError


class Refused(HTTPError):
    """One of our errors as JupyterHub's error page shows it: `jupyterhub_message` is the text, escaped there."""

    def __init__(self, error: AiinfnError) -> None:
        super().__init__(error.status, reason=HTTPStatus(error.status).phrase)
        self.jupyterhub_message = str(error)


@contextmanager
def _shown() -> Iterator[None]:
    """Our errors as JupyterHub's error page."""
    try:
        yield
    except AiinfnError as error:
        raise Refused(error) from error


class IamLoginHandler(OAuthLoginHandler):
    """Sends the browser to the IAM, with a nonce beside the state and the PKCE challenge."""

    async def get(self) -> None:
        """Ask the IAM for its addresses first: the hub starts without it, a login cannot."""
        with _shown():
            endpoints = await self.authenticator.provider.endpoints()
            self.authenticator.authorize_url = endpoints.authorization_endpoint
            super().get()

    def authorize_redirect(self, *args: Any, extra_params: Mapping[str, Any], **kwargs: Any) -> None:
        """OAuthenticator's last step, where the parameters of this one login are known.

        The PKCE challenge is the hash of a random value in the browser's cookie, which is what a nonce should be
        (OpenID Connect Core, 15.5.2): no second cookie is needed.
        """
        extra = {**extra_params, "nonce": extra_params["code_challenge"]}
        super().authorize_redirect(*args, extra_params=extra, **kwargs)


class IamCallbackHandler(OAuthCallbackHandler):
    """Where the browser comes back to; a refusal becomes a page that says what to do."""

    async def get(self) -> None:
        """Log in."""
        with _shown():
            await super().get()

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Without the query: tornado would write the authorization code into the log."""
        if isinstance(value, HTTPError):
            self.log.warning("%d %s: %s", value.status_code, self.request.path, value.get_message() or value.__cause__)
        else:
            self.log.error("%s failed.", self.request.path, exc_info=(typ, value, tb))
