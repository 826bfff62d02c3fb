"""What people change at the hub that is not theirs, and every token that is made: told to the audit.

JupyterHub has no hook for it, but calls one function at the end of each request, its log's.
"""

from __future__ import annotations

import re
from typing import Any

from jupyterhub.log import log_request

from aiinfn_hub.hub.outbox import Outbox
from aiinfn_hub.identity.audit import Act

#: .../api/users/NAME/..., .../api/shares/NAME/..., .../spawn/NAME, .../aiinfn/tickets/NAME/...
_WHOSE = re.compile(r"/(?:api/(?:users|shares)|spawn|aiinfn/tickets)/(?P<name>[^/?]+)(?P<rest>[^?]*)")
#: What is nobody's own: several people at once, their groups, the proxy, the hub itself.
_EVERYBODYS = re.compile(r"/api/(?:users|groups|proxy|shutdown)(?:/|$)")
_TOKENS = re.compile(r"/tokens(?:/|$)")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def log_and_audit(handler: Any) -> None:
    """`log_function` of tornado's settings: JupyterHub's own line, and an act where it was one."""
    log_request(handler)
    outbox = getattr(handler.settings.get("authenticator"), "outbox", None)
    if isinstance(outbox, Outbox) and handler.request.method not in _SAFE:
        user = getattr(handler, "_jupyterhub_user", None)  # who made the request, as its prepare() has found out
        act = act_of(handler.request.method, handler.request.path, handler.get_status(), *_who(user))
        if act is not None:
            outbox.put(act)


def act_of(method: str, path: str, status: int, actor: str, kind: str) -> Act | None:
    """What the request did, if it is to be known: to somebody else, or about a token.

    Args:
        method: of the request.
        path: without its query, which may hold what is secret.
        status: of the answer.
        actor: username or name of the service; "" for nobody known.
        kind: "user" or "service".
    """
    match = _WHOSE.search(path)
    about = match["name"] if match else ""
    token = match is not None and _TOKENS.match(match["rest"]) is not None
    others = about != actor if match else _EVERYBODYS.search(path) is not None
    if not actor or not (token or others):
        return None
    return Act(
        what="hub-token" if token else "admin",
        actor=f"service {actor}" if kind == "service" else actor,
        about=about,
        why=f"{method} {path}",
        done=status < 400,
        facts={"status": status},
    )


def _who(user: Any) -> tuple[str, str]:
    """Name and kind of JupyterHub's user or service."""
    return ("", "") if user is None else (str(user.name), str(getattr(user, "kind", "user")))
