"""Errors: a stable code, a status, a hint; the same on both sides of HTTP."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub import errors
from aiinfn_hub.errors import AiinfnError, Conflict, InvalidInput, NotFound, RemoteFailed, all_errors, from_json

#: Programs rely on these; a change is a breaking one.
CODES = {
    "internal": 500,
    "invalid-input": 400,
    "catalogue-invalid": 500,
    "not-authenticated": 401,
    "forbidden": 403,
    "not-found": 404,
    "conflict": 409,
    "expired": 410,
    "too-large": 413,
    "quota-exceeded": 429,
    "remote-failed": 502,
    "unavailable": 503,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_codes_and_statuses_are_as_published() -> None:
    assert {kind.code: kind.status for kind in all_errors()} == CODES


def test_every_class_of_the_module_is_listed_and_says_what_it_is_for() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AiinfnError)}
    assert set(all_errors()) == classes
    assert all(kind.__doc__ for kind in all_errors())


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
def test_each_error_survives_the_trip(kind: type[AiinfnError]) -> None:
    sent = kind("There is no flavour 'a101'.", hint="Did you mean 'a100'?", details={"flavour": "a101", "line": 3})
    received = from_json(sent.status, json.loads(json.dumps(sent.to_json())))
    assert type(received) is kind
    assert (received.message, received.hint, received.details) == (sent.message, sent.hint, sent.details)


def test_the_body_is_one_object() -> None:
    assert Conflict("It runs.", hint="Stop it.").to_json() == {
        "error": {"code": "conflict", "message": "It runs.", "hint": "Stop it.", "details": {}}
    }


def test_an_error_reads_as_message_and_hint() -> None:
    assert str(InvalidInput("No.", hint="Say yes.")) == "No. Say yes."
    assert str(InvalidInput("No.")) == "No."


def test_details_are_not_shared() -> None:
    first = InvalidInput("a")
    first.details["x"] = 1
    assert InvalidInput("b").details == {}


FOREIGN = {
    "a proxy's page": (502, "<html>Bad gateway</html>", RemoteFailed, "The service answered 502."),
    "a page not found by a proxy": (404, None, NotFound, "The service answered 404."),
    "an error of JupyterHub": (409, {"status": 409, "message": "x"}, Conflict, "The service answered 409."),
    "a status that we do not use": (418, {}, RemoteFailed, "The service answered 418."),
    "an error that is a text": (400, {"error": "bad"}, InvalidInput, "The service answered 400."),
    "a list": (400, ["error"], InvalidInput, "The service answered 400."),
    "a code of a newer version": (422, {"error": {"code": "new", "message": "It is new."}}, RemoteFailed, "It is new."),
    "no message": (400, {"error": {"code": "invalid-input"}}, InvalidInput, "The service answered 400."),
    "details that are no mapping": (
        400,
        {"error": {"code": "invalid-input", "message": "a", "details": [1]}},
        InvalidInput,
        "a",
    ),
}


@pytest.mark.parametrize(("status", "body", "kind", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_body_that_is_not_ours_becomes_an_error_by_its_status(
    status: int, body: object, kind: type[AiinfnError], message: str
) -> None:
    error = from_json(status, body)
    assert type(error) is kind
    assert error.message == message
    assert error.details == {}


@given(st.integers(300, 599), JSON | JSON.map(lambda value: {"error": value}))
def test_whatever_came_back_it_is_an_error_of_ours(status: int, body: object) -> None:
    error = from_json(status, body)
    assert isinstance(error, AiinfnError)
    assert isinstance(error.message, str)
    assert isinstance(error.hint, str)
    assert isinstance(error.details, dict)


@given(st.sampled_from(all_errors()), st.text(), st.text(), st.dictionaries(st.text(), st.integers() | st.text()))
def test_any_sentence_survives_the_trip(
    kind: type[AiinfnError], message: str, hint: str, details: dict[str, int | str]
) -> None:
    sent = kind(message, hint=hint, details=dict(details))
    received = from_json(kind.status, json.loads(json.dumps(sent.to_json())))
    assert (type(received), received.message, received.hint, received.details) == (kind, message, hint, details)


def test_the_module_is_the_only_place_of_codes() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(set(codes)) == len(codes)
