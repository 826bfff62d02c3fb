"""The OpenAPI document: valid, and of the routes that are really served, neither more nor fewer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from openapi_spec_validator import validate
from support.service import PREFIX, running_service

from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.service.handlers import HealthHandler, OpenApiHandler
from aiinfn_hub.service.openapi import document

METHODS = ("get", "post", "put", "patch", "delete")


def test_the_document_is_a_valid_one() -> None:
    validate(document())


def described() -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"\{[^}]+\}", "{}", path))
        for path, item in document()["paths"].items()
        for method in item
        if method in METHODS
    }


@pytest.mark.asyncio
async def test_every_route_is_in_it_and_every_path_of_it_is_a_route(tmp_path: Path) -> None:
    async with running_service(tmp_path) as running:
        rules = running.service.application.wildcard_router.rules
    served = set()
    for rule in rules:
        handler = rule.target
        if issubclass(handler, ApiHandler) or handler in (HealthHandler, OpenApiHandler):
            path = rule.matcher.regex.pattern.removesuffix("$").removeprefix(PREFIX)
            plain = re.sub(r"\([^)]*\)", "{}", path).replace("\\", "")
            served |= {
                (method, plain) for method in METHODS if getattr(handler, method) is not None and _own(handler, method)
            }
    assert served == described()


def _own(handler: type, method: str) -> bool:
    """Whether the handler answers it itself; tornado's own method says 405."""
    return getattr(handler, method).__qualname__ != "RequestHandler._unimplemented_method"
