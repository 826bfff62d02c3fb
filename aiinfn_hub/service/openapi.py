"""The OpenAPI document of the service; a test compares it with the routes that are really served."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub import __version__
from aiinfn_hub.contract.images import ImageFound
from aiinfn_hub.contract.life import Extension, SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.offer import Offer, StockOffer
from aiinfn_hub.contract.reservation import Reservation, ReservationRequest
from aiinfn_hub.offload import openapi as offload

Operation = dict[str, Any]


def document() -> dict[str, Any]:
    """The whole document, for version 3.1."""
    kinds = [Offer, StockOffer, Notice, ReservationRequest, Reservation, ImageFound, SessionUse, SessionLife, Extension]
    found, schemas = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    offer, stock, notice, wanted, reserved, image, *session = found
    components = offload.components()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "aiinfn",
            "version": __version__,
            "description": "Jobs, offer and accounting. Errors have a body with code, message and hint.",
        },
        "servers": [{"url": "/services/aiinfn"}],
        "security": [{"hubToken": []}],
        "paths": offload.paths("")
        | _own(offer, stock, notice)
        | _ledger()
        | _quotas(wanted, reserved)
        | _session(*session)
        | _image(image),
        "components": components | {"schemas": schemas | components["schemas"]},
    }


def _own(offer: dict[str, Any], stock: dict[str, Any], notice: dict[str, Any]) -> dict[str, Any]:
    notices = {"type": "object", "properties": {"notices": {"type": "array", "items": notice}}}
    return {
        "/api/offer": {"get": _get("What the caller can have now", offer)},
        "/api/stock": {"get": _get("What is free of every flavour, once it changes; for the hub alone", stock)},
        "/api/notices": {"get": _get("What the platform has to say to the caller, the most pressing first", notices)},
        "/api/tickets": {"get": _get("Sessions in the queue, oldest first; an operator sees everybody's")},
        "/api/tickets/{uid}": {
            "delete": {
                "summary": "Take a session out of the queue",
                "parameters": [{"name": "uid", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {"204": {"description": "It is out."}, "404": {"description": "It is not in the queue."}},
            }
        },
        "/api/health": {"get": _get("200 once the service is ready, 503 before", open_to_all=True)},
        "/api/openapi.json": {"get": _get("This document", open_to_all=True)},
        "/api/audit": {"get": _audit()},
    }


def _ledger() -> dict[str, Any]:
    window = [
        _query("since", "number", "begin of the window, Unix seconds"),
        _query("until", "number", "its end, Unix seconds"),
        _query("activity", "string", "only of this activity"),
    ]
    person = _query("person", "string", "only of this person")
    by = _query("by", "string", "comma list of activity, person, flavour, kind, model, site")
    return {
        "/api/accounting/records": {
            "get": _get(
                "Records of the ledger that touch a window",
                parameters=[*window, person, _query("limit", "integer", "at most so many")],
            )
        },
        "/api/accounting/usage": {
            "get": _get("Hours held, by group, and what was refused", parameters=[*window, person, by])
        },
        "/api/accounting/reconcile": {
            "get": _get("Where the ledger's sources disagree; for operators", parameters=window[:2])
        },
        "/api/accounting/occupation": {
            "get": _get(
                "Mean units held over time, by flavour",
                parameters=[*window, _query("steps", "integer", "parts of the window")],
            )
        },
    }


def _quotas(wanted: dict[str, Any], reserved: dict[str, Any]) -> dict[str, Any]:
    operation = _get("May a session of this person start; for the hub alone", reserved)
    operation["parameters"] = [_query("person", "string", "whose session it is") | {"required": True}]
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": wanted}}}
    operation["responses"]["429"] = {"description": "No quota has room; the body says when there is again."}
    return {"/api/reservations": {"post": operation}}


def _session(use: dict[str, Any], life: dict[str, Any], wish: dict[str, Any]) -> dict[str, Any]:
    server = _query("server", "string", "the session's name, where no session speaks")
    said, extended = _get("Say what the session does; from itself", life), _get("Let it go on for longer", life)
    for operation, schema in ((said, use), (extended, wish)):
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    extended |= {"parameters": [server]}
    extended["responses"] |= {
        "409": {"description": "It has lasted as long as it may."},
        "429": {"description": "No quota has room for more."},
    }
    get = _get("How long a session of the caller may go on, and whether it is idle", life, parameters=[server])
    return {"/api/session": {"get": get, "put": said, "post": extended}}


def _image(found: dict[str, Any]) -> dict[str, Any]:
    operation = _get("Does an image exist, and which one is it now; for the hub alone", found)
    operation["parameters"] = [_query("ref", "string", "its reference"), _query("person", "string", "who wants it")]
    operation["responses"]["404"] = {"description": "Its registry has none."}
    return {"/api/image": {"get": operation}}


def _audit() -> Operation:
    return _get(
        "Who did what, the newest first; for operators",
        parameters=[
            _query("person", "string", "who did it, or whom it is about"),
            _query("what", "string", "only of this kind"),
            _query("before", "number", "Unix seconds: the next page begins where one ended"),
            _query("limit", "integer", "at most so many"),
        ],
    )


def _query(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind}, "description": text}


def _get(
    summary: str,
    schema: dict[str, Any] | None = None,
    *,
    parameters: list[dict[str, Any]] | None = None,
    open_to_all: bool = False,
) -> Operation:
    answer = {
        "description": "It is in the body.",
        "content": {"application/json": {"schema": schema or {"type": "object"}}},
    }
    operation: Operation = {"summary": summary, "responses": {"200": answer}}
    if parameters:
        operation["parameters"] = parameters
    if open_to_all:
        operation["security"] = []
    return operation
