"""The endpoints that programs use: tokens, userinfo, introspection, revocation."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotAuthenticated
from aiinfn_hub.local.iam import claims
from aiinfn_hub.local.iam.accounts import Account, Directory
from aiinfn_hub.local.iam.claims import granted
from aiinfn_hub.local.iam.clients import Client, Clients
from aiinfn_hub.local.iam.grants import Access, Grant, Grants, Lifetimes, refused
from aiinfn_hub.local.iam.keys import SigningKeys

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a name


class Endpoints:
    """Handlers of /token, /userinfo, /jwk, /introspect, /revoke."""

    def __init__(
        self,
        issuer: Callable[[], str],
        *,
        directory: Directory,
        grants: Grants,
        clients: Clients,
        keys: SigningKeys,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._directory = directory
        self._grants = grants
        self._clients = clients
        self._keys = keys
        self._lifetimes = lifetimes
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """What the application serves."""
        return [
            web.post("/token", self.token),
            web.get("/userinfo", self.userinfo),
            web.post("/userinfo", self.userinfo),
            web.get("/jwk", self.jwk),
            web.post("/introspect", self.introspect),
            web.post("/revoke", self.revoke),
        ]

    async def token(self, http: web.Request) -> web.Response:
        """POST: a code, a refresh token or another access token for an access token."""
        form, client = await self._form(http)
        match form.get("grant_type"):
            case "authorization_code":
                answer = self._from_code(form, client)
            case "refresh_token":
                answer = self._from_refresh(form, client)
            case kind if kind == EXCHANGE and client.exchange and self._clients.exchanging:
                answer = self._from_exchange(form, client)
            case _:
                raise refused("unsupported_grant_type", "Use a grant type that is registered for this client.")
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def userinfo(self, http: web.Request) -> web.Response:
        """GET or POST: the claims of whom the access token is about, as they are now."""
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        access = self._alive(token) if scheme.lower() == "bearer" else None
        if access is None:
            raise NotAuthenticated("The access token is no longer valid.", details={"error": "invalid_token"})
        return web.json_response(claims.of_person(self._account(access.grant), access.scope))

    async def jwk(self, _http: web.Request) -> web.Response:
        """GET: the public keys."""
        return web.json_response(self._keys.public())

    async def introspect(self, http: web.Request) -> web.Response:
        """POST: whether an access token is alive, and what it is for (RFC 7662)."""
        form, _ = await self._form(http)
        access = self._alive(form.get("token", ""))
        try:
            account = None if access is None else self._account(access.grant)
        except InvalidInput:  # gone, or not active
            account = None
        if access is None or account is None:
            return web.json_response({"active": False})
        facts = {"sub": account.sub, "username": account.username, "client_id": access.grant.client_id}
        facts |= {"scope": " ".join(access.scope), "iss": self._issuer()}
        return web.json_response({"active": True, "exp": int(access.expires)} | facts | _audience(access.audience))

    async def revoke(self, http: web.Request) -> web.Response:
        """POST: end a token; an unknown one is no mistake (RFC 7009)."""
        token = (await self._form(http))[0].get("token", "")
        self._grants.revoke(token, self._jti(token))
        return web.json_response({})

    async def _form(self, http: web.Request) -> tuple[Mapping[str, str], Client]:
        form = {key: value for key, value in (await http.post()).items() if isinstance(value, str)}
        return form, self._clients.check(http.headers.get("Authorization", ""), form)

    def _from_code(self, form: Mapping[str, str], client: Client) -> dict[str, Any]:
        grant = self._grants.redeem(
            form.get("code", ""),
            client_id=client.id,
            redirect_uri=form.get("redirect_uri", ""),
            verifier=form.get("code_verifier", ""),
        )
        answer = self._tokens(grant, grant.scope, nonce=grant.nonce)
        if "offline_access" in grant.scope:
            answer["refresh_token"] = self._grants.new_refresh(grant)
        return answer

    def _from_refresh(self, form: Mapping[str, str], client: Client) -> dict[str, Any]:
        text = form.get("refresh_token", "")
        grant = self._grants.refreshable(text, client.id)
        wanted = tuple(form.get("scope", "").split()) or grant.scope
        if not set(wanted) <= set(grant.scope):
            raise refused("invalid_scope", "A refresh can only narrow the scope.")
        self._entitled(grant)
        self._grants.end_access(grant)
        return self._tokens(grant, wanted, nonce="") | {"refresh_token": text}

    def _from_exchange(self, form: Mapping[str, str], client: Client) -> dict[str, Any]:
        """RFC 8693 as INDIGO IAM has it: impersonation only.

        The new token belongs to a grant of its own: what a refresh of the first login ends are the access tokens of its
        refresh token, and this one has none.
        """
        if "actor_token" in form:
            raise refused("invalid_request", "Delegation not supported")
        subject = self._alive(form.get("subject_token", ""))
        if subject is None:
            raise refused("invalid_grant", "The subject token is not valid.")
        narrower = " ".join(scope for scope in subject.scope if scope != "offline_access")
        scope = granted(form.get("scope", "") or narrower)
        if "offline_access" in scope and subject.grant.client_id == client.id:
            raise refused("access_denied", "A client cannot exchange a token of its own for one with offline_access.")
        if not set(scope) <= set(subject.scope) | {"offline_access"}:
            raise refused("invalid_scope", "An exchange cannot widen the scope.")
        grant = msgspec.structs.replace(subject.grant, id=uuid.uuid4().hex, client_id=client.id, scope=scope)
        audience = tuple(form.get("audience", "").split())
        answer = self._tokens(grant, scope, nonce="", audience=audience) | {"issued_token_type": ACCESS_TOKEN}
        if "offline_access" in scope:
            answer["refresh_token"] = self._grants.new_refresh(grant)
        return answer

    def _tokens(
        self, grant: Grant, scope: tuple[str, ...], *, nonce: str, audience: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        account, now, jti = self._entitled(grant), self._clock(), uuid.uuid4().hex
        scope = tuple(one for one in scope if one not in account.denied_scopes)
        expires = self._grants.new_access(jti, grant, scope, audience)
        issued = {"iss": self._issuer(), "iat": int(now), "nbf": int(now)}
        of_access = claims.of_access_token(account, scope) | {"client_id": grant.client_id} | _audience(audience)
        answer = {
            "access_token": self._keys.sign(issued | of_access | {"jti": jti, "exp": int(expires)}),
            "token_type": "Bearer",
            "expires_in": int(expires - now),
            "scope": " ".join(scope),
        }
        if "openid" in scope:
            about = {"aud": grant.client_id, "exp": int(now + self._lifetimes.id_token), "jti": uuid.uuid4().hex}
            about |= {"auth_time": int(grant.auth_time)} | ({"nonce": nonce} if nonce else {})
            answer["id_token"] = self._keys.sign(issued | claims.of_person(account, scope) | about)
        return answer

    def _entitled(self, grant: Grant) -> Account:
        """The account, if it may have a token."""
        account = self._account(grant)
        if not account.aup_signed:
            # INDIGO IAM's own words; nothing else in its answer says what it is about.
            words = f"User {account.username} needs to sign AUP for this organization in order to proceed."
            raise refused("invalid_grant", words)
        return account

    def _account(self, grant: Grant) -> Account:
        try:
            account = self._directory.by_sub(grant.sub)
        except AiinfnError as error:
            raise refused("invalid_grant", "The account is gone.") from error
        if not account.active:
            raise refused("invalid_grant", "User account is not active.")
        return account

    def _alive(self, token: str) -> Access | None:
        return self._grants.access(self._jti(token))

    def _jti(self, token: str) -> str:
        """The id of an access token of ours; "" for anything else."""
        try:
            return str(self._keys.claims(token).get("jti", ""))
        except NotAuthenticated:
            return ""


def _audience(audience: tuple[str, ...]) -> dict[str, Any]:
    """The claim `aud`: a text for one, a list for more, left to the profile for none."""
    if not audience:
        return {}
    return {"aud": audience[0] if len(audience) == 1 else list(audience)}
