"""Runs a cell: statements, then the value of its last expression, as a notebook does; `await` at the top works too."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import shutil
import sys
import tempfile
import types
from typing import Any, Callable, Dict

from .traces import remember_source


class Cell:
    """One cell and the module it runs in: `__main__`, so that child processes find the functions of the cell.

    `context` has the definitions of the notebook that it uses. They are a file, and that of `__main__`: a worker that
    is started anew, as by a loader of data, imports it and finds them.
    """

    def __init__(self, source: str, filename: str, values: Dict[str, Any], context: str = "") -> None:
        self._source = source
        self._filename = filename
        self._context = context
        self._folder = ""
        self._loop: Any = None
        self.module = types.ModuleType("__main__")
        self.module.__dict__.update(values)

    @property
    def names(self) -> Dict[str, Any]:
        """The variables of the cell."""
        return self.module.__dict__

    def run(self, result: Callable[[Any], None]) -> None:
        """Run it; `result` gets the value of a last expression that is neither None nor ended by a semicolon."""
        remember_source(self._source, self._filename)
        sys.modules["__main__"] = self.module
        if self._context:
            self._define()
        # Not `ast.parse`, whose own frame would stand in the traceback of a syntax error.
        tree: Any = compile(self._source, self._filename, "exec", flags=ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not self._source.rstrip().endswith(";"):
            last = ast.Expression(tree.body.pop().value)
        try:
            self._evaluate(tree, "exec")
            value = self._evaluate(last, "eval") if last is not None else None
        finally:
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)
            if self._loop is not None:
                self._loop.close()
        if value is not None:
            result(value)

    def _define(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="aiinfn-")
        path = os.path.join(self._folder, "notebook.py")
        remember_source(self._context, path)  # a traceback is written when the file is gone
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._context)
        self.names["__file__"] = path
        exec(compile(self._context, path, "exec", dont_inherit=True), self.names)

    def _evaluate(self, tree: ast.AST, mode: str) -> Any:
        # dont_inherit: our own `from __future__` is not the person's.
        code = compile(tree, self._filename, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)  # type: ignore[call-overload]
        if not code.co_flags & inspect.CO_COROUTINE:
            return eval(code, self.names)  # noqa: S307  the person's code, in the person's job
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(eval(code, self.names))  # noqa: S307  the same
