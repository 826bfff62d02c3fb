"""`aiinfn platform`, called as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.platform_files import CPU, platform_data

from aiinfn_hub.catalogue import example_path, parse_platform
from aiinfn_hub.cli import main
from aiinfn_hub.install.command import json_schema
from aiinfn_hub.install.render import PARTS

LONG = platform_data(
    flavours=[{**CPU, "nod_selector": {}, "activities": ["cmss"], "max_lifetime": "a time that nobody can measure"}],
)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(platform_data()))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(LONG, sort_keys=False))
    return path


def test_a_good_file_is_said_to_be_good(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", str(good)]) == 0
    assert capsys.readouterr().out == (
        f"{good}: no mistakes: 1 flavours, 1 images, 0 volumes, 0 sites, 1 activities.\n"
    )


def test_the_mistakes_of_a_bad_file_stand_one_a_line(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", str(bad)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3
    assert out[1].endswith(": flavours[0].nod_selector: unknown key (nearest: node_selector)")
    assert all(line.startswith(f"{bad}:") for line in out)
    written = bad.read_text().splitlines()
    lines = [int(line.removeprefix(f"{bad}:").split(":")[0]) for line in out]
    assert [written[line - 1].split()[0] for line in lines] == ["max_lifetime:", "nod_selector:", "-"]


def test_every_file_is_checked_and_one_bad_is_enough(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", str(bad), str(good), "/nowhere.yaml"]) == 1
    out = capsys.readouterr().out
    assert f"{good}: no mistakes" in out
    assert "/nowhere.yaml:1: the file: cannot be read: No such file or directory\n" in out
    assert f"{bad}:" in out


def test_programs_get_json(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "--json", str(bad), str(good)]) == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [set(problem) for problem in problems] == [{"file", "line", "path", "message", "nearest"}] * 3
    assert problems[1]["path"] == "flavours[0].nod_selector"


def test_programs_get_json_for_a_good_file_too(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "check", "--json", str(good)]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": []}


def test_a_terminal_gets_a_table_in_its_width(
    bad: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["platform", "check", str(bad)]) == 1
    title, head, *rows = capsys.readouterr().out.splitlines()
    assert title == f"{bad}: 3 to correct"
    assert head.split() == ["line", "path", "what", "is", "wrong"]
    assert len(rows) > 3
    column = head.index("what")
    assert all(row[column - 2 : column] == "  " and row[column] != " " for row in rows)
    assert all(len(row) <= 80 for row in rows)


def test_a_check_without_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["platform", "check"])
    assert caught.value.code == 2
    assert "FILE" in capsys.readouterr().err


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_printed_for_kubectl(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "render", part, str(example_path())]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# Made by `aiinfn platform render {part}` from the platform file")
    assert all(document["kind"] for document in yaml.safe_load_all(out))


def test_what_the_queues_need_to_know_is_asked_for(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "render", "kueue", str(good)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"aiinfn: {good}: The queues need to know how much there is. Missing: capacity.\n")


def test_nothing_is_rendered_of_a_file_with_mistakes(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "render", "manager", str(bad)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "(nearest: node_selector)" in captured.err
    assert f"aiinfn platform check {bad}" in captured.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["kuue", "p.yaml"], "choose from"),
        (["kueue"], "FILE"),
        ([], "PART"),
        (["kueue", "a.yaml", "b.yaml"], "unrecognized"),
    ],
    ids=["an unknown part", "no file", "nothing", "two files"],
)
def test_a_wrong_render_is_wrong_usage(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["platform", "render", *argv])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_says_what_each_part_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["platform", "render", "--help"])
    out = capsys.readouterr().out
    for part, (use, _) in PARTS.items():
        assert any(part in line and use in line for line in out.splitlines())


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_the_example_is_the_file_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["platform", "example"]) == 0
    out = capsys.readouterr().out
    assert out == example_path().read_text()
    parse_platform(out)
