"""The authorization endpoint: who are you, and may this client know? Then a code, by redirect."""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import jinja2
import msgspec
from aiohttp import web

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput
from aiinfn_hub.local.iam.accounts import Directory
from aiinfn_hub.local.iam.claims import granted
from aiinfn_hub.local.iam.clients import Clients
from aiinfn_hub.local.iam.grants import Grant, Grants

SESSION, CSRF = "aiinfn-iam-session", "aiinfn-iam-csrf"
#: Cookies know no ports: with this path, the sessions of people on the same address never receive the IAM's.
COOKIE_PATH = "/authorize"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization request whose client and redirect_uri are known to be right."""

    client_id: str
    redirect_uri: str
    response_type: str = ""
    scope: str = ""
    state: str = ""
    nonce: str = ""
    prompt: str = ""
    code_challenge: str = ""
    code_challenge_method: str = ""

    def problem(self) -> tuple[str, str] | None:
        """What is wrong with it, as the client is told."""
        if self.response_type != "code":
            return "unsupported_response_type", "Only response_type=code is supported."
        if "openid" not in granted(self.scope):
            return "invalid_scope", "The scope openid is needed."
        if not self.code_challenge or self.code_challenge_method != "S256":
            return "invalid_request", "PKCE is needed: code_challenge, and code_challenge_method=S256."
        return None


class Login:
    """Handlers of /authorize: the login page, the session, the code, the logout."""

    def __init__(
        self,
        *,
        directory: Directory,
        grants: Grants,
        clients: Clients,
        session_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._grants = grants
        self._clients = clients
        self._session_s = session_s
        self._clock = clock
        self._sessions: dict[str, tuple[str, float]] = {}
        loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
        self._pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def routes(self) -> list[web.RouteDef]:
        """What the application serves."""
        return [
            web.get("/authorize", self.authorize, allow_head=False),
            web.post("/authorize", self.login),
            web.get("/authorize/logout", self.logout, allow_head=False),
        ]

    async def authorize(self, http: web.Request) -> web.Response:
        """GET: a code for somebody who is logged in, else the login page."""
        request = self._request(http.query)
        problem = request.problem()
        if problem is not None:
            return self._back(request, error=problem[0], error_description=problem[1])
        session = self._session(http)
        if session is not None and request.prompt != "login":
            return self._let_in(http, request, *session)
        if request.prompt == "none":
            return self._back(request, error="login_required", error_description="Nobody is logged in.")
        return self._page(http, request)

    async def login(self, http: web.Request) -> web.Response:
        """POST: the form of the login page."""
        request = self._request(http.query)
        form = {key: value for key, value in (await http.post()).items() if isinstance(value, str)}
        cookie = http.cookies.get(CSRF, "")
        if not cookie or not hmac.compare_digest(form.get("csrf", "").encode(), cookie.encode()):
            return self._page(http, request, "The form was too old. Please try again.", status=403)
        problem = request.problem()
        if problem is not None:
            return self._back(request, error=problem[0], error_description=problem[1])
        session = self._session(http)
        if session is not None and form.get("aup") == "signed":
            self._directory.change(self._directory.by_sub(session[0]).username, aup_signed=True)
            return self._with_code(request, *session)
        username = form.get("username", "").strip()
        try:
            account = await self._directory.check(username, form.get("password", ""))
        except AiinfnError as error:
            return self._page(http, request, error.message, username, status=error.status)
        if account is None:
            return self._page(http, request, "The username or the password is wrong.", username, status=401)
        now, key = self._clock(), secrets.token_urlsafe(24)
        self._sessions = {k: s for k, s in self._sessions.items() if now - s[1] < self._session_s}
        self._sessions[key] = (account.sub, now)
        response = self._let_in(http, request, account.sub, now)
        response.set_cookie(SESSION, key, path=COOKIE_PATH, httponly=True, samesite="Lax", max_age=int(self._session_s))
        return response

    async def logout(self, http: web.Request) -> web.Response:
        """GET: end the session here; the client's own is the client's."""
        self._sessions.pop(http.cookies.get(SESSION, ""), None)
        response = self._html("logout.html")
        response.del_cookie(SESSION, path=COOKIE_PATH)
        return response

    def _request(self, query: Mapping[str, str]) -> Request:
        """The request, if the client is ours; else nothing may be sent to its redirect_uri."""
        known = {key: query[key] for key in Request.__struct_fields__ if key in query}
        client = self._clients.get(known.get("client_id", ""))
        if client is None:
            raise InvalidInput("This client is not registered here.", details={"error": "invalid_client"})
        if known.get("redirect_uri") not in client.redirect_uris:
            raise Forbidden("This redirect_uri is not registered for the client.", details={"error": "invalid_request"})
        return Request(**known)

    def _session(self, http: web.Request) -> tuple[str, float] | None:
        """(sub, time of the login) of the browser's session, while its account is there."""
        session = self._sessions.get(http.cookies.get(SESSION, ""))
        if session is None or self._clock() - session[1] >= self._session_s:
            return None
        return session if self._directory.has(session[0]) else None

    def _let_in(self, http: web.Request, request: Request, sub: str, auth_time: float) -> web.Response:
        """The code; before it, the acceptable use policy where it is not signed."""
        if self._directory.by_sub(sub).aup_signed:
            return self._with_code(request, sub, auth_time)
        return self._page(http, request, template="aup.html")

    def _with_code(self, request: Request, sub: str, auth_time: float) -> web.Response:
        grant = Grant(
            id=uuid.uuid4().hex,
            sub=sub,
            client_id=request.client_id,
            scope=granted(request.scope),
            auth_time=auth_time,
            nonce=request.nonce,
        )
        code = self._grants.code(grant, redirect_uri=request.redirect_uri, challenge=request.code_challenge)
        return self._back(request, code=code)

    def _back(self, request: Request, **answer: str) -> web.Response:
        """A redirect to the client with the answer; 303, so that the password is not posted on."""
        answer |= {"state": request.state} if request.state else {}
        joint = "&" if urlsplit(request.redirect_uri).query else "?"
        return web.Response(
            status=303,
            headers={"Location": f"{request.redirect_uri}{joint}{urlencode(answer)}", "Cache-Control": "no-store"},
        )

    def _page(
        self,
        http: web.Request,
        request: Request,
        error: str = "",
        username: str = "",
        *,
        template: str = "login.html",
        status: int = 200,
    ) -> web.Response:
        csrf = http.cookies.get(CSRF) or secrets.token_urlsafe(24)
        target = urlsplit(request.redirect_uri)
        # Chromium applies form-action to the redirect that follows the form as well.
        response = self._html(
            template,
            form_action=f"{target.scheme}://{target.netloc}",
            status=status,
            action=http.rel_url,
            csrf=csrf,
            error=error,
            username=username,
            client=request.client_id,
        )
        response.set_cookie(CSRF, csrf, path=COOKIE_PATH, httponly=True, samesite="Lax")
        return response

    def _html(self, template: str, *, form_action: str = "", status: int = 200, **values: object) -> web.Response:
        nonce = secrets.token_urlsafe(12)
        text = self._pages.get_template(template).render(nonce=nonce, **values)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self' {form_action}; base-uri 'none'"
        headers = {
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=text, status=status, content_type="text/html", headers=headers)
