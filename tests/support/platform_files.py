"""The smallest platform file that is right, to be made wrong in one place."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

from aiinfn_hub.catalogue import Platform, parse_platform
from aiinfn_hub.errors import CatalogueInvalid

CPU: dict[str, Any] = {
    "name": "cpu",
    "title": "CPU only",
    "cpu": {"choices": [1, 2], "default": 1},
    "memory": {"choices": ["1Gi", "2Gi"], "default": "1Gi"},
    "max_lifetime": "12h",
}
T4: dict[str, Any] = {
    **deepcopy(CPU),
    "name": "t4",
    "title": "NVIDIA T4",
    "vendor": "nvidia",
    "resource": "nvidia.com/gpu",
    "compute_weight": 0.2,
}
HOME: dict[str, Any] = {"name": "home", "kind": "home", "mount": "/home/x", "claim": "homes", "sub_path": "{person}"}
SLURM: dict[str, Any] = {
    "name": "leonardo",
    "kind": "interlink",
    "backend": "slurm",
    "title": "Leonardo",
    "node_selector": {"kubernetes.io/hostname": "leonardo"},
    "flavours": ["cpu"],
}
SMALLEST: dict[str, Any] = {
    "version": 1,
    "name": "Test",
    "access": {"allowed_groups": ["/aiinfn"]},
    "activities": [{"name": "cms", "title": "CMS", "group": "/aiinfn/cms", "gid": 20001}],
    "flavours": [CPU],
    "images": [{"name": "scipy", "title": "scipy", "ref": "quay.io/jupyter/scipy-notebook:2025"}],
}


def platform_data(**changes: Any) -> dict[str, Any]:
    """The smallest right data, with other values for some keys."""
    return {**deepcopy(SMALLEST), **changes}


def parse(data: Any) -> Platform:
    """Write the data as YAML and read it as a platform file."""
    return parse_platform(yaml.safe_dump(data, sort_keys=False))


def all_problems(source: str | dict[str, Any]) -> list[dict[str, Any]]:
    """The mistakes that are found in a text, or in data written as YAML."""
    text = source if isinstance(source, str) else yaml.safe_dump(source, sort_keys=False)
    try:
        parse_platform(text, "p.yaml")
    except CatalogueInvalid as error:
        return list(error.details["problems"])
    return []


def problems(source: str | dict[str, Any]) -> list[dict[str, Any]]:
    """The same; there must be some."""
    mistakes = all_problems(source)
    assert mistakes, "no mistake was found"
    return mistakes


def found(source: str | dict[str, Any]) -> dict[str, str]:
    """Path -> message of the mistakes."""
    return {problem["path"]: problem["message"] for problem in problems(source)}
