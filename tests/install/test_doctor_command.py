"""`aiinfn doctor` as a person calls it: what it prints, how it exits, and that it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.exampleworld import healthy
from support.lookedat import kubeconfig, looked_at

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.cli import main
from aiinfn_hub.install.doctor.facts import Unread
from aiinfn_hub.install.doctor.findings import Finding
from aiinfn_hub.install.doctor.shown import as_json, as_text
from aiinfn_hub.install.doctor.table import CHECKS

EXAMPLE = str(example_path())


def doctor(parts: dict[str, Any], folder: Path, *more: str, compared: bool = True) -> int:
    """Look at a cluster with these parts; the exit code."""
    with looked_at(parts, folder) as cluster:
        argv = ["doctor", "--kubeconfig", str(cluster.kubeconfig), *more]
        code = main([*argv, "--platform", EXAMPLE] if compared else argv)
    assert cluster.asked
    assert all(one.startswith("GET ") for one in cluster.asked)
    assert not any("secret" in one for one in cluster.asked)
    return code


def held() -> dict[str, Any]:
    parts = healthy()
    next(q for q in parts["cluster queues"] if q["metadata"]["name"] == "batch")["spec"]["stopPolicy"] = "Hold"
    return parts


def test_a_healthy_cluster_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(healthy(), tmp_path) == 0
    assert capsys.readouterr().out == f"Nothing found by {len(CHECKS)} checks.\n"


def test_a_trap_is_1_and_told_with_its_code_its_place_and_what_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(held(), tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Queues",
        "",
        "  mistake  queue-held",
        "    Nobody new in the queue gets anything; what runs goes on.",
        "      seen  ClusterQueue batch: spec.stopPolicy is Hold",
        """      mend  kubectl patch clusterqueue batch --type merge --patch '{"spec": {"stopPolicy": "None"}}'""",
        "",
        f"{len(CHECKS)} checks: 1 mistake.",
    ]


def test_programs_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(held(), tmp_path, "--json") == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert set(found) == {"code", "group", "level", "says", "evidence", "mend"}
    assert (found["code"], found["level"]) == ("queue-held", "mistake")


def test_a_note_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = healthy()
    parts["nodes"][0]["spec"]["unschedulable"] = True
    assert doctor(parts, tmp_path) == 0
    out = capsys.readouterr().out
    assert "  note  node-cordoned" in out
    assert out.endswith(f"{len(CHECKS)} checks: 1 note.\n")


@pytest.mark.parametrize(
    ("part", "why", "said"),
    [
        ("nodes", "forbidden", "kubectl auth can-i list nodes --all-namespaces"),
        ("jobs", "forbidden", "kubectl auth can-i list jobs.batch --namespace aiinfn"),
        ("settings", "forbidden", "kubectl auth can-i get configmaps"),
        ("version", "forbidden", "kubectl auth can-i get /version"),
        ("pods", "failed", "failed: "),
    ],
)
def test_what_cannot_be_looked_at_is_1(
    part: str, why: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(healthy() | {part: Unread(why, "you may not")}, tmp_path) == 1
    out = capsys.readouterr().out
    assert "  unknown  could-not-look" in out
    assert said in out
    assert "Nothing found" not in out


def test_a_cluster_without_kueue_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = ("cluster queues", "local queues", "flavors", "workload priorities", "conversion")
    gone: dict[str, Any] = {"manager": [], "settings": [], "visibility API": [], "visibility": []}
    assert doctor(healthy() | dict.fromkeys(absent, Unread("absent")) | gone, tmp_path, "--json") == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [one["code"] for one in found] == ["kueue-missing"]


def test_a_webhook_that_is_down_is_seen_over_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(healthy() | {"conversion": Unread("failed", "connect: connection refused")}, tmp_path) == 1
    out = capsys.readouterr().out
    assert "kueue-silent" in out
    assert "connection refused" in " ".join(out.split())


def test_without_a_platform_file_it_says_what_it_did_not_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(healthy(), tmp_path, compared=False) == 1
    out = capsys.readouterr().out
    assert "no-platform-file" in out
    assert "mend  aiinfn doctor --platform platform.yaml" in out


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", ""], ids=["nobody listens", "no kubeconfig"])
def test_a_cluster_that_does_not_answer_is_3(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kubeconfig"
    if server:
        path.write_text(json.dumps(kubeconfig(server)))
    assert main(["doctor", "--kubeconfig", str(path)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("aiinfn: ")


@pytest.mark.parametrize("argv", [["doctor", "--platform"], ["doctor", "now"], ["doctor", "--fix"]], ids=str)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_a_platform_file_with_mistakes_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 2\n")
    assert main(["doctor", "--platform", str(path)]) == 2
    assert f"aiinfn platform check {path}" in capsys.readouterr().err


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "0 nothing found (notes aside), 1 something found, or something that could not be looked at" in out
    assert "3 the cluster does not answer" in out


def finding(evidence: str = "Pod p: spec", mend: str = "kubectl get pods", **more: Any) -> Finding:
    known: dict[str, Any] = {"code": "a-b", "group": "G", "level": "mistake", "says": "It hurts."} | more
    return Finding(evidence=evidence, mend=mend, **known)


def text(*findings: Finding, width: int = 80, coloured: bool = False) -> str:
    return as_text(findings, made=3, width=width, coloured=coloured)


def test_the_same_line_for_several_is_printed_once() -> None:
    out = text(finding("one"), finding("two"), finding("three", "kubectl delete x"))
    assert out.count("It hurts.") == 1
    assert [line.strip() for line in out.splitlines()[4:9]] == [
        "seen  one",
        "seen  two",
        "mend  kubectl get pods",
        "seen  three",
        "mend  kubectl delete x",
    ]


def test_of_many_the_first_are_printed_and_the_rest_counted() -> None:
    many = [finding(f"number {number}") for number in range(20)]
    out = text(*many)
    assert "number 7" in out
    assert "number 8" not in out
    assert "and 12 more; --json has them all" in out
    assert out.count("mend  kubectl get pods") == 1
    assert len(json.loads(as_json(many))["findings"]) == 20


def test_colour_is_never_alone() -> None:
    levels = [finding(level=level, code=f"x-{level}") for level in ("mistake", "unknown", "note")]
    plain, coloured = text(*levels), text(*levels, coloured=True)
    assert "\033" not in plain
    assert coloured.count("\033[0m") == 3
    for level in ("mistake", "unknown", "note"):
        assert level in plain
    assert plain.endswith("3 checks: 1 mistake, 1 unknown, 1 note.")


def test_sentences_are_wrapped_and_commands_are_not() -> None:
    command = "kubectl " + "x" * 100
    out = text(finding("evidence " * 20, command, says="word " * 40), width=60)
    assert all(len(line) <= 60 for line in out.splitlines() if "mend" not in line)
    assert f"      mend  {command}" in out.splitlines()


def test_groups_and_codes_keep_their_order() -> None:
    out = text(finding(group="B"), finding(group="A", code="c-d"), finding("again", group="B"))
    assert [line for line in out.splitlines() if line in ("A", "B")] == ["B", "A"]
