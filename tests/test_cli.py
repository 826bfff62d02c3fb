"""The `aiinfn` command: subcommands from entry points, errors, exit codes."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from aiinfn_hub import __version__, cli
from aiinfn_hub.errors import Conflict, Unavailable

PLUGIN = """\
import sys
from aiinfn_hub.errors import Conflict

def register(subparsers):
    parser = subparsers.add_parser("greet", help="say hello")
    parser.add_argument("name")
    parser.set_defaults(func=greet)

def greet(args):
    if args.name == "nobody":
        raise Conflict("There is nobody.", hint="Name somebody.")
    if args.name == "no hint":
        raise Conflict("There is no hint.")
    if args.name == "interrupted":
        raise KeyboardInterrupt
    if args.name == "late":
        import no_such_module_here
    print("hello", args.name)
    return 3 if args.name == "three" else 0
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """A subcommand of another distribution."""
    (tmp_path / "greeting_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    return EntryPoint("greet", "greeting_plugin:register", cli.GROUP)


@pytest.fixture
def installed(plugin: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """Only that subcommand is installed, and one that cannot be imported."""
    broken = EntryPoint("broken", "no_such_module_here:register", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: EntryPoints([plugin, broken]).select(group=group))
    return plugin


def run(command: EntryPoint, *argv: str) -> int:
    args = cli.build_parser([command]).parse_args(argv)
    return int(args.func(args))


def test_a_subcommand_is_found_and_its_exit_code_returned(
    installed: EntryPoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["greet", "ada"]) == 0
    assert cli.main(["greet", "three"]) == 3
    assert capsys.readouterr().out == "hello ada\nhello three\n"


def test_an_error_of_ours_is_said_on_stderr_with_what_to_do_next(
    installed: EntryPoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["greet", "nobody"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "aiinfn: There is nobody.\nName somebody.\n"


def test_an_error_without_hint_is_one_line(installed: EntryPoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["greet", "no hint"]) == 1
    assert capsys.readouterr().err.rstrip() == "aiinfn: There is no hint."


def test_an_interrupt_is_130(installed: EntryPoint) -> None:
    assert cli.main(["greet", "interrupted"]) == 130


def test_what_a_command_misses_only_when_it_runs_is_said_too(
    installed: EntryPoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["greet", "late"]) == 1
    err = capsys.readouterr().err
    assert "`aiinfn greet` needs another package: No module named 'no_such_module_here'" in err


def test_with_the_packages_of_a_user_image_the_others_say_what_they_need() -> None:
    code = (
        "import sys\n"
        "heavy = 'pydantic yaml jupyterhub aiohttp kubernetes_asyncio sqlalchemy tornado rich'.split()\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"
        "from aiinfn_hub.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    helped, checked = (
        subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, timeout=60)
        for argv in (["--help"], ["platform", "check", "p.yaml"])
    )
    assert helped.returncode == 0
    assert "platform  needs aiinfn[hub]" in helped.stdout
    assert checked.returncode == 1
    assert "`aiinfn platform` needs aiinfn[hub]" in checked.stderr


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["greet"], ["greet", "a", "b"], ["--nonsense"]], ids=str)
def test_wrong_usage_is_2(installed: EntryPoint, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: aiinfn")


def test_the_version(installed: EntryPoint, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"aiinfn {__version__}\n"


def test_help_lists_the_subcommands_the_missing_ones_and_the_exit_codes(
    installed: EntryPoint, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "greet say hello" in out
    assert "broken needs another package" in out
    assert "0 done, 1 it did not work (stderr says why), 2 wrong usage, 130 interrupted" in out


def test_what_is_missing_does_not_stop_the_others(installed: EntryPoint) -> None:
    assert cli.main(["greet", "ada"]) == 0
    assert cli.main(["broken", "--whatever", "it", "takes"]) == 1


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("aiinfn_hub.missing.command", "aiinfn[hub]"),
        ("aiinfn_hub.local.missing", "aiinfn[demo]"),
        ("aiinfn_hub.locality.missing", "aiinfn[hub]"),
        ("aiinfn_labext.missing", "aiinfn[lab]"),
        ("aiinfn_labextra.missing", "another package"),
    ],
)
def test_a_subcommand_that_cannot_be_imported_says_what_it_needs(module: str, extra: str) -> None:
    command = EntryPoint("thing", f"{module}:register", cli.GROUP)
    assert f"needs {extra}" in cli.build_parser([command]).format_help()
    with pytest.raises(Unavailable, match="`aiinfn thing` needs") as caught:
        run(command, "thing", "do", "--it", "--help")
    assert extra in caught.value.message
    assert caught.value.hint == (f"Install it: pip install '{extra}'" if "[" in extra else f"See who ships {module}.")


def test_only_the_command_that_is_called_is_imported(plugin: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """`aiinfn offload` in a notebook must not wait for the imports of the hub."""

    class Explosive(EntryPoint):
        def load(self) -> object:
            raise AssertionError("imported")

    others = [Explosive("other", "x:y", cli.GROUP), plugin]
    monkeypatch.setattr(cli, "entry_points", lambda group: others)
    assert cli.main(["greet", "ada"]) == 0
    with pytest.raises(AssertionError, match="imported"):
        cli.main(["--help"])


def test_a_mistake_of_ours_is_not_hidden(plugin: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_args: argparse.Namespace) -> int:
        raise RuntimeError("a bug")

    parser = argparse.ArgumentParser()
    parser.set_defaults(func=broken)
    monkeypatch.setattr(cli, "build_parser", lambda _commands: parser)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main([])


def test_the_error_keeps_its_class_until_the_command_line(plugin: EntryPoint) -> None:
    with pytest.raises(Conflict):
        run(plugin, "greet", "nobody")


def test_a_reader_that_stops_is_no_traceback() -> None:
    schema = subprocess.Popen(
        [sys.executable, "-c", "import sys; from aiinfn_hub.cli import main; sys.exit(main(['platform', 'schema']))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert schema.stdout is not None
    assert schema.stderr is not None
    schema.stdout.close()
    assert schema.stderr.read() == b""
    assert schema.wait(timeout=60) == 1


def test_the_installed_command_is_this_one() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("aiinfn"), "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == f"aiinfn {__version__}\n"
