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
        return jsonpatch.apply_patch(document, operations, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        raise status.unprocessable(
            f"the server rejected our request due to an error in our request: {error}"
        ) from error
