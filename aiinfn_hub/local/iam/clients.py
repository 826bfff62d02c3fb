"""The clients that are registered at the IAM, and how each proves that it is."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from aiinfn_hub.errors import NotAuthenticated


@dataclass(frozen=True, kw_only=True)
class Client:
    """An OAuth client; `redirect_uris` are compared as whole texts.

    `exchange`: whether an administrator of the IAM has enabled token exchange for it; it is off by default there.
    """

    id: str
    secret: str = field(repr=False)
    redirect_uris: frozenset[str] = frozenset()
    exchange: bool = False


class Clients:
    """All of them, by id; `exchanging` is whether any may exchange tokens."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self.exchanging = True
        self._clients = {client.id: client for client in clients}

    def get(self, client_id: str) -> Client | None:
        """The client of that id, which has proved nothing yet."""
        return self._clients.get(client_id)

    def check(self, authorization: str, form: Mapping[str, str]) -> Client:
        """Which client a request comes from, by HTTP Basic, or the fields `client_id` and `client_secret`.

        Raises:
            NotAuthenticated: `invalid_client`.
        """
        given_id, given_secret = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        client = self._clients.get(given_id)
        # Compared also where there is no such client: an answer must not come sooner.
        same = hmac.compare_digest(given_secret.encode(), (client.secret if client else "").encode())
        if client is None or not same:
            raise NotAuthenticated("The client is unknown, or its secret wrong.", details={"error": "invalid_client"})
        return client


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
