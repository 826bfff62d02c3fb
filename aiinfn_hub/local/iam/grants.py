"""What was allowed: authorization codes, refresh tokens, live access tokens. Tokens are kept as hashes.

As INDIGO IAM by default: a refresh token is used again and again, and each use ends the access tokens before it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.iam.files import read_private, write_private


@dataclass(frozen=True, kw_only=True)
class Lifetimes:
    """In seconds; the defaults are those of INDIGO IAM."""

    code: float = 60.0
    id_token: float = 600.0
    access: float = 3600.0
    refresh: float = 30 * 86400.0
    session: float = 8 * 3600.0


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one login gave to a client."""

    id: str
    sub: str
    client_id: str
    scope: tuple[str, ...]
    auth_time: float
    nonce: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization code that was handed out."""

    grant: Grant
    redirect_uri: str
    challenge: str
    expires: float


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token that is alive."""

    grant: Grant
    expires: float


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """An access token that is alive; the key is its `jti`. `audience` is empty where the profile decides it."""

    grant: Grant
    scope: tuple[str, ...]
    expires: float
    audience: tuple[str, ...] = ()


class _State(msgspec.Struct):
    refresh: dict[str, Refresh] = {}
    access: dict[str, Access] = {}


def refused(error: str, message: str) -> InvalidInput:
    """An error of the token endpoint, with its code of RFC 6749."""
    return InvalidInput(message, details={"error": error})


class Grants:
    """Everything that is alive; refresh and access tokens survive a restart, codes do not."""

    def __init__(self, path: Path, lifetimes: Lifetimes, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._lifetimes = lifetimes
        self._clock = clock
        self._codes: dict[str, Code] = {}
        self._spent: dict[str, Code] = {}
        text = read_private(path)
        try:
            self._state = msgspec.json.decode(text, type=_State) if text else _State()
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f"{path} cannot be read: {error}.", hint="Delete it; everybody logs in again."
            ) from error

    def code(self, grant: Grant, *, redirect_uri: str, challenge: str) -> str:
        """A new authorization code."""
        now = self._clock()
        self._codes = {key: code for key, code in self._codes.items() if code.expires > now}
        self._spent = {key: code for key, code in self._spent.items() if code.expires > now - self._lifetimes.access}
        text = secrets.token_urlsafe(24)
        expires = now + self._lifetimes.code
        self._codes[text] = Code(grant=grant, redirect_uri=redirect_uri, challenge=challenge, expires=expires)
        return text

    def redeem(self, text: str, *, client_id: str, redirect_uri: str, verifier: str) -> Grant:
        """What the code stands for; it works once, and not when something about it is wrong.

        Raises:
            InvalidInput: `invalid_grant`.
        """
        if text in self._spent:
            # Somebody copied the code: whoever was first loses the tokens as well (RFC 6749, 4.1.2).
            self.end(self._spent[text].grant.id)
        code = self._codes.pop(text, None)
        if code is None or code.expires <= self._clock() or code.grant.client_id != client_id:
            raise refused("invalid_grant", "The authorization code is unknown, used or expired.")
        self._spent[text] = code
        if code.redirect_uri != redirect_uri:
            raise refused("invalid_grant", "The redirect_uri is not the one of the authorization request.")
        if not secrets.compare_digest(challenge_of(verifier), code.challenge):
            raise refused("invalid_grant", "The code_verifier does not match the code_challenge.")
        return code.grant

    def new_refresh(self, grant: Grant) -> str:
        """A new refresh token."""
        text = secrets.token_urlsafe(32)
        self._state.refresh[_digest(text)] = Refresh(grant=grant, expires=self._clock() + self._lifetimes.refresh)
        self._save()
        return text

    def refreshable(self, text: str, client_id: str) -> Grant:
        """The grant of a refresh token.

        Raises:
            InvalidInput: `invalid_grant`.
        """
        found = self._state.refresh.get(_digest(text))
        if found is None or found.expires <= self._clock() or found.grant.client_id != client_id:
            raise refused("invalid_grant", "The refresh token is unknown or expired.")
        return found.grant

    def end_access(self, grant: Grant) -> None:
        """End the access tokens of one login; its refresh token stays."""
        self._state.access = {jti: a for jti, a in self._state.access.items() if a.grant.id != grant.id}

    def new_access(self, jti: str, grant: Grant, scope: tuple[str, ...], audience: tuple[str, ...] = ()) -> float:
        """Remember an access token; when it expires."""
        expires = self._clock() + self._lifetimes.access
        self._state.access[jti] = Access(grant=grant, scope=scope, expires=expires, audience=audience)
        self._save()
        return expires

    def access(self, jti: str) -> Access | None:
        """The access token, while it is alive."""
        found = self._state.access.get(jti)
        return found if found is not None and found.expires > self._clock() else None

    def revoke(self, text: str, jti: str) -> None:
        """End a refresh token with all that came from it, or one access token."""
        found = self._state.refresh.get(_digest(text))
        if found is not None:
            self.end(found.grant.id)
        self._state.access.pop(jti, None)
        self._save()

    def end(self, grant_id: str) -> None:
        """End every token of one login."""
        self._state.refresh = {key: r for key, r in self._state.refresh.items() if r.grant.id != grant_id}
        self._state.access = {key: a for key, a in self._state.access.items() if a.grant.id != grant_id}
        self._save()

    def end_all(self, sub: str, *, access: bool = True) -> None:
        """End the refresh tokens of every login of somebody; with `access`, the access tokens as well."""
        self._state.refresh = {key: r for key, r in self._state.refresh.items() if r.grant.sub != sub}
        if access:
            self._state.access = {key: a for key, a in self._state.access.items() if a.grant.sub != sub}
        self._save()

    def _save(self) -> None:
        now = self._clock()
        self._state.refresh = {key: r for key, r in self._state.refresh.items() if r.expires > now}
        self._state.access = {key: a for key, a in self._state.access.items() if a.expires > now}
        write_private(self._path, msgspec.json.encode(self._state).decode())


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636, 4.2)."""
    return _b64(hashlib.sha256(verifier.encode()).digest())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
