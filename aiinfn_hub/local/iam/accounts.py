"""Who can log in at the embedded IAM. Passwords are kept as scrypt hashes, and compared in constant time."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from aiinfn_hub.errors import Conflict, NotFound, QuotaExceeded

#: No letter or digit that looks like another one: people type these from a terminal.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_WRONG_MAX = 5
_WAIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody the IAM knows.

    `groups` are full paths with a leading slash; `optional_groups` those that are named only to who asks for them.
    `denied_scopes` are left out of every token without a word, as a scope policy of INDIGO IAM does it.
    `role` is a word for people who try the demo. An account that is not `active` can neither log in nor refresh its
    tokens; one whose acceptable use policy is not signed is asked to sign it at the login, and gets no token before.
    """

    username: str
    password: str = field(repr=False)
    sub: str
    name: str
    email: str
    groups: tuple[str, ...]
    optional_groups: tuple[str, ...] = ()
    denied_scopes: tuple[str, ...] = ()
    role: str = ""
    active: bool = True
    aup_signed: bool = True


_DEMO = (
    ("scientist", "Ada Marino", ("/aiinfn", "/aiinfn/lhcb-flashsim")),
    ("pi", "Piero Conti", ("/aiinfn", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi")),
    ("operator", "Olga Ferri", ("/aiinfn", "/aiinfn/admins", "/aiinfn/lhcb-flashsim")),
    ("outsider", "Otto Esposito", ("/other",)),
)


def demo_accounts(*, fixed_passwords: bool) -> list[Account]:
    """The people of the demo; `sub` is the same at every start. A fixed password is the username."""
    return [
        Account(
            username=username,
            password=username if fixed_passwords else "".join(secrets.choice(_ALPHABET) for _ in range(12)),
            sub=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{username}.aiinfn.invalid")),
            name=name,
            email=f"{username}@aiinfn.invalid",
            groups=groups,
            role=username,
        )
        for username, name, groups in _DEMO
    ]


class Directory:
    """The accounts, by name and by `sub`; knows hashes, not passwords.

    `cost` is the n of scrypt: a power of two, 2**14 takes about 50 ms.
    """

    def __init__(
        self, accounts: Iterable[Account], *, cost: int = 2**14, clock: Callable[[], float] = time.time
    ) -> None:
        self._cost = cost
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._accounts: dict[str, Account] = {}
        self._hashes: dict[str, bytes] = {}
        self._wrong: dict[str, tuple[int, float]] = {}
        for account in accounts:
            self.put(account)

    def put(self, account: Account) -> None:
        """Add an account, or replace the one of that name: other groups, another password, no longer active."""
        if account.password:
            self._hashes[account.username] = self._hash(account.password)
        self._accounts[account.username] = replace(account, password="")

    def change(self, username: str, /, **changes: Any) -> Account:
        """The account with other values; another `username` leaves the password as it is.

        Raises:
            NotFound: there is none of that name.
            Conflict: the new name is somebody else's.
        """
        account = self._accounts.get(username)
        if account is None:
            raise NotFound(f"There is no account {username!r}.", hint=f"There are {', '.join(sorted(self._accounts))}.")
        changed = replace(account, **changes)
        if changed.username != username:
            if changed.username in self._accounts:
                raise Conflict(f"There is an account {changed.username!r} already.")
            self._hashes[changed.username] = self._hashes.pop(username)
            del self._accounts[username]
        self._accounts[changed.username] = changed
        return changed

    def remove(self, username: str) -> None:
        """The account is gone, with all that it opened."""
        del self._accounts[username], self._hashes[username]

    def has(self, sub: str) -> bool:
        """Whether there is an account of that subject."""
        return any(account.sub == sub for account in self._accounts.values())

    def by_sub(self, sub: str) -> Account:
        """The account of that subject.

        Raises:
            NotFound: there is none.
        """
        for account in self._accounts.values():
            if account.sub == sub:
                return account
        raise NotFound("There is no account with this subject.")

    async def check(self, username: str, password: str) -> Account | None:
        """The account that this password opens. An unknown name takes as long as a wrong password.

        Raises:
            QuotaExceeded: too many wrong passwords for this name; says how long to wait.
        """
        # One entry for all unknown names, so that guessing names does not fill the memory.
        entry = username if username in self._accounts else ""
        self._throttle(entry)
        given = await asyncio.to_thread(self._hash, password)
        account = self._accounts.get(username)
        if hmac.compare_digest(given, self._hashes.get(username, bytes(32))) and account is not None:
            self._wrong.pop(entry, None)
            return account if account.active else None
        count, _ = self._wrong.get(entry, (0, 0.0))
        self._wrong[entry] = (count + 1, self._clock())
        return None

    def _throttle(self, entry: str) -> None:
        count, last = self._wrong.get(entry, (0, 0.0))
        wait_s = last + _WAIT_S - self._clock()
        if count < _WRONG_MAX:
            return
        if wait_s > 0:
            raise QuotaExceeded(f"Too many wrong passwords. Try again in {wait_s:.0f} seconds.")
        del self._wrong[entry]

    def _hash(self, password: str) -> bytes:
        return hashlib.scrypt(password.encode(), salt=self._salt, n=self._cost, r=8, p=1, dklen=32)
