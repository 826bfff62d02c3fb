"""The grammar of OCI image references, as the distribution project defines it, and the patterns of an image policy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from aiinfn_hub.errors import InvalidInput

_HOST_PART = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DIGEST = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PATH_PART}(?:/{_PATH_PART})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?"
)
#: A bare image id would be taken for a repository's name.
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_LONGEST, _LONGEST_PATH = 1024, 255
_PATTERN = re.compile(r"[A-Za-z0-9*.:\[\]-]+(?:/(?:[a-z0-9._*-]+))*/(?:[a-z0-9._*-]+)")
DOCKER_HUB = "docker.io"
_EXAMPLE = 'Write it as in "ghcr.io/group/image:tag" or "ghcr.io/group/image@sha256:...".'


@dataclass(frozen=True)
class Reference:
    """An image reference in its parts; `registry` is "" where the text named none."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def pinned(self) -> bool:
        """Whether a tag or a digest says which image of the repository is meant."""
        return bool(self.tag or self.digest)

    def on_docker_hub(self) -> Reference:
        """The same with the registry that container tools assume, for a reference that names none."""
        if self.registry:
            return self
        library = "" if "/" in self.repository else "library/"
        return replace(self, registry=DOCKER_HUB, repository=library + self.repository)


def parse_reference(text: str) -> Reference:
    """Split an image reference, by the grammar of the distribution project.

    The first component is a registry if it has a dot or a port, or is "localhost"; host names become lower case.

    Raises:
        InvalidInput: the text is no reference.
    """
    match = _REFERENCE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or _IMAGE_ID.fullmatch(text):
        raise InvalidInput(f"{text[:80]!r} is not an image reference.", hint=_EXAMPLE)
    host, path = match["host"] or "", match["path"]
    if host and not _is_registry(host):
        if host != host.lower():
            # A host by the grammar's letter; in lower case it would read as the first part of a repository.
            raise InvalidInput(f"{text[:80]!r} is not an image reference: {host} is no host.", hint=_EXAMPLE)
        host, path = "", f"{host}/{path}"
    elif not host and "/" in path and _is_registry(path.partition("/")[0]):
        host, _, path = path.partition("/")
    if len(path) > _LONGEST_PATH:
        raise InvalidInput(f"The repository of {text[:80]!r} is longer than {_LONGEST_PATH} characters.")
    host = host.lower()
    return Reference(DOCKER_HUB if host == "index.docker.io" else host, path, match["tag"] or "", match["digest"] or "")


def _is_registry(component: str) -> bool:
    return "." in component or ":" in component or component == "localhost"


def is_pattern(text: str) -> bool:
    """Whether the text is a pattern that `matches` understands: registry and repository, with `*` and a last `**`."""
    return _PATTERN.fullmatch(text) is not None and "**" not in text.removesuffix("/**")


def matches(pattern: str, name: str) -> bool:
    """Whether registry/repository `name` is on the list that `pattern` describes.

    `*` stands for any text within one component, a last component `**` for one or more components: so no pattern for a
    repository can be satisfied by a registry's host name, and none for a host by a path.
    """
    open_end = pattern.endswith("/**")
    wanted, given = pattern.removesuffix("/**").split("/"), name.split("/")
    if len(given) < len(wanted) + 1 if open_end else len(given) != len(wanted):
        return False
    return all(_component(one, other) for one, other in zip(wanted, given, strict=False))


def _component(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
