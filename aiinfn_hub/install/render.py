"""What `aiinfn platform render` prints: objects as YAML documents, the same text for the same platform file. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.install import kueue, manager, policies, rbac, service

Object = dict[str, Any]
#: What can be rendered: its name, what it is for, and who makes it.
PARTS: dict[str, tuple[str, Callable[[Platform], list[Object]]]] = {
    "kueue": ("queues, flavors and priorities", kueue.objects),
    "manager": ("the configuration of Kueue itself, for its chart", lambda platform: [manager.configuration(platform)]),
    "rbac": ("accounts and roles of the hub, the service and the virtual nodes", rbac.objects),
    "policies": ("the namespace of sessions and jobs, its admission and network policies", policies.objects),
    "service": ("the service's Deployment, Service and volume", service.objects),
}


class _Dumper(yaml.SafeDumper):
    """YAML for people: no anchors, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- the name is the base's
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def render(part: str, platform: Platform) -> str:
    """The documents of a part, after a line that says what made them.

    Raises:
        InvalidInput: the platform file does not say enough for it.
    """
    _, objects = PARTS[part]
    documents = yaml.dump_all(
        objects(platform), Dumper=_Dumper, sort_keys=False, explicit_start=True, allow_unicode=True, width=120
    )
    return (
        f"# Made by `aiinfn platform render {part}` from the platform file: change that, and render again.\n{documents}"
    )
