"""The source of a function with what it needs, as a cell that runs on its own."""

from __future__ import annotations

import linecache
import types
from typing import Any

import pytest

from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.functions import call_source, context_of
from aiinfn_labext.travel import names_of


class Notebook:
    """Cells of a notebook whose sources can be found, as IPython makes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = types.ModuleType("__main__")
        monkeypatch.setitem(__import__("sys").modules, "__main__", self.module)
        self._number = 0

    def run(self, source: str) -> None:
        self._number += 1
        name = f"<cell {self._number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec"), vars(self.module))

    def call(self, function: str, *arguments: Any) -> Any:
        """What the function returns in a fresh module, from its source alone."""
        source, context = call_source(getattr(self.module, function), len(arguments))
        space = {f"_argument{index}": argument for index, argument in enumerate(arguments)} | context.values
        exec(context.source + source, space)
        return space["result"]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    return Notebook(monkeypatch)


def test_a_function_alone(notebook: Notebook) -> None:
    notebook.run("def add(a, b):\n    return a + b")
    assert notebook.call("add", 1, 2) == 3


def test_the_functions_that_it_calls_come_along_once_each(notebook: Notebook) -> None:
    notebook.run("def one():\n    return 1")
    notebook.run("def two():\n    return one() + one()")
    notebook.run("def four():\n    return two() + one() + one()")
    assert notebook.call("four") == 4
    _, context = call_source(notebook.module.four, 0)
    assert context.source.count("def one()") == 1


def test_functions_may_call_each_other(notebook: Notebook) -> None:
    notebook.run("def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)")
    assert notebook.call("even", 10) is True


def test_modules_come_by_their_import_whatever_they_are_called(notebook: Notebook) -> None:
    notebook.run("import math\nimport os.path as p\nfrom json import dumps as write")
    notebook.run("def f(x):\n    return write([math.floor(x), p.basename('a/b')])")
    assert notebook.call("f", 1.5) == '[1, "b"]'


def test_decorators_and_defaults_come_first(notebook: Notebook) -> None:
    notebook.run("def double(f):\n    return lambda *a: 2 * f(*a)")
    notebook.run("def base():\n    return 10")
    notebook.run(
        "from functools import lru_cache\ndef make():\n    return 5\ndef f(x, y=make()):\n    return x + y + base()"
    )
    assert notebook.call("f", 1) == 16


def test_a_class_of_the_notebook_comes_with_its_base(notebook: Notebook) -> None:
    notebook.run("class Shape:\n    def area(self):\n        return self.side ** 2")
    notebook.run("class Square(Shape):\n    def __init__(self, side):\n        self.side = side")
    notebook.run("def area(side):\n    return Square(side).area()")
    assert notebook.call("area", 3) == 9


def test_a_class_without_methods_is_that_of_the_last_cell_that_defines_it(notebook: Notebook) -> None:
    notebook.run("class Empty:\n    size = 1")
    linecache.cache["<cell broken>"] = (5, None, ["%time x\n"], "<cell broken>")
    notebook.run("import dataclasses\n@dataclasses.dataclass\nclass Empty:\n    size: int = 2")
    notebook.run("def f():\n    return Empty().size")
    assert notebook.call("f") == 2


def test_a_class_that_nobody_wrote_down_cannot_be_found(notebook: Notebook) -> None:
    vars(notebook.module)["Made"] = type("Made", (), {"__module__": "__main__"})
    notebook.run("def f():\n    return Made()")
    with pytest.raises(InvalidInput, match="The source of Made cannot be found"):
        call_source(notebook.module.f, 0)


def test_variables_that_the_functions_read_come_along(notebook: Notebook) -> None:
    notebook.run("scale, unused = 2, 3\ndef f(x):\n    return g(x)\ndef g(x):\n    return scale * x")
    assert notebook.call("f", 4) == 8
    assert call_source(notebook.module.f, 1)[1].values == {"scale": 2}


def test_a_cell_takes_what_it_reads_and_what_that_reads(notebook: Notebook) -> None:
    notebook.run("import math\nfrom json import dumps\nrate = 0.1\nlimit = 5")
    notebook.run("class Net:\n    def __init__(self):\n        self.rate = rate")
    notebook.run("def fit(n):\n    return dumps([math.floor(n * Net().rate)])")
    notebook.run("also = fit")
    context = context_of(names_of("print(fit(limit), also, nowhere, len([]))").free, vars(notebook.module))
    assert context.values == {"rate": 0.1, "limit": 5}
    assert set(context.parts) == {"math", "dumps", "Net", "fit", "also"}
    assert set(context.defined) == {"Net", "fit", "also"}
    space: dict[str, Any] = dict(context.values)
    exec(context.source, space)
    assert space["also"](30) == space["fit"](30) == "[3]"


def test_a_cell_that_uses_nothing_takes_nothing(notebook: Notebook) -> None:
    assert context_of(names_of("x = 1").free, vars(notebook.module)).source == ""


def test_a_name_that_is_nowhere_is_left_to_fail_there(notebook: Notebook) -> None:
    notebook.run("def f():\n    return nowhere")
    assert "return nowhere" in call_source(notebook.module.f, 0)[1].source


def test_a_builtin_of_that_name_is_not_asked_for(notebook: Notebook) -> None:
    notebook.run("def f(x):\n    return sorted(x, key=abs)[0]")
    assert notebook.call("f", [-2, 1]) == 1
