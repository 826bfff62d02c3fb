"""What a `jupyterhub_config.py` takes from us besides the two classes: roles, templates, handlers, and some calm."""

from __future__ import annotations

import gc
import importlib
import logging
from itertools import chain
from pathlib import Path
from typing import Any

from aiinfn_hub.catalogue import Platform, load_platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.hub import job_tokens, offer_stream, outbox, posix
from aiinfn_hub.hub.admin_acts import log_and_audit
from aiinfn_hub.identity import roles

#: What the service reads at the hub: who is in which group, and what their servers were started with; and that it may
#: start the server of a session whose turn in the queue has come.
SERVICE_SCOPES = [
    "list:users",
    "read:users:name",
    "read:users:groups",
    "read:servers",
    "read:shares",
    "read:roles:users",
    "start:servers",
    "delete:servers",
    outbox.SCOPE,
]


def load_roles(service: str, platform: Platform) -> list[dict[str, Any]]:
    """`c.JupyterHub.load_roles` for a service of this name.

    A server's token loses `access:services!service=...` in silence unless its owner's role holds it too: both get it.
    """
    access = f"access:services!service={service}"
    return [
        {"name": "user", "scopes": ["self", access]},
        {"name": "server", "scopes": ["users:activity!user", "access:servers!server", access]},
        {"name": f"{service}-service", "services": [service], "scopes": SERVICE_SCOPES},
        *roles.roles(platform),
    ]


def spare_imports() -> None:
    """Import what the hub needs, and take it out of the garbage collector's rounds.

    There are a quarter of a million objects, for ever; looking at all of them held up the hub's event loop for 0.13 to
    0.2 s, again and again (`make bench ARGS=logins`).
    """
    for name in ("aiinfn_hub.hub.authenticator", "aiinfn_hub.hub.spawner"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def configure(config: Any, service: str = "aiinfn") -> None:
    """What every hub of ours has, whatever its addresses: roles, scopes, pages, handlers, who is audited.

    Args:
        config: `c` of jupyterhub_config.py, with the platform file in it. Roles that it has already stay.
        service: the name of our service there.

    Raises:
        InvalidInput: the platform file is not set, or not good.
    """
    path = config.IamAuthenticator.get("platform_file")
    if not isinstance(path, str):
        raise InvalidInput("IamAuthenticator.platform_file is not set.", hint="Set it above wiring.configure(c).")
    hub = config.JupyterHub
    hub.load_roles = [*hub.get("load_roles", ()), *load_roles(service, load_platform(Path(path)))]
    hub.custom_scopes = {outbox.SCOPE: {"description": "Fetch the hub's acts, and who stands how"}} | roles.SCOPES
    hub.template_paths = template_paths()
    ours = (outbox.handlers(), posix.handlers(), job_tokens.handlers())
    hub.extra_handlers = [*offer_stream.extra_handlers(), *chain.from_iterable(ours)]
    hub.tornado_settings.update({"log_function": log_and_audit})
    # At debug level traitlets writes the whole configuration into the log, with every secret in it.
    logging.getLogger("JupyterHub").addFilter(_is_no_configuration)
    spare_imports()


def _is_no_configuration(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Config changed")


def template_paths() -> list[str]:
    """`c.JupyterHub.template_paths`: our pages, which extend JupyterHub's own."""
    return [str(Path(__file__).parent / "templates")]
