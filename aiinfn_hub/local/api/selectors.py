"""Label and field selectors: text to a predicate over objects, refused in the words of apimachinery."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiinfn_hub.local.api import status

Predicate = Callable[[dict[str, Any]], bool]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_SET = re.compile(r"(?P<key>[^\s!=<>(),]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARISON = re.compile(r"(?P<key>[^\s!=<>(),]+)\s*(?P<operator>==|=|!=|<|>)\s*(?P<value>[^\s!=<>(),]*)")
_EXISTS = re.compile(r"(?P<operator>!?)\s*(?P<key>[^\s!=<>(),]+)")
_COMMA = re.compile(r",(?![^()]*\))")
_FIELD = re.compile(r"(?P<key>[^!=,]+?)(?P<operator>==|=|!=)(?P<value>[^,=]*)")

#: Fields by which objects of a kind can be selected, besides `metadata.name` and `metadata.namespace`.
FIELDS: dict[tuple[str, str], frozenset[str]] = {
    ("", "pods"): frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    ("", "nodes"): frozenset({"spec.unschedulable"}),
    ("", "namespaces"): frozenset({"status.phase"}),
    ("", "secrets"): frozenset({"type"}),
    ("", "services"): frozenset({"spec.clusterIP", "spec.type"}),
    ("batch", "jobs"): frozenset({"status.successful"}),
    ("", "events"): frozenset(
        {"reason", "type", "source", "reportingComponent"}
        | {
            f"involvedObject.{name}"
            for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        }
    ),
}
_COMMON = frozenset({"metadata.name", "metadata.namespace"})


def labels(text: str) -> Predicate | None:
    """What a `labelSelector` selects; None for everything.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    tests = [_requirement(part.strip()) for part in _COMMA.split(text)] if text.strip() else []
    if not tests:
        return None
    return lambda obj: all(test(obj["metadata"].get("labels") or {}) for test in tests)


def fields(text: str, table: tuple[str, str]) -> Predicate | None:
    """What a `fieldSelector` selects among the objects of a table; None for everything.

    Raises:
        InvalidInput: it cannot be parsed, or the kind has no such field.
    """
    tests = [_field(part, table) for part in text.split(",") if part.strip()]
    return (lambda obj: all(test(obj) for test in tests)) if tests else None


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction; None selects everything."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)


def field_value(obj: dict[str, Any], path: str) -> str:
    """The value at a dotted path as field selectors compare it: "" where there is none."""
    value: Any = obj
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, dict):  # an event's source is compared by its component
        value = value.get("component")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _field(part: str, table: tuple[str, str]) -> Predicate:
    match = _FIELD.fullmatch(part.strip())
    if match is None:
        raise status.bad_request(f"invalid selector: '{part.strip()}'; can't understand '{part.strip()}'")
    key, value, wanted = match["key"].strip(), match["value"].strip(), match["operator"] != "!="
    known = FIELDS.get(table)
    if key not in _COMMON and known is None:
        raise status.bad_request(f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if known is not None and key not in _COMMON | known:
        raise status.bad_request(f"field label not supported: {key}")
    missing = "false" if key == "spec.unschedulable" else ""
    return lambda obj: ((field_value(obj, key) or missing) == value) is wanted


def _requirement(part: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(part):
        return _membership(match)
    if match := _COMPARISON.fullmatch(part):
        return _comparison(match)
    if match := _EXISTS.fullmatch(part):
        key, present = _checked_key(match["key"], part), not match["operator"]
        return lambda found: (key in found) is present
    raise status.bad_request(f"unable to parse requirement: found '{part}', expected: identifier")


def _membership(match: re.Match[str]) -> Callable[[dict[str, str]], bool]:
    key, part = _checked_key(match["key"], match[0]), match[0]
    values = frozenset(_checked_value(value.strip(), part) for value in match["values"].split(","))
    if match["operator"] == "in":
        return lambda found: key in found and found[key] in values
    return lambda found: key not in found or found[key] not in values


def _comparison(match: re.Match[str]) -> Callable[[dict[str, str]], bool]:
    key, operator = _checked_key(match["key"], match[0]), match["operator"]
    value = _checked_value(match["value"], match[0])
    if operator in {"=", "=="}:
        return lambda found: found.get(key) == value
    if operator == "!=":
        return lambda found: found.get(key) != value
    if not re.fullmatch(r"-?[0-9]+", value):
        raise status.bad_request(f"unable to parse requirement: values[0]: Invalid value: {value!r}: for 'Gt', 'Lt'")
    bound = int(value)
    sign = 1 if operator == ">" else -1

    def compare(found: dict[str, str]) -> bool:
        text = found.get(key, "")
        return re.fullmatch(r"-?[0-9]+", text) is not None and (int(text) - bound) * sign > 0

    return compare


def _checked_key(key: str, part: str) -> str:
    if not _KEY.fullmatch(key) or len(key.rpartition("/")[2]) > 63:
        raise status.bad_request(f"unable to parse requirement: invalid label key {key!r} in {part!r}")
    return key


def _checked_value(value: str, part: str) -> str:
    if not _VALUE.fullmatch(value) or len(value) > 63:
        raise status.bad_request(f"unable to parse requirement: invalid label value {value!r} in {part!r}")
    return value
