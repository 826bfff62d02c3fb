"""The handlers of the login: out to the IAM, and back."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

from jupyterhub.utils import url_path_join
from markupsafe import Markup, escape
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from tornado.web import HTTPError

from aiinfn_hub.errors import AiinfnError, Forbidden
from aiinfn_hub.identity.standing import Standing

#: Tells the login page why somebody is not logged in any more; its value is a word of `REFUSALS`, and not about whom.
WHY = "aiinfn-standing"


def tell_login_page(handler: Any, standing: Standing) -> None:
    """For the page to which this request leads; forgotten after ten minutes."""
    handler.set_cookie(WHY, standing.reason, path=handler.hub.base_url, max_age=600, samesite="Lax")


class Refused(HTTPError):
    """One of our errors as JupyterHub's error page shows it.

    Args:
        again: where somebody else can log in: the IAM remembers who did, and would come back with the same person.
    """

    def __init__(self, error: AiinfnError, again: str) -> None:
        super().__init__(error.status, reason=HTTPStatus(error.status).phrase)
        text = Markup("{} <br><a href='{}'>Log in as somebody else</a>")
        self.jupyterhub_html_message = text.format(error, again) if isinstance(error, Forbidden) else escape(error)


class IamLoginHandler(OAuthLoginHandler):
    """Sends the browser to the IAM, with a nonce beside the state and the PKCE challenge."""

    async def get(self) -> None:
        """Ask the IAM for its addresses first: the hub starts without it, a login cannot."""
        try:
            endpoints = await self.authenticator.provider.endpoints()
        except AiinfnError as error:
            raise Refused(error, "") from error
        self.authenticator.authorize_url = endpoints.authorization_endpoint
        super().get()

    def authorize_redirect(self, *args: Any, extra_params: Mapping[str, Any], **kwargs: Any) -> None:
        """OAuthenticator's last step, where the parameters of this one login are known.

        The PKCE challenge is the hash of a random value in the browser's cookie, which is what a nonce should be
        (OpenID Connect Core, 15.5.2): no second cookie is needed.
        """
        extra = {**extra_params, "nonce": extra_params["code_challenge"]}
        if self.get_query_argument("prompt", "") == "login":
            extra["prompt"] = "login"
        kwargs["scope"] = self.authenticator.login_scope
        super().authorize_redirect(*args, extra_params=extra, **kwargs)


class IamCallbackHandler(OAuthCallbackHandler):
    """Where the browser comes back to; a refusal becomes a page that says what to do."""

    async def get(self) -> None:
        """Log in."""
        try:
            await super().get()
        except AiinfnError as error:
            raise Refused(error, url_path_join(self.hub.base_url, "oauth_login?prompt=login")) from error

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Without the query: tornado would write the authorization code into the log."""
        if isinstance(value, HTTPError):
            self.log.warning("%d %s: %s", value.status_code, self.request.path, value.get_message() or value.__cause__)
        else:
            self.log.error("%s failed.", self.request.path, exc_info=(typ, value, tb))
