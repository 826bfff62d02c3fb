"""What travels with a cell: the names that it needs, the values that it reads, and what would be missing there."""

from __future__ import annotations

import ast
import builtins
import dis
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.contract.jobs import ValueRef
from aiinfn_hub.contract.run.codecs import BadValue, NoCodec, decode, encode
from aiinfn_hub.errors import InvalidInput, TooLarge
from aiinfn_labext.client import sha256_of

MAX_TOTAL = 50 * 1024**2
#: Of the values that nobody named: who reads a large one by mistake is asked first.
MAX_UNASKED = 10 * 1024**2
#: The runner brings these.
_PROVIDED = frozenset({*dir(builtins), "display"})
_READS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")


@dataclass(frozen=True)
class Names:
    """The names of a source: those it takes from outside, those it leaves behind, and those of Python that it reads."""

    free: frozenset[str]
    assigned: frozenset[str]
    provided: frozenset[str] = frozenset()

    def needed(self, namespace: Mapping[str, Any]) -> set[str]:
        """What it takes from a notebook: a variable that is called as one of Python's own hides that there too."""
        return {*self.free, *(name for name in self.provided if _is_the_persons(namespace.get(name)))}


@dataclass
class Luggage:
    """Values ready to travel: references by name, bytes by SHA-256, and one description a value."""

    inputs: dict[str, ValueRef] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, value: Any) -> None:
        """Encode one more; `NoCodec` if nothing carries it."""
        codec, data, summary = encode(value)
        reference = ValueRef(codec=codec, sha256=sha256_of(data), size=len(data), summary=summary)
        self.inputs[name] = reference
        self.blobs[reference.sha256] = data

    @property
    def summary(self) -> str:
        """Such as "x (list of 6, 24 B)"."""
        return ", ".join(f"{name} ({value.summary}, {size(value.size)})" for name, value in self.inputs.items())


def names_of(source: str) -> Names:
    """The names of a cell.

    The compiler decides what is local to what, so its answer is read: at the top in order, where a name that is read
    before it is bound comes from outside; in functions, where a name is looked up when they are called.

    Raises:
        InvalidInput: the source is no Python.
    """
    try:
        tree = ast.parse(source)
        code = compile(tree, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        raise InvalidInput(
            f"The cell is no plain Python: {error.msg}, line {error.lineno}.",
            hint="Lines with % and ! stay in the notebook: put them into another cell.",
        ) from error
    bound: set[str] = set()
    free: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_NAME", "STORE_GLOBAL"):
            bound.add(instruction.argval)
        elif instruction.opname == "DELETE_NAME":
            bound.discard(instruction.argval)
        elif instruction.opname in _READS and instruction.argval not in bound:
            free.add(instruction.argval)
    later, stored = _inner_names(code)
    bound |= stored
    free = (free - stored) | (later - bound)
    read = {name for name in free if not name.startswith("__")}
    missing = read - _PROVIDED
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in tree.body):
        missing = set()  # any of them may come from there
    return Names(free=frozenset(missing), assigned=frozenset(bound), provided=frozenset(read & _PROVIDED))


def _is_the_persons(value: Any) -> bool:
    """Whether somebody wrote or assigned it in the notebook; IPython puts things there that are called as Python's."""
    return getattr(value, "__module__", "") == "__main__" or type(value) in (int, float, str, list, tuple, dict)


def pack(names: Iterable[str], namespace: Mapping[str, Any], unasked: Mapping[str, Any] | None = None) -> Luggage:
    """Encode the values of `--in`, and those that the cell reads without it.

    Raises:
        InvalidInput: a name is not defined, or no codec carries its value; for what nobody named, all of them at once.
        TooLarge: more than 50 MiB in all, or more than 10 MiB that nobody named.
    """
    luggage = Luggage()
    for name in names:
        if name not in namespace:
            raise InvalidInput(f"{name} is not defined here.", hint="Run the cell that defines it first.")
        try:
            luggage.add(name, namespace[name])
        except NoCodec as error:
            raise InvalidInput(f"{name} cannot travel: {error}.") from error
    _pack_unasked(luggage, {name: value for name, value in (unasked or {}).items() if name not in luggage.inputs})
    total = sum(value.size for value in luggage.inputs.values())
    if total > MAX_TOTAL:
        raise TooLarge(
            f"The inputs take {size(total)}, and at most {size(MAX_TOTAL)} travel with a cell: {luggage.summary}.",
            hint="Write large data to shared storage, and read it in the cell.",
        )
    return luggage


def _pack_unasked(luggage: Luggage, values: Mapping[str, Any]) -> None:
    refused: dict[str, str] = {}
    for name, value in values.items():
        try:
            luggage.add(name, value)
        except NoCodec as error:
            refused[name] = str(error)
    if refused:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        travels = f" What travels: {luggage.summary}." if luggage.inputs else ""
        raise InvalidInput(
            f"The cell uses what cannot travel: {reasons}.{travels}",
            hint="Make it in the cell, or give it in another form: a list, a dictionary, an array.",
        )
    large = {name: luggage.inputs[name].size for name in values}
    if sum(large.values()) > MAX_UNASKED:
        names = ",".join(sorted(large, key=lambda name: -large[name]))
        raise TooLarge(
            f"The cell would take {size(sum(large.values()))} along: {luggage.summary}.",
            hint=f"If that is meant, say so: --in {names}.",
        )


def unpack(name: str, reference: ValueRef, codec: str, data: bytes) -> Any:
    """The value of an output; hash, size and codec are what was announced, or nothing is decoded.

    Raises:
        InvalidInput: they are not.
    """
    if codec != reference.codec or sha256_of(data) != reference.sha256:
        raise InvalidInput(
            f"{name} is not what the job delivered.", hint="Get it again; if it stays, run the job again."
        )
    try:
        return decode(codec, data, reference.size)
    except BadValue as error:
        raise InvalidInput(f"{name} cannot be read here: {error}.") from error


def warnings(
    names: Names, inputs: Iterable[str], outputs: Iterable[str], namespace: Mapping[str, Any]
) -> Iterator[str]:
    """One sentence for each name that the cell will miss, and for each output that it does not assign."""
    for name in sorted(names.free - set(inputs)):
        if name == "get_ipython":
            yield "lines with % and ! stay in the notebook, put them into another cell"
        elif name not in namespace:
            yield f"{name} is not in the cell, and is not defined here either"
    for name in outputs:
        if name not in names.assigned and name not in inputs:
            yield f"{name} is in --out, and the cell does not assign it"


def _inner_names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """Names that the functions and classes in a code object read from the top, and those they bind there."""
    read: set[str] = set()
    bound: set[str] = set()
    for inner in (constant for constant in code.co_consts if isinstance(constant, types.CodeType)):
        own: set[str] = set()
        for instruction in dis.get_instructions(inner):
            if instruction.opname == "STORE_GLOBAL":
                bound.add(instruction.argval)
            elif instruction.opname == "STORE_NAME":  # in the body of a class
                own.add(instruction.argval)
            elif instruction.opname in _READS:
                read.add(instruction.argval)
        deeper = _inner_names(inner)
        read = (read - own) | deeper[0]
        bound |= deeper[1]
    return read, bound


def size(amount: int) -> str:
    """Bytes as people read them: "15.3 MiB"."""
    for unit, least in (("MiB", 1024**2), ("KiB", 1024)):
        if amount >= least:
            return f"{amount / least:.1f} {unit}"
    return f"{amount} B"
