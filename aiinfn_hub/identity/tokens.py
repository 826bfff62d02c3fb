"""The check of tokens that are JWTs: signature, issuer, audience, dates; and of an ID token, the nonce.

OpenID Connect Core, 3.1.3.7, says what makes an ID token good; RFC 9068, section 4, an access token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from aiinfn_hub.errors import NotAuthenticated, RemoteFailed

ALGORITHMS = ("RS256", "ES256")
#: At most so often are the keys fetched again for a key id that nobody knows, or forged tokens would flood the IAM.
REFETCH_S = 10.0
#: What a token of the WLCG profile is for when nobody asked for an audience.
ANYBODY = "https://wlcg.cern.ch/jwt/v1/any"


class Verifier:
    """Checks tokens of one issuer for one client; knows the issuer's keys, and asks again when they rotate.

    Args:
        fetch: gives the JSON Web Key Set.
        skew_s: by how much the clocks may differ.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        *,
        skew_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._fetch = fetch
        self._skew_s = skew_s
        self._clock = clock
        self._keys: tuple[float, KeySet] | None = None
        self._asking: asyncio.Task[None] | None = None

    async def claims(self, token: str, *, nonce: str | None = None) -> dict[str, Any]:
        """What an ID token says, once all of it has been checked.

        Raises:
            NotAuthenticated: something about it is wrong; the message never holds the token.
            Unavailable: the keys cannot be fetched.
        """
        audience: jwt.ClaimsOption = {"essential": True, "value": self._client_id}
        claims = await self._signed(token, "ID token", aud=audience, sub={"essential": True}, iat={"essential": True})
        self._check_party(claims, nonce)
        return claims

    async def access_claims(
        self, token: str, *, sub: str, audiences: Collection[str] = (), exact: bool = False
    ) -> dict[str, Any] | None:
        """What an access token says that the issuer has just given us; None where it is no JWT, and says nothing.

        Args:
            token: as the token endpoint sent it.
            sub: whom it must be about.
            audiences: whom it may be for, beside us, the issuer and `ANYBODY`; INDIGO IAM's own profile names nobody.
            exact: it is for nobody but `audiences`.

        Raises:
            RemoteFailed: something about it is wrong. The person has done nothing: the issuer has.
            Unavailable: the keys cannot be fetched.
        """
        if token.count(".") != 2:
            return None
        try:
            claims = await self._signed(token, "access token", sub={"essential": True, "value": sub})
        except NotAuthenticated as error:
            raise RemoteFailed(error.message) from error
        named = claims.get("aud", [])
        found = {named} if isinstance(named, str) else set(named)
        allowed = set(audiences) if exact else {self._client_id, self._issuer, ANYBODY, *audiences}
        if not found <= allowed or (exact and not found):
            whom = " and ".join(sorted(found)) or "everybody"
            raise RemoteFailed(
                f"The login provider's access token is for {whom}.",
                hint=f"It should be for {' or '.join(sorted(allowed))}: see tokens.audiences of the platform file.",
            )
        return claims

    async def _signed(self, token: str, kind: str, **rules: jwt.ClaimsOption) -> dict[str, Any]:
        """The claims of a token that the issuer has signed and that has not ended."""
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            key = await self._key(kid, kind)
            claims = dict(jwt.decode(token, key, algorithms=ALGORITHMS).claims)
            registry = jwt.JWTClaimsRegistry(
                now=lambda: int(self._clock()),
                leeway=int(self._skew_s),
                iss={"essential": True, "value": self._issuer},
                exp={"essential": True},
                **rules,
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise NotAuthenticated(
                f"The login provider's {kind} is not good: {type(error).__name__}.", hint="Log in again."
            ) from error
        return claims

    def _check_party(self, claims: dict[str, Any], nonce: str | None) -> None:
        """That the token was made for us (`azp`, where others read it too) and for this login (`nonce`)."""
        audience = claims["aud"]
        shared = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", None if shared else self._client_id) != self._client_id:
            raise NotAuthenticated("The login provider's ID token was made for another client.", hint="Log in again.")
        if nonce is not None and claims.get("nonce") != nonce:
            raise NotAuthenticated("The login provider's ID token belongs to another login.", hint="Log in again.")

    async def _key(self, kid: str | None, kind: str) -> Key:
        """The key of that id; an unknown one makes us look once more, because keys rotate."""
        found = self._known(kid)
        if found is None and (self._keys is None or self._clock() - self._keys[0] >= REFETCH_S):
            # One question, however many wait for the answer; who stops waiting does not end it for the others.
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
            found = self._known(kid)
        if found is None:
            raise NotAuthenticated(f"The login provider's {kind} is signed with a key that it does not publish.")
        return found

    async def _ask(self) -> None:
        try:
            keys = KeySet.import_key_set(await self._fetch())  # type: ignore[arg-type]  # its shape is checked there
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise RemoteFailed("The login provider's keys cannot be read.") from error
        self._keys = (self._clock(), keys)

    def _known(self, kid: str | None) -> Key | None:
        if self._keys is None:
            return None
        keys = [key for key in self._keys[1] if key.get("use", "sig") == "sig"]
        if kid is None:
            # Allowed where there is no choice.
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.kid == kid), None)
