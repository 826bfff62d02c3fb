"""The nodes that the embedded platform plays: what a kubelet would say of its machine. Read from YAML, strictly."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu
from aiinfn_hub.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_PART = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?{_PART}")
_VALUE = re.compile(rf"({_PART})?")
_BYTES = {"memory", "ephemeral-storage"}


class Taint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keeps pods without a toleration for it away from the node."""

    key: str
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    value: str = ""

    def to_json(self) -> dict[str, str]:
        """As in a Node's `spec.taints`."""
        return {"key": self.key, "effect": self.effect} | ({"value": self.value} if self.value else {})


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node. `capacity` holds quantities as Kubernetes writes them, `cpu` and `memory` among them."""

    name: str
    capacity: dict[str, str]
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nodes: tuple[NodeSpec, ...]


def demo_nodes() -> Path:
    """The file of the nodes that come with the embedded platform; they fit the catalogue's example."""
    return Path(__file__).with_name("nodes.yaml")


def load_nodes(path: Path | None = None) -> tuple[NodeSpec, ...]:
    """The nodes of a YAML file, by default those of `demo_nodes`.

    Raises:
        InvalidInput: the file cannot be read, or the first mistake in it, with file and place.
    """
    path = path or demo_nodes()
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is not a list of nodes: {error}.") from error
    for name, count in Counter(node.name for node in file.nodes).items():
        if count > 1:
            raise InvalidInput(f"{path}: {count} nodes are named {name!r}.", hint="Give each its own name.")
    if not file.nodes:
        raise InvalidInput(f"{path}: there is no node.", hint="Pods need at least one to run on.")
    for node in file.nodes:
        _check(node, path)
    return file.nodes


def _check(node: NodeSpec, path: Path) -> None:
    where = f"{path}: node {node.name!r}"
    if _NAME.fullmatch(node.name) is None:
        raise InvalidInput(f"{where}: a name is lowercase letters, digits, dots and hyphens, as of a host.")
    for key, value in node.labels.items():
        if _KEY.fullmatch(key) is None or _VALUE.fullmatch(value) is None:
            raise InvalidInput(f"{where}: {key}: {value!r} is not a label.")
    for taint in node.taints:
        if _KEY.fullmatch(taint.key) is None or _VALUE.fullmatch(taint.value) is None:
            raise InvalidInput(f"{where}: {taint.key}={taint.value} is not a taint.")
    for needed in ("cpu", "memory"):
        if needed not in node.capacity:
            raise InvalidInput(f"{where}: its capacity does not say how much {needed} it has.")
    for resource, amount in node.capacity.items():
        _check_amount(resource, amount, where)


def _check_amount(resource: str, amount: str, where: str) -> None:
    if resource == "cpu" or resource in _BYTES:
        try:
            (parse_cpu if resource == "cpu" else parse_bytes)(amount)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {resource}: {error.message}", hint=error.hint) from error
    elif _KEY.fullmatch(resource) is None or re.fullmatch("[0-9]{1,9}", amount) is None:
        raise InvalidInput(f"{where}: {resource}: {amount!r} is not a number of devices.")
