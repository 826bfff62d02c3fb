from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import validate

from aiinfn_hub.offload import act_routes, checkpoint_routes, openapi, routes, run_routes, sweep_routes

PREFIX = "/services/aiinfn"
METHODS = ("get", "head", "post", "put", "delete", "patch")


def document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "aiinfn", "version": "1"},
        "paths": openapi.paths(PREFIX) | openapi.run_paths(),
        "components": openapi.components(),
    }


def test_it_is_a_valid_document() -> None:
    validate(document())


def served() -> dict[str, set[str]]:
    """Path template -> methods, from the routes themselves."""
    found = {}
    room: Any = None  # only the tables are read
    table = [
        *routes.routes(PREFIX, room=room),
        *act_routes.routes(PREFIX, room=room),
        *sweep_routes.routes(PREFIX, room=room),
        *run_routes.routes(gate=room),
        *checkpoint_routes.routes(gate=room),
    ]
    for pattern, handler, _ in table:
        own = {name for name in METHODS if getattr(handler, name) is not getattr(handler.__mro__[-2], name, None)}
        implemented = {name for name in own if "unimplemented" not in getattr(handler, name).__name__}
        found[re.sub(r"\([^)]*\)", "{}", pattern)] = implemented
    return found


def described() -> dict[str, set[str]]:
    return {re.sub(r"\{[^}]*\}", "{}", path): set(item) & set(METHODS) for path, item in document()["paths"].items()}


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    assert described() == served()


@pytest.mark.parametrize("path", document()["paths"])
def test_every_operation_says_who_may_and_how_it_fails(path: str) -> None:
    item = document()["paths"][path]
    for method in set(item) & set(METHODS):
        assert item[method]["security"] == [{"runToken" if path.startswith("/runs") else "hubToken": []}]
        assert item[method]["responses"]["default"] == {"$ref": "#/components/responses/Error"}
        assert item[method]["summary"]


def test_the_schemas_are_those_of_the_structs() -> None:
    schemas = openapi.components()["schemas"]
    assert {"JobRequest", "JobView", "FramePage", "Why", "Plan", "Target", "Resources", "ValueRef"} <= set(schemas)
    assert schemas["JobRequest"]["additionalProperties"] is False
