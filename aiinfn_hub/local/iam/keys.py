"""The keys that sign the tokens, kept in a private file so that tokens outlive a restart."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from aiinfn_hub.errors import InvalidInput, NotAuthenticated
from aiinfn_hub.local.iam.files import read_private, write_private

ALGORITHM = "RS256"


class SigningKeys:
    """RSA keys of the IAM; the newest signs, all of them are published.

    Raises:
        InvalidInput: the file is there, but holds no keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = read_private(path)
        try:
            self._keys = [RSAKey.import_key(key) for key in json.loads(text)["keys"]] if text else []
        except (ValueError, KeyError, TypeError, JoseError) as error:
            raise InvalidInput(f"{path} holds no signing keys.", hint="Delete it; everybody logs in again.") from error
        if not self._keys:
            self.rotate()

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with a new key from now on; what the older ones signed stays valid, unless they are withdrawn."""
        parameters: Any = {"kid": secrets.token_hex(4), "use": "sig", "alg": ALGORITHM}
        if withdraw:
            self._keys.clear()
        self._keys.append(RSAKey.generate_key(2048, parameters, private=True))
        write_private(self._path, json.dumps({"keys": [key.as_dict(private=True) for key in self._keys]}))

    def public(self) -> dict[str, Any]:
        """The key set that anybody may see."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def sign(self, claims: dict[str, Any]) -> str:
        """A JWT of these claims."""
        newest = self._keys[-1]
        return jwt.encode({"alg": ALGORITHM, "kid": newest.kid}, claims, newest)

    def claims(self, token: str) -> dict[str, Any]:
        """What a token that we signed says; its dates are not looked at.

        Raises:
            NotAuthenticated: the token is not ours.
        """
        try:
            return dict(jwt.decode(token, KeySet(list(self._keys)), algorithms=[ALGORITHM]).claims)
        except (JoseError, ValueError) as error:
            raise NotAuthenticated("This token was not issued here.") from error
