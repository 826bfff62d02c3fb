from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.pods import names
from aiinfn_hub.pods.names import batch_queue, interactive_queue, slug

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("mrossi", "mrossi", id="a plain name stays"),
        pytest.param("m-rossi", "m-rossi", id="a hyphen inside stays"),
        pytest.param("7up", "7up", id="a digit may come first"),
        pytest.param("x" * 48, "x" * 48, id="48 characters stay"),
    ],
)
def test_a_safe_name_is_its_own_slug(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("text", "start"),
    [
        pytest.param("m_rossi", "m-rossi-", id="an underscore becomes a hyphen and a hash"),
        pytest.param("M.Rossi@infn.it", "m-rossi-infn-it-", id="capitals, dots and at signs are replaced"),
        pytest.param("-rossi", "rossi-", id="a hyphen at the start goes"),
        pytest.param("", "x-", id="an empty name gets a letter"),
        pytest.param("èé", "x-", id="a name without any safe character gets a letter"),
        pytest.param("../../etc", "etc-", id="a path cannot climb"),
        pytest.param("x" * 49, "x" * 39 + "-", id="49 characters are cut"),
    ],
)
def test_an_unsafe_name_is_reduced_and_marked(text: str, start: str) -> None:
    assert slug(text).startswith(start)
    assert re.fullmatch(r".*-[0-9a-f]{8}", slug(text))


def test_nobody_can_take_the_slug_of_somebody_else_as_a_name() -> None:
    assert slug(slug("m_rossi")) != slug("m_rossi")


def test_names_that_were_one_account_elsewhere_stay_two() -> None:
    assert len({slug(name) for name in ("m_rossi", "mrossi", "m.rossi", "M_rossi", "m-rossi")}) == 5


@given(st.text(max_size=80))
def test_every_slug_is_a_label_and_a_path_component(text: str) -> None:
    assert LABEL.fullmatch(slug(text))


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_names_never_share_a_slug(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)


def test_queues_are_named_after_the_activity() -> None:
    assert (interactive_queue("cms-ml"), batch_queue("cms-ml")) == ("cms-ml-interactive", "cms-ml-batch")


@pytest.mark.parametrize("key", ["KIND", "ACTIVITY", "FLAVOUR", "PERSON", "RUN", "PERSON_NAME", "SERVER", "LIFETIME"])
def test_our_keys_live_under_our_prefix_and_are_valid(key: str) -> None:
    value = getattr(names, key)
    assert value.startswith(names.PREFIX)
    assert re.fullmatch(r"[a-z]([a-z-]*[a-z])?", value.removeprefix(names.PREFIX))
