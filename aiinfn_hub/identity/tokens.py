"""The check of an ID token: signature, issuer, audience, dates, nonce (OpenID Connect Core, 3.1.3.7)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from aiinfn_hub.errors import NotAuthenticated, RemoteFailed

ALGORITHMS = ("RS256", "ES256")
#: At most so often are the keys fetched again for a key id that nobody knows, or forged tokens would flood the IAM.
REFETCH_S = 10.0


class Verifier:
    """Checks ID tokens of one issuer for one client; knows the issuer's keys, and asks again when they rotate.

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

    async def claims(self, token: str, *, nonce: str | None = None) -> dict[str, Any]:
        """What the token says, once all of it has been checked.

        Raises:
            NotAuthenticated: something about it is wrong; the message never holds the token.
            Unavailable: the keys cannot be fetched.
        """
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            key = await self._key(kid)
            claims = dict(jwt.decode(token, key, algorithms=ALGORITHMS).claims)
            registry = jwt.JWTClaimsRegistry(
                now=lambda: int(self._clock()),
                leeway=int(self._skew_s),
                iss={"essential": True, "value": self._issuer},
                aud={"essential": True, "value": self._client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise NotAuthenticated(
                f"The login provider's ID token is not good: {type(error).__name__}.", hint="Log in again."
            ) from error
        self._check_party(claims, nonce)
        return claims

    def _check_party(self, claims: dict[str, Any], nonce: str | None) -> None:
        """That the token was made for us (`azp`, where others read it too) and for this login (`nonce`)."""
        audience = claims["aud"]
        shared = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", None if shared else self._client_id) != self._client_id:
            raise NotAuthenticated("The login provider's ID token was made for another client.", hint="Log in again.")
        if nonce is not None and claims.get("nonce") != nonce:
            raise NotAuthenticated("The login provider's ID token belongs to another login.", hint="Log in again.")

    async def _key(self, kid: str | None) -> Key:
        """The key of that id; an unknown one makes us look once more, because keys rotate."""
        found = self._known(kid)
        if found is None and (self._keys is None or self._clock() - self._keys[0] >= REFETCH_S):
            try:
                keys = KeySet.import_key_set(await self._fetch())  # type: ignore[arg-type]  # its shape is checked there
            except (JoseError, KeyError, TypeError, ValueError) as error:
                raise RemoteFailed("The login provider's keys cannot be read.") from error
            self._keys = (self._clock(), keys)
            found = self._known(kid)
        if found is None:
            raise NotAuthenticated("The login provider's ID token is signed with a key that it does not publish.")
        return found

    def _known(self, kid: str | None) -> Key | None:
        if self._keys is None:
            return None
        keys = [key for key in self._keys[1] if key.get("use", "sig") == "sig"]
        if kid is None:
            # Allowed where there is no choice.
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.kid == kid), None)
