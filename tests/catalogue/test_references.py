"""The grammar of image references, and patterns for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.catalogue.references import Reference, is_pattern, matches, parse_reference
from aiinfn_hub.errors import InvalidInput

SHA = "sha256:" + "0a" * 32

# From the tests of the distribution project, and from what people type.
GOOD = {
    "a name alone": ("scipy", Reference("", "scipy")),
    "a name with a tag": ("scipy:1.2", Reference("", "scipy", "1.2")),
    "a tag that looks like a port": ("test:5000", Reference("", "test", "5000")),
    "a path without registry": ("jupyter/scipy:1", Reference("", "jupyter/scipy", "1")),
    "a registry": ("quay.io/jupyter/scipy:1", Reference("quay.io", "jupyter/scipy", "1")),
    "a port": ("reg.example.org:8443/a/b", Reference("reg.example.org:8443", "a/b")),
    "localhost": ("localhost/a", Reference("localhost", "a")),
    "localhost with a port": ("localhost:5000/a:b", Reference("localhost:5000", "a", "b")),
    "a host in capitals": ("Reg.Example.ORG/a", Reference("reg.example.org", "a")),
    "an IPv4 address": ("192.0.2.1:5000/a", Reference("192.0.2.1:5000", "a")),
    "an IPv6 address": ("[2001:db8::1]:5000/a", Reference("[2001:db8::1]:5000", "a")),
    "a digest": (f"ghcr.io/a/b@{SHA}", Reference("ghcr.io", "a/b", "", SHA)),
    "a tag and a digest": (f"ghcr.io/a/b:1@{SHA}", Reference("ghcr.io", "a/b", "1", SHA)),
    "a longer digest": (f"a@sha512:{'0' * 128}", Reference("", "a", "", f"sha512:{'0' * 128}")),
    "separators in the path": ("quay.io/a_b/c__d/e-f/g---h/i.j", Reference("quay.io", "a_b/c__d/e-f/g---h/i.j")),
    "the longest tag": (f"a:{'t' * 128}", Reference("", "a", "t" * 128)),
    "another name of Docker Hub": ("index.docker.io/library/a", Reference("docker.io", "library/a")),
    "63 hexadecimal digits": ("a" * 63, Reference("", "a" * 63)),
}
BAD = {
    "nothing": "",
    "a tag alone": ":1",
    "a digest alone": f"@{SHA}",
    "an image id": "a" * 64,
    "capitals in the path": "quay.io/Jupyter/scipy",
    "a scheme": "docker://quay.io/a/b",
    "an empty part": "quay.io//a",
    "a slash at the end": "quay.io/a/",
    "a slash at the start": "/a/b",
    "a dot at the start": "quay.io/.a",
    "two dots": "quay.io/a..b",
    "steps upwards": "quay.io/../a",
    "three underscores": "quay.io/a___b",
    "a separator at the end": "quay.io/a-",
    "a tag that is too long": f"a:{'t' * 129}",
    "a tag that starts with a dash": "a:-1",
    "two tags": "quay.io/a:1:2",
    "a short digest": "a@sha256:00",
    "a digest in capitals": f"a@sha256:{'0A' * 32}",
    "a digest of an unknown kind": f"a@md5:{'0' * 32}",
    "a port that is no number": "reg.example.org:http/a",
    "a host that starts with a dash": "-reg.example.org/a",
    "a blank": "quay.io/a b",
    "a blank at the end": "quay.io/a ",
    "a line end": "quay.io/a:1\n",
    "a text without end": "a-" * 1_000_000,
    "a command": "quay.io/a:$(id)",
    "a semicolon": "quay.io/a:1;id",
    "a letter that only looks like one": "quay.io/а:1",
    "a digit of another script": "quay.io/a:١",
}


@pytest.mark.parametrize(("text", "parts"), GOOD.values(), ids=GOOD)
def test_it_is_split(text: str, parts: Reference) -> None:
    assert parse_reference(text) == parts


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_it_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference(text)
    assert "is not an image reference" in caught.value.message
    assert "ghcr.io/group/image:tag" in caught.value.hint


def test_a_repository_can_be_too_long() -> None:
    assert parse_reference(f"quay.io/{'a/' * 127}a").registry == "quay.io"
    with pytest.raises(InvalidInput, match="longer than 255"):
        parse_reference(f"quay.io/{'a/' * 128}a")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("scipy", "docker.io/library/scipy"),
        ("jupyter/scipy:1", "docker.io/jupyter/scipy:1"),
        ("quay.io/scipy", "quay.io/scipy"),
        (f"scipy@{SHA}", f"docker.io/library/scipy@{SHA}"),
    ],
)
def test_container_tools_look_for_a_name_without_registry_on_docker_hub(text: str, full: str) -> None:
    assert str(parse_reference(text).on_docker_hub()) == full


@pytest.mark.parametrize(("text", "pinned"), [("a", False), ("a:1", True), (f"a@{SHA}", True)])
def test_a_tag_or_a_digest_says_which_image(text: str, *, pinned: bool) -> None:
    assert parse_reference(text).pinned is pinned


HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,5}){1,2}(:[0-9]{2,4})?", fullmatch=True)
PATHS = st.from_regex(r"[a-z0-9]{1,6}([._-][a-z0-9]{1,3})?(/[a-z0-9]{1,6}){0,3}", fullmatch=True)
TAGS = st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True)
DIGESTS = st.just("") | st.just(SHA)


@given(HOSTS, PATHS, TAGS, DIGESTS)
def test_what_is_written_out_is_read_back(host: str, path: str, tag: str, digest: str) -> None:
    reference = Reference(host, path, tag, digest)
    assert parse_reference(str(reference)) == reference


def test_capitals_without_a_dot_are_no_host() -> None:
    """Found by the test below: in lower case it would be another reference."""
    with pytest.raises(InvalidInput, match="A is no host"):
        parse_reference("A/0")


@given(st.text(alphabet="aA0.-_:/@[]", max_size=24) | st.text(max_size=12))
def test_any_text_is_a_reference_that_reads_back_or_is_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidInput:
        return
    assert parse_reference(str(reference).removeprefix("/")) == reference
    assert not set(str(reference)) & set(" \t\n;&|$`'\"\\<>(){}*?~#!")


MATCHES = [
    ("ghcr.io/org/*", "ghcr.io/org/image", True),
    ("ghcr.io/org/*", "ghcr.io/org", False),
    ("ghcr.io/org/*", "ghcr.io/org/group/image", False),
    ("ghcr.io/org/*", "ghcr.io/organic/image", False),
    ("ghcr.io/org/**", "ghcr.io/org/image", True),
    ("ghcr.io/org/**", "ghcr.io/org/group/image", True),
    ("ghcr.io/org/**", "ghcr.io/org", False),
    ("ghcr.io/**", "ghcr.io/a", True),
    ("ghcr.io/**", "ghcr.io.example.com/a", False),
    ("ghcr.io/org/image", "ghcr.io/org/image", True),
    ("ghcr.io/org/image", "ghcr.io/org/image2", False),
    ("ghcr.io/org/jlab-*", "ghcr.io/org/jlab-gpu", True),
    ("ghcr.io/org/jlab-*", "ghcr.io/org/lab", False),
    ("ghcr.io/*/image", "ghcr.io/org/image", True),
    ("*.infn.it/**", "harbor.infn.it/a", True),
    ("*.infn.it/**", "evil.example/x.infn.it/a", False),
    ("*.infn.it/**", "infn.it/a", False),
    ("ghcr.io/org.x/*", "ghcr.io/org-x/a", False),
    ("*/**", "any.example/a/b", True),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), MATCHES, ids=[f"{p} {n}" for p, n, _ in MATCHES])
def test_a_pattern_goes_component_by_component(pattern: str, name: str, *, fits: bool) -> None:
    assert is_pattern(pattern)
    assert matches(pattern, name) is fits


@pytest.mark.parametrize(
    "text",
    ["", "*", "**", "ghcr.io", "ghcr.io/", "/a", "ghcr.io/**/a", "**/a", "ghcr.io/a**", "ghcr.io/A", "a b/c", "a/b\n"],
)
def test_it_is_no_pattern(text: str) -> None:
    assert not is_pattern(text)


@given(HOSTS, PATHS)
def test_a_name_matches_itself_and_its_registry(host: str, path: str) -> None:
    name = f"{host}/{path}"
    if is_pattern(name):
        assert matches(name, name)
    assert matches(f"{host}/**", name)
    assert not matches("other.example/**", name)
