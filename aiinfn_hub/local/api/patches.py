"""Merge patch (RFC 7396) and JSON patch (RFC 6902). Both change the document that they are given."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from aiinfn_hub.local.api import status

#: More operations than this are refused, as the real server does.
MAX_OPERATIONS = 10_000


def merge(document: Any, patch: Any) -> Any:
    """The document with a merge patch applied: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(document, dict):
        document = {}
    for key, value in patch.items():
        if value is None:
            document.pop(key, None)
        else:
            document[key] = merge(document.get(key), value)
    return document


def json_patch(document: Any, operations: Any) -> Any:
    """The document with a JSON patch applied.

    Raises:
        InvalidInput: it is not a list of operations, or one of them does not fit (422, as the real server says).
    """
    if not isinstance(operations, list) or len(operations) > MAX_OPERATIONS:
        raise status.bad_request(f"a JSON patch is a list of at most {MAX_OPERATIONS} operations")
    try:
        for operation in operations:
            if not _holds_already(document, operation):
                document = jsonpatch.apply_patch(document, [_with_value(document, operation)], in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        raise status.unprocessable() from error
    return document


def _holds_already(document: Any, operation: Any) -> bool:
    """A field that is not there is null where that is tested: evanphx/json-patch, unlike the RFC."""
    tests_null = operation["op"] == "test" and operation.get("value") is None
    return tests_null and _is_absent(document, operation["path"])


def _with_value(document: Any, operation: Any) -> Any:
    """Replacing a field that is not there adds it; where a value should be and is not, it is null."""
    replaces = operation["op"] == "replace" and _is_absent(document, operation["path"])
    needs = operation["op"] in {"add", "replace", "test"}
    return operation | ({"value": operation.get("value")} if needs else {}) | ({"op": "add"} if replaces else {})


def _is_absent(document: Any, path: str) -> bool:
    """Whether the last part of a path is a key that an object could have, and has not."""
    holder, key = jsonpointer.JsonPointer(path).to_last(document)
    return isinstance(holder, dict) and key is not None and key not in holder
