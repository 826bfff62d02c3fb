from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from aiinfn_hub.sessions.symptoms import RULES, Step, recognised, unknown

TEXTS = yaml.safe_load((Path(__file__).parents[1] / "data" / "sessions" / "texts.yaml").read_text())


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["id"])
def test_a_text_that_was_seen_is_understood(case: dict[str, Any]) -> None:
    found = recognised(case["source"], case["text"])
    assert found is not None
    assert (found.cause, found.final) == (case["cause"], case["final"])
    told = f"{found.sentence} {found.next_step}"
    assert [part for part in case["says"] if part not in told] == []


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case["id"])
def test_a_sentence_holds_no_words_of_kubernetes(case: dict[str, Any]) -> None:
    found = recognised(case["source"], case["text"])
    assert found is not None
    assert not re.search(r"nvidia\.com|podset|untolerated|0/\d|\{|\}|rpc error", found.sentence)


def test_every_rule_is_shown_by_a_text() -> None:
    shown = {(case["source"], case["cause"]) for case in TEXTS}
    assert {(source, rule.cause) for source, rules in RULES.items() for rule in rules} <= shown


@pytest.mark.parametrize(
    "rule", [rule for rules in RULES.values() for rule in rules], ids=lambda rule: f"{rule.cause}: {rule.pattern[:30]}"
)
def test_a_rule_uses_only_what_its_pattern_finds(rule: Any) -> None:
    groups = re.compile(rule.pattern).groupindex
    assert set(re.findall(r"\{(\w+)\}", rule.sentence + rule.next_step)) <= set(groups)
    assert rule.step in get_args(Step)
    assert rule.sentence.endswith((".", "}"))
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.cause)


def test_a_text_that_nobody_knows_is_not_understood() -> None:
    assert recognised("scheduler", "0/1 nodes are available: the moon is full.") is None


def test_what_nobody_knows_is_quoted_in_one_line_and_cut() -> None:
    found = unknown("odd", "node", "No node can take the session.", "the\n moon  is full " * 100)
    assert found.sentence.startswith("No node can take the session. Kubernetes says: the moon is full the moon")
    assert "\n" not in found.sentence
    assert len(found.sentence) < 400


def test_nothing_to_quote_adds_nothing() -> None:
    assert unknown("odd", "node", "No node.", "  ").sentence == "No node."


def test_braces_in_a_text_are_no_template() -> None:
    found = recognised("queue", "Admission is gated by: {queue.__class__}")
    assert found is not None
    assert "{queue.__class__}" in found.sentence
