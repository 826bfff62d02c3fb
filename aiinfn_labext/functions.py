"""The source of a function with what it needs: notebook functions by their source, modules by their import."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Mapping
from typing import Any

from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.travel import names_of


def call_source(function: Callable[..., Any], arguments: int) -> str:
    """A cell that calls a function with `_argument0`, `_argument1`... and leaves what it returns in `result`.

    Raises:
        InvalidInput: the function has no source to be found, or needs what cannot travel with it.
    """
    if not isinstance(function, types.FunctionType):
        raise InvalidInput(f"{function!r} is no function written in Python.", hint="Wrap it: def f(x): return ...")
    parts: dict[str, str] = {}
    _collect(function, function.__name__, parts)
    call = ", ".join(f"_argument{index}" for index in range(arguments))
    return "\n\n".join([*parts.values(), f"result = {function.__name__}({call})"]) + "\n"


def _collect(thing: types.FunctionType | type, name: str, parts: dict[str, str]) -> None:
    """Add the source of a function or class after the sources of what it names."""
    parts[name] = ""  # already on its way: functions may call each other
    source = _source(thing)
    namespace = _namespace(thing)
    for needed in sorted(names_of(source).free - parts.keys()):
        if needed in namespace:
            _collect_needed(needed, namespace[needed], name, parts)
    del parts[name]  # last, so that a decorator or a base class stands before it
    parts[name] = source


def _collect_needed(name: str, value: Any, user: str, parts: dict[str, str]) -> None:
    if isinstance(value, types.ModuleType):
        parts[name] = f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}"
    elif isinstance(value, (types.FunctionType, type)) and value.__module__ == "__main__":
        _collect(value, name, parts)
    elif getattr(value, "__module__", None) and getattr(value, "__qualname__", None) and value.__module__ != "__main__":
        parts[name] = f"from {value.__module__} import {value.__qualname__} as {name}"
    else:
        raise InvalidInput(
            f"{user} uses the variable {name} of the notebook, which does not travel with it.",
            hint=f"Give it as an argument: def {user}(..., {name}).",
        )


def _source(thing: types.FunctionType | type) -> str:
    name = thing.__name__
    if name == "<lambda>":
        raise InvalidInput("A lambda has no name to call it by there.", hint="Write it with def.")
    closure = inspect.getclosurevars(thing).nonlocals if isinstance(thing, types.FunctionType) else {}
    if closure or "<locals>" in thing.__qualname__:
        uses = f", and uses {', '.join(closure)} of it" if closure else ""
        raise InvalidInput(
            f"{name} is defined inside another function{uses}.",
            hint="Define it at the top of a cell; pass the rest in.",
        )
    if thing.__qualname__ != name:
        raise InvalidInput(
            f"{thing.__qualname__} is a method.", hint="Write a function that makes the object and calls it."
        )
    try:
        return textwrap.dedent(inspect.getsource(thing)).rstrip()
    except (OSError, TypeError) as error:
        found = _class_source(thing) if isinstance(thing, type) else None
        if found is not None:
            return found
        raise InvalidInput(
            f"The source of {name} cannot be found, so it cannot travel.",
            hint="Define it in a cell of this notebook or in a file, not with exec().",
        ) from error


def _class_source(thing: type) -> str | None:
    """The source of a class of a notebook, which `inspect` looks for in a file of `__main__`: by way of its methods."""
    files = {method.__code__.co_filename for method in vars(thing).values() if isinstance(method, types.FunctionType)}
    for lines in map(linecache.getlines, files):
        for node in ast.parse("".join(lines)).body:
            if isinstance(node, ast.ClassDef) and node.name == thing.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno]).rstrip()
    return None


def _namespace(thing: types.FunctionType | type) -> Mapping[str, Any]:
    if isinstance(thing, types.FunctionType):
        return thing.__globals__
    return vars(inspect.getmodule(thing) or types.ModuleType(thing.__module__))
