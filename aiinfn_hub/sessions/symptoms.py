"""What Kubernetes 1.36 and Kueue 0.19 say when a session does not start, and what that means for the person.

The rules are data, in `symptoms.toml`: a pattern with a sentence, in which its named groups can stand.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Literal

Step = Literal["quota", "queue", "node", "start"]


@dataclass(frozen=True)
class Diagnosis:
    """What a session waits for.

    `cause` is stable, for programs; `final` means that waiting will not help; `said` is the text that was recognised.
    """

    cause: str
    step: Step
    sentence: str
    next_step: str = ""
    final: bool = False
    said: str = ""


@dataclass(frozen=True)
class Rule:
    """How one text is recognised, and what is said about it."""

    pattern: str
    cause: str
    step: Step
    sentence: str
    next_step: str = ""
    final: bool = False


def recognised(source: str, text: str) -> Diagnosis | None:
    """The diagnosis of the first rule of this source whose pattern occurs in the text."""
    for rule in RULES[source]:
        found = re.search(rule.pattern, text, re.IGNORECASE | re.DOTALL)
        if found:
            words = {name: _words(value or "") for name, value in found.groupdict().items()}
            return Diagnosis(
                rule.cause, rule.step, rule.sentence.format(**words), rule.next_step.format(**words), rule.final, text
            )
    return None


def unknown(cause: str, step: Step, sentence: str, text: str, *, final: bool = False) -> Diagnosis:
    """A diagnosis with the system's own words, for what no rule knows."""
    words = " ".join(text.split()).strip(": ")[:300]
    return Diagnosis(
        cause, step, f"{sentence} Kubernetes says: {words}" if words else sentence, final=final, said=words
    )


_DEVICES = (
    (re.compile(r"nvidia\.com/mig-(.+)"), r"GPU slice \1"),
    (re.compile(r"(nvidia|amd)\.com/gpu"), "GPU"),
    (re.compile(r"gpu\.intel\.com/.+"), "GPU"),
    (re.compile(r"amd\.com/xilinx.+"), "FPGA"),
    (re.compile(r"cpu"), "CPU"),
)


def _words(text: str) -> str:
    """A resource's name as people say it; any other text as it is."""
    for pattern, words in _DEVICES:
        if pattern.fullmatch(text):
            return pattern.sub(words, text)
    return text


def _load() -> dict[str, tuple[Rule, ...]]:
    text = resources.files(__package__).joinpath("symptoms.toml").read_text(encoding="utf-8")
    return {source: tuple(Rule(**rule) for rule in rules) for source, rules in tomllib.loads(text).items()}


#: The rules by where their texts come from: queue, scheduler, pull, container, mount, creation.
RULES = _load()
