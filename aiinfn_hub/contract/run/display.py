"""What a value looks like: `display()`, the last expression of a cell, and figures of matplotlib.

The rules are IPython's: `_repr_mimebundle_`, then one method a MIME type, then `repr`.
"""

from __future__ import annotations

import base64
import builtins
import importlib.abc
import importlib.util
import io
import os
import sys
import uuid
from typing import Any, Callable, Dict, Optional, Set, Tuple

from .frames import MAX_TEXT, Frame, display_frame
from .traces import error_frame

_METHODS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
}


class Display:
    """Turns values into frames, and hands them to `emit`."""

    def __init__(self, emit: Callable[[Frame], None]) -> None:
        self._emit = emit

    def __call__(self, *values: Any, display_id: Any = None, clear: bool = False, **_options: Any) -> Optional[Handle]:
        """Show values; with a `display_id`, or True for a new one, they can be changed by what is returned.

        Other options of IPython's `display` are accepted and have no effect here.
        """
        if clear:
            self.clear(wait=True)
        name = uuid.uuid4().hex if display_id is True else str(display_id or "")
        for value in values:
            self._show("display_data", value, name)
        return Handle(self, name) if name else None

    def update(self, value: Any, *, display_id: str, **_options: Any) -> None:
        """Show a value where another one was shown."""
        self._show("update_display_data", value, display_id)

    def clear(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  IPython's signature
        """Take away what was shown; with `wait`, when the next thing is."""
        self._emit({"output_type": "clear_output", "wait": wait})

    def _show(self, kind: str, value: Any, name: str) -> None:
        data, metadata = _bundle(value)
        frame = display_frame(kind, data, metadata)
        self._emit(dict(frame, transient={"display_id": name}) if name else frame)

    def result(self, value: Any) -> None:
        """Show the value of a cell's last expression."""
        data, metadata = _bundle(value)
        self._emit(display_frame("execute_result", data, metadata))

    def figures(self) -> None:
        """Show and close every open figure of pyplot."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None or not hasattr(pyplot, "get_fignums"):
            return
        for number in pyplot.get_fignums():
            self(pyplot.figure(number))
            pyplot.close(number)

    def install(self) -> None:
        """Make `display` a builtin, as in a notebook, and be there when pyplot and IPython's display are imported."""
        builtins.display = self  # type: ignore[attr-defined]
        # For child processes too: there is no screen.
        os.environ["MPLBACKEND"] = "Agg"

        def show(*_arguments: Any, **_options: Any) -> None:  # pyplot writes on it: a bound method would refuse that
            self.figures()

        shows = {"display": self, "update_display": self.update, "clear_output": self.clear}
        hooks: Dict[str, Dict[str, Any]] = {
            "matplotlib.pyplot": {"show": show},
            "IPython.core.display_functions": shows,
            "IPython.core.display": shows,  # where they were before IPython 7.23
        }
        sys.meta_path.insert(0, _AfterImport(hooks))


class Handle:
    """Something that is shown and can be changed, as `display(..., display_id=True)` of IPython returns it."""

    def __init__(self, display: Display, display_id: str) -> None:
        self.display_id = display_id
        self._display = display

    def display(self, value: Any, **_options: Any) -> None:
        """Show it once more."""
        self._display(value, display_id=self.display_id)

    def update(self, value: Any, **_options: Any) -> None:
        """Show another value in its place."""
        self._display.update(value, display_id=self.display_id)


class _AfterImport(importlib.abc.MetaPathFinder):
    """Replaces functions of a module right after it is first imported; modules that are never imported cost nothing."""

    def __init__(self, replacements: Dict[str, Dict[str, Any]]) -> None:
        self._replacements = replacements
        self._asking: Set[str] = set()

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        replace = self._replacements.get(name)
        if replace is None or name in self._asking:
            return None
        self._asking.add(name)
        try:
            spec = importlib.util.find_spec(name)  # by the finders after this one
        finally:
            self._asking.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            for attribute, function in replace.items():
                if hasattr(module, attribute):
                    setattr(module, attribute, function)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _bundle(value: Any) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    data: Dict[str, Any] = {"text/plain": _plain(value)}
    metadata: Dict[str, Any] = {}
    if isinstance(value, type):
        return data, metadata  # the methods are for its instances
    figure = sys.modules.get("matplotlib.figure")
    if figure is not None and isinstance(value, figure.Figure):
        picture = _attempt(lambda: _figure(value))
        return (dict(data, **{"image/png": picture}) if picture else data), metadata
    whole = _ask(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(whole, tuple):
        whole, metadata = whole[0], dict(whole[1])
    if isinstance(whole, dict):
        data.update({kind: _content(part) for kind, part in whole.items()})
    for kind, method in _METHODS.items():
        part = _ask(value, method) if kind not in data else None
        if isinstance(part, tuple):
            part, metadata[kind] = part
        if part is not None:
            data[kind] = _content(part)
    return data, metadata


def _ask(value: Any, method: str, **options: Any) -> Any:
    # On the class: an object that answers to every name (a mock, a proxy) has no picture of itself.
    if not callable(getattr(type(value), method, None)):
        return None
    return _attempt(lambda: getattr(value, method)(**options))


def _attempt(draw: Callable[[], Any]) -> Any:
    try:
        return draw()
    except NotImplementedError:
        return None
    except Exception as error:  # noqa: BLE001  the person's code: a failing picture must not cost the result of hours
        sys.stderr.write("\n".join(error_frame(error)["traceback"]) + "\n")
        return None


def _plain(value: Any) -> str:
    try:
        return repr(value)[:MAX_TEXT]
    except Exception as error:  # noqa: BLE001  the same
        return "<%s whose repr failed: %s>" % (type(value).__name__, error)


def _content(part: Any) -> Any:
    return base64.b64encode(part).decode("ascii") if isinstance(part, bytes) else part


def _figure(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
