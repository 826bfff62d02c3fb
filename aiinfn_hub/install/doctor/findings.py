"""A check, what it finds, and how all of them are made. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aiinfn_hub.install.doctor.facts import SOURCES, VERSION, Facts

#: "unknown" is what nobody could look at: it is not well, and it is not wrong.
Level = Literal["mistake", "unknown", "note"]
UNREAD, NO_PLATFORM = "could-not-look", "no-platform-file"


class Seen(NamedTuple):
    """Where a trap was seen (object, field and value), and the line that mends it (a command, or YAML)."""

    evidence: str
    mend: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One trap.

    Attributes:
        code: never changes; what people search for.
        group: under which it is shown.
        says: one sentence: what it does to people.
        reads: the parts that it needs.
        look: from the facts to where it was seen; from facts without one of the parts it is not called.
        level: a note is no mistake.
        judges: parts whose failure to answer is what it looks for.
        compares: whether it needs the platform file.
    """

    code: str
    group: str
    says: str
    reads: tuple[str, ...]
    look: Callable[[Facts], Iterable[Seen]]
    level: Level = "mistake"
    judges: tuple[str, ...] = ()
    compares: bool = False


@dataclass(frozen=True)
class Finding:
    """What a person is told."""

    code: str
    group: str
    level: Level
    says: str
    evidence: str
    mend: str


def examine(facts: Facts, checks: Sequence[Check]) -> list[Finding]:
    """Make every check that can be made, and tell those that cannot."""
    found: list[Finding] = []
    blind: dict[str, list[str]] = {}
    unmade = []
    for check in checks:
        obstacles = list(_obstacles(facts, check))
        for part in obstacles:
            blind.setdefault(part, []).append(check.code)
        if obstacles or any(_absent(facts, part) for part in check.reads):
            continue
        if check.compares and facts.platform is None:
            unmade.append(check.code)
            continue
        found += [Finding(check.code, check.group, check.level, check.says, *seen) for seen in check.look(facts)]
    return [*found, *(_could_not_look(facts, part, codes) for part, codes in blind.items()), *_uncompared(unmade)]


def _obstacles(facts: Facts, check: Check) -> Iterator[str]:
    for part in check.reads:
        unread = facts.unread(part)
        if unread is None or unread.why == "absent" or (unread.why == "failed" and part in check.judges):
            continue
        yield part


def _absent(facts: Facts, part: str) -> bool:
    """The cluster has no such API: an old Kubernetes, or no Kueue, which checks of their own tell."""
    unread = facts.unread(part)
    return unread is not None and unread.why == "absent"


def _could_not_look(facts: Facts, part: str, codes: Sequence[str]) -> Finding:
    unread = facts.unread(part)
    why, message = (unread.why, unread.message) if unread else ("", "")
    right = "get /version" if part == VERSION else SOURCES[part].right
    mend = f"kubectl auth can-i {right}" + (f" --namespace {facts.namespace}" if _ours(part) else " --all-namespaces")
    if why == "failed":
        mend += "   # if it may, look at what the API server says"
    return Finding(
        UNREAD,
        "Not known",
        "unknown",
        f"Nobody could look, so nothing is known of: {', '.join(codes)}.",
        f"{right} ({part}): {why}{': ' + message if message else ''}",
        mend,
    )


def _ours(part: str) -> bool:
    return part in SOURCES and SOURCES[part].where == "ours"


def _uncompared(codes: Sequence[str]) -> Iterator[Finding]:
    if codes:
        yield Finding(
            NO_PLATFORM,
            "Not known",
            "unknown",
            f"Without the platform file, nothing is known of: {', '.join(codes)}.",
            "--platform was not given",
            "aiinfn doctor --platform platform.yaml",
        )
