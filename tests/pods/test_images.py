from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_platform import DIGEST

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.images import image_reference


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("python", id="a bare name"),
        pytest.param("ghcr.io/org/image:1.2", id="registry, repository and tag"),
        pytest.param(f"ghcr.io/org/image@{DIGEST}", id="a digest"),
        pytest.param(f"ghcr.io/org/image:1.2@{DIGEST}", id="tag and digest"),
        pytest.param("localhost:5000/a/b_c:d", id="a port"),
    ],
)
def test_a_reference_stays_as_it_is(text: str) -> None:
    assert image_reference(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("ghcr.io/org/image:1\n", id="a line break at the end"),
        pytest.param("ghcr.io/org/image:1 --privileged", id="an option after it"),
        pytest.param("harbor.cloud.infn.it/x:1@evil.example/y", id="a second registry behind an at sign"),
        pytest.param("ghcr.io/../image:1", id="two dots"),
        pytest.param("ghcr.io/org/$(id)", id="a command"),
        pytest.param("ghcr.io/org/image;reboot", id="a semicolon"),
        pytest.param("-v", id="an option"),
        pytest.param("[::1]/org/image:1", id="a shell pattern that is a host"),
        pytest.param("docker://ghcr.io/org/image", id="a scheme"),
        pytest.param("ghcr.io/Org/image", id="capitals in a repository"),
        pytest.param("ab" * 32, id="an image id"),
        pytest.param("ghcr.io/org/image:" + "1" * 129, id="a tag that is too long"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        image_reference(text)
    assert refused.value.hint


@given(st.text(alphabet=" \t\n\"'`$&|;<>()*?[]{}!#~\\%=,^", min_size=1, max_size=3), st.integers(0, 21))
def test_no_character_of_a_shell_ever_passes(evil: str, position: int) -> None:
    good = "ghcr.io/org/image:1.2"
    with pytest.raises(InvalidInput):
        image_reference(good[:position] + evil + good[position:])
