"""Which images a person may name freely."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aiinfn_hub.catalogue import ImagePolicy
from aiinfn_hub.errors import InvalidInput

SHA = "sha256:" + "0a" * 32
POLICY = ImagePolicy(registries=("ghcr.io/aiinfn/*", "quay.io/**"), apptainer=("/cvmfs/unpacked.infn.it", "/images"))
HUB = ImagePolicy(registries=("docker.io/library/*",))
PINNED = ImagePolicy(registries=("quay.io/**",), any_tag=False)
CLOSED = ImagePolicy()

ALLOWED = {
    "a tag is kept": (POLICY, "ghcr.io/aiinfn/lab:2", "ghcr.io/aiinfn/lab:2"),
    "without a tag it is latest, as everywhere": (POLICY, "ghcr.io/aiinfn/lab", "ghcr.io/aiinfn/lab:latest"),
    "a digest needs no tag": (POLICY, f"quay.io/a/b/c@{SHA}", f"quay.io/a/b/c@{SHA}"),
    "blanks around it are a slip": (POLICY, "  quay.io/a/b:1 ", "quay.io/a/b:1"),
    "the host becomes lower case": (POLICY, "QUAY.io/a/b:1", "quay.io/a/b:1"),
    "Docker Hub where the policy names it": (HUB, "python:3.12", "docker.io/library/python:3.12"),
    "Docker Hub by its full name": (HUB, "docker.io/library/python:3", "docker.io/library/python:3"),
    "a digest where tags do not do": (PINNED, f"quay.io/a/b:1@{SHA}", f"quay.io/a/b:1@{SHA}"),
}
REFUSED = {
    "another registry": (POLICY, "docker.io/library/python:3", "docker.io/library/python are not allowed"),
    "another group": (POLICY, "ghcr.io/evil/lab:2", "not allowed"),
    "a folder below the group": (POLICY, "ghcr.io/aiinfn/a/b:2", "not allowed"),
    "a registry whose name starts the same": (POLICY, "ghcr.io.evil.example/aiinfn/lab:2", "not allowed"),
    "a registry that hides in the path": (POLICY, "evil.example/ghcr.io/aiinfn/lab", "not allowed"),
    "no registry where Docker Hub is not named": (POLICY, "python:3.12", "does not name its registry"),
    "another part of Docker Hub": (HUB, "evil/python:3.12", "not allowed"),
    "a tag where only digests do": (PINNED, "quay.io/a/b:1", "has no digest"),
    "anything where nothing is allowed": (CLOSED, "quay.io/a/b:1", "not allowed"),
    "no reference": (POLICY, "quay.io/a b", "is not an image reference"),
}


@pytest.mark.parametrize(("policy", "given_ref", "normal"), ALLOWED.values(), ids=ALLOWED)
def test_an_image_that_may_be_used_comes_back_in_full(policy: ImagePolicy, given_ref: str, normal: str) -> None:
    assert policy.check(given_ref) == normal
    assert policy.check(normal) == normal


@pytest.mark.parametrize(("policy", "given_ref", "message"), REFUSED.values(), ids=REFUSED)
def test_an_image_that_may_not_be_used_is_refused(policy: ImagePolicy, given_ref: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        policy.check(given_ref)
    assert caught.value.hint


def test_the_hint_says_what_is_allowed() -> None:
    with pytest.raises(InvalidInput) as caught:
        POLICY.check("evil.example/a")
    assert caught.value.hint == "Allowed: ghcr.io/aiinfn/*, quay.io/**."
    with pytest.raises(InvalidInput) as caught:
        CLOSED.check("evil.example/a")
    assert "Choose an image of the list" in caught.value.hint


PATHS = {
    "a path below a folder": ("/cvmfs/unpacked.infn.it/a/b:1", "/cvmfs/unpacked.infn.it/a/b:1"),
    "a slash too many": ("//images///a.sif", "/images/a.sif"),
    "a slash at the end": ("/images/a/", "/images/a"),
    "a dot": ("/images/./a.sif", "/images/a.sif"),
    "blanks around it": (" /images/a.sif ", "/images/a.sif"),
}
BAD_PATHS = {
    "nothing": "",
    "a relative path": "images/a.sif",
    "the root": "/",
    "a step upwards": "/images/../etc/passwd",
    "a step upwards that stays inside": "/images/a/../b.sif",
    "a step upwards at the end": "/images/a/..",
    "the folder itself": "/images",
    "a folder that starts the same": "/images-evil/a.sif",
    "another folder": "/etc/passwd",
    "a blank": "/images/a b.sif",
    "a line end inside": "/images/a\n/b",
    "a NUL": "/images/a\0b",
    "a command": "/images/$(id)",
    "a quote": "/images/a'b",
    "a URL": "docker://images/a",
    "a path that is too long": "/images/" + "a" * 1024,
}


@pytest.mark.parametrize(("path", "normal"), PATHS.values(), ids=PATHS)
def test_an_apptainer_path_that_may_be_used_comes_back_normal(path: str, normal: str) -> None:
    assert POLICY.check_apptainer(path) == normal


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
def test_an_apptainer_path_that_may_not_be_used_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        POLICY.check_apptainer(path)
    assert caught.value.hint


def test_the_hint_names_the_folders() -> None:
    with pytest.raises(InvalidInput) as caught:
        POLICY.check_apptainer("/etc/passwd")
    assert caught.value.hint == "Allowed folders: /cvmfs/unpacked.infn.it, /images."
    with pytest.raises(InvalidInput) as caught:
        CLOSED.check_apptainer("/etc/passwd")
    assert caught.value.hint == "Allowed folders: none."


@given(st.text(alphabet="/.a i mages", max_size=24).map(lambda text: f"/images/{text}") | st.text(max_size=16))
def test_whatever_is_allowed_is_normal_and_inside(path: str) -> None:
    try:
        normal = POLICY.check_apptainer(path)
    except InvalidInput:
        return
    assert normal == posixpath.normpath(normal)
    assert normal.startswith(("/images/", "/cvmfs/unpacked.infn.it/"))


@pytest.mark.parametrize("pattern", ["ghcr.io", "*", "ghcr.io/a b", "ghcr.io/**/a"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="is not a pattern of registry and repository"):
        ImagePolicy(registries=(pattern,))


@pytest.mark.parametrize("folder", ["/", "images", "/images/", "/images/.."])
def test_a_folder_that_is_not_plain_is_refused(folder: str) -> None:
    with pytest.raises(ValidationError):
        ImagePolicy(apptainer=(folder,))
