"""The client that is registered at the IAM, and how it proves that it is."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from aiinfn_hub.errors import NotAuthenticated


@dataclass(frozen=True, kw_only=True)
class Client:
    """An OAuth client; `redirect_uris` are compared as whole texts."""

    id: str
    secret: str = field(repr=False)
    redirect_uris: frozenset[str]

    def check(self, authorization: str, form: Mapping[str, str]) -> None:
        """See that a request comes from this client: HTTP Basic, or the fields `client_id` and `client_secret`.

        Raises:
            NotAuthenticated: `invalid_client`.
        """
        given_id, given_secret = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        same = hmac.compare_digest(given_secret.encode(), self.secret.encode())
        if given_id != self.id or not same:
            raise NotAuthenticated("The client is unknown, or its secret wrong.", details={"error": "invalid_client"})


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
