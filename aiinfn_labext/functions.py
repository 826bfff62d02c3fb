"""What code of a notebook takes along: functions and classes by source, modules by import, and variables."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.travel import names_of

#: By this attribute a function is known that `offload.task` has decorated, and what stands for it.
TASK = "__aiinfn_task__"
#: By this attribute of its class, a value is known that is there in a job too: how it is imported.
IMPORT = "__aiinfn_import__"


@dataclass
class Context:
    """Definitions by name, in an order in which they can be run, and the variables that they and their users read."""

    parts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """All definitions; "" for none."""
        return "\n\n".join(self.parts.values()) + "\n" if self.parts else ""

    @property
    def defined(self) -> list[str]:
        """The functions and classes among them."""
        return [name for name, part in self.parts.items() if not part.startswith(("import ", "from "))]


def context_of(names: Iterable[str], namespace: Mapping[str, Any]) -> Context:
    """What a cell needs that reads these names of a notebook; a name that is not there is left to fail where it runs.

    Raises:
        InvalidInput: something has no source to be found, or is part of what has.
    """
    context = Context()
    for name in sorted(names):
        if name in namespace and name not in context.parts:
            _take(name, namespace[name], context)
    return context


def call_source(function: Callable[..., Any], arguments: int, keywords: Iterable[str] = ()) -> tuple[str, Context]:
    """A cell that calls a function with `_argument0`, `_argument1`... and leaves what it returns in `result`.

    Keyword arguments are called `_keyword_NAME`.

    Raises:
        InvalidInput: the function has no source to be found, or needs what cannot travel with it.
    """
    if not isinstance(function, types.FunctionType):
        raise InvalidInput(f"{function!r} is no function written in Python.", hint="Wrap it: def f(x): return ...")
    context = Context()
    _define(function, function.__name__, context)
    given = [*(f"_argument{index}" for index in range(arguments)), *(f"{one}=_keyword_{one}" for one in keywords)]
    call = ", ".join(given)
    return f"result = {function.__name__}({call})\n", context


def _take(name: str, value: Any, context: Context) -> None:
    if getattr(value, TASK, False) and not isinstance(value, types.FunctionType):
        value = value.__wrapped__
    known = getattr(type(value), IMPORT, "")
    if known:
        context.parts[name] = f"{known} as {name}"
    elif isinstance(value, types.ModuleType):
        context.parts[name] = f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}"
    elif isinstance(value, (types.FunctionType, type)) and value.__module__ == "__main__":
        _define(value, name, context)
    elif getattr(value, "__module__", None) and getattr(value, "__qualname__", None) and value.__module__ != "__main__":
        context.parts[name] = f"from {value.__module__} import {value.__qualname__} as {name}"
    else:
        context.values[name] = value


def _define(thing: types.FunctionType | type, name: str, context: Context) -> None:
    """Add the source of a function or class after the sources of what it names."""
    context.parts[name] = ""  # already on its way: functions may call each other
    source = _source(thing)
    namespace = _namespace(thing)
    for needed in sorted(names_of(source).needed(namespace) - context.parts.keys() - context.values.keys()):
        if needed in namespace:
            _take(needed, namespace[needed], context)
    del context.parts[name]  # last, so that a decorator or a base class stands before it
    context.parts[name] = source if name == thing.__name__ else f"{source}\n\n{name} = {thing.__name__}"


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
        source = textwrap.dedent(inspect.getsource(thing)).rstrip()
        return _untasked(source) if getattr(thing, TASK, False) else source
    except (OSError, TypeError) as error:
        found = _class_source(thing) if isinstance(thing, type) else None
        if found is not None:
            return found
        raise InvalidInput(
            f"The source of {name} cannot be found, so it cannot travel.",
            hint="Define it in a cell of this notebook or in a file, not with exec().",
        ) from error


def _untasked(source: str) -> str:
    """Without the decorator by which a function is sent: where it arrives, it is called."""
    lines = source.splitlines()
    node = ast.parse(source).body[0]
    for decorator in getattr(node, "decorator_list", ()):
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr == "task":
            for number in range(decorator.lineno - 1, decorator.end_lineno):
                lines[number] = ""
    return "\n".join(lines).strip("\n")


def _class_source(thing: type) -> str | None:
    """The source of a class of a notebook, which `inspect` looks for in a file of `__main__`.

    By way of its methods; without any of its own, it is the last cell that defines a class of the name.
    """
    files = {method.__code__.co_filename for method in vars(thing).values() if isinstance(method, types.FunctionType)}
    for lines in map(linecache.getlines, [*files, *_cells()]):
        try:
            body = ast.parse("".join(lines)).body
        except SyntaxError:  # a cell with lines of % and !
            continue
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name == thing.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno]).rstrip()
    return None


def _cells() -> list[str]:
    """What the sources of cells are known by, the last one first: IPython keeps them without a time of change."""
    known = list(linecache.cache.items())
    return [name for name, entry in reversed(known) if len(entry) == 4 and entry[1] is None]


def _namespace(thing: types.FunctionType | type) -> Mapping[str, Any]:
    if isinstance(thing, types.FunctionType):
        return thing.__globals__
    return vars(inspect.getmodule(thing) or types.ModuleType(thing.__module__))
