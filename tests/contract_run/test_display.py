"""What a value looks like: IPython's rules, and hooks on modules that are imported later."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiinfn_hub.contract.run.display import Display, _AfterImport, _bundle
from aiinfn_hub.contract.run.frames import MAX_TEXT


class Rich:
    """Has the methods that the test gives it."""

    def __init__(self, **methods: Any) -> None:
        self.__class__ = type("Rich", (Rich,), {f"_repr_{name}_": value for name, value in methods.items()})

    def __repr__(self) -> str:
        return "<rich>"


def always(value: Any) -> Any:
    return lambda self, **_: value


def never(self: Any) -> Any:
    raise NotImplementedError


def fails(self: Any) -> Any:
    return 1 / 0


class Answers:
    """Answers to every name, as mocks and proxies do."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: "no picture"

    def __repr__(self) -> str:
        return "<answers>"


@pytest.mark.parametrize(
    ("value", "data"),
    [
        pytest.param(1, {"text/plain": "1"}, id="a number"),
        pytest.param(Rich(html=always("<b>")), {"text/plain": "<rich>", "text/html": "<b>"}, id="HTML"),
        pytest.param(
            Rich(png=always(b"\x89P")), {"text/plain": "<rich>", "image/png": "iVA="}, id="bytes become base64"
        ),
        pytest.param(Rich(png=always("iVA=")), {"text/plain": "<rich>", "image/png": "iVA="}, id="base64 stays"),
        pytest.param(Rich(latex=always(None)), {"text/plain": "<rich>"}, id="None is no picture"),
        pytest.param(Rich(svg=never), {"text/plain": "<rich>"}, id="NotImplementedError is no picture"),
        pytest.param(Rich(html=fails), {"text/plain": "<rich>"}, id="a picture that fails"),
        pytest.param(
            Rich(mimebundle=always({"text/plain": "p", "a/b": "c"}), html=always("<b>")),
            {"text/plain": "p", "a/b": "c", "text/html": "<b>"},
            id="a bundle, then what it does not have",
        ),
        pytest.param(
            Rich(mimebundle=always({"text/html": "<i>"}), html=always("<b>")),
            {"text/plain": "<rich>", "text/html": "<i>"},
            id="a bundle is asked first",
        ),
        pytest.param(Answers(), {"text/plain": "<answers>"}, id="an object that answers to every name"),
        pytest.param(Rich, {"text/plain": repr(Rich)}, id="a class"),
    ],
)
def test_a_value_becomes_a_bundle(value: Any, data: dict[str, Any]) -> None:
    assert _bundle(value)[0] == data


def test_metadata_comes_along() -> None:
    value = Rich(png=always((b"\x89P", {"width": 10})), mimebundle=always(({"a/b": "c"}, {"a/b": {"x": 1}})))
    assert _bundle(value)[1] == {"image/png": {"width": 10}, "a/b": {"x": 1}}


def test_a_picture_that_fails_tells_why_without_our_frames(capsys: pytest.CaptureFixture[str]) -> None:
    _bundle(Rich(html=fails))
    shown = capsys.readouterr().err
    assert shown.endswith("ZeroDivisionError: division by zero\n")
    assert "in fails" in shown
    assert "in _attempt" not in shown


def test_a_repr_that_fails_is_named() -> None:
    class Broken:
        def __repr__(self) -> str:
            return str(1 / 0)

    assert _bundle(Broken())[0] == {"text/plain": "<Broken whose repr failed: division by zero>"}


def test_a_long_repr_is_cut() -> None:
    assert len(_bundle("x" * 2 * MAX_TEXT)[0]["text/plain"]) == MAX_TEXT


@pytest.fixture
def frames() -> list[Any]:
    return []


@pytest.fixture
def display(frames: list[Any]) -> Display:
    return Display(frames.append)


def test_display_takes_several_values_and_ipython_s_options(display: Display, frames: list[Any]) -> None:
    assert display(1, "a", metadata={}, raw=False) is None
    assert [frame["data"]["text/plain"] for frame in frames] == ["1", "'a'"]
    assert {frame["output_type"] for frame in frames} == {"display_data"}
    display.result(2)
    assert frames[-1]["output_type"] == "execute_result"


def test_without_pyplot_there_are_no_figures(
    display: Display, frames: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    display.figures()
    assert frames == []


def test_it_is_a_builtin_and_children_get_no_screen(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(builtins, "display", None, raising=False)
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    display.install()
    assert builtins.display is display  # type: ignore[attr-defined]
    import os  # noqa: PLC0415

    assert os.environ["MPLBACKEND"] == "Agg"


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "plotting_for_test.py").write_text("def show():\n    return 'theirs'\nother = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    hook = _AfterImport({"plotting_for_test": {"show": lambda: "ours", "absent": 1}, "nothing_for_test": {}})
    monkeypatch.setattr(sys, "meta_path", [hook, *sys.meta_path])
    yield tmp_path
    sys.modules.pop("plotting_for_test", None)


def test_a_function_is_replaced_when_its_module_is_imported(hooked: Path) -> None:
    import importlib.util  # noqa: PLC0415

    # Somebody who only asks whether it is there, as pandas does, changes nothing.
    assert importlib.util.find_spec("plotting_for_test") is not None
    module = importlib.import_module("plotting_for_test")
    assert module.show() == "ours"
    assert module.other == 1
    assert not hasattr(module, "absent")


def test_a_module_that_is_not_installed_is_not_invented(hooked: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("nothing_for_test")


def test_what_is_shown_can_be_changed(display: Display, frames: list[Any]) -> None:
    bar = display("0 of 3", display_id=True)
    assert bar is not None
    bar.update("1 of 3")
    display.update("2 of 3", display_id=bar.display_id)
    bar.display("again")
    display("named", display_id="mine", clear=True)
    assert [(frame["output_type"], frame.get("data", {}).get("text/plain")) for frame in frames] == [
        ("display_data", "'0 of 3'"),
        ("update_display_data", "'1 of 3'"),
        ("update_display_data", "'2 of 3'"),
        ("display_data", "'again'"),
        ("clear_output", None),
        ("display_data", "'named'"),
    ]
    assert {frame["transient"]["display_id"] for frame in frames[:4]} == {bar.display_id}
    assert frames[-1]["transient"] == {"display_id": "mine"}
    assert frames[-2] == {"output_type": "clear_output", "wait": True}
