"""Which names a cell needs, what travels with it, and what the person is told."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np
import pytest

from aiinfn_hub.contract.jobs import ValueRef
from aiinfn_hub.errors import InvalidInput, TooLarge
from aiinfn_labext import travel
from aiinfn_labext.travel import names_of, pack, unpack, warnings


@pytest.mark.parametrize(
    ("source", "free", "assigned"),
    [
        pytest.param("total = sum(x) * 7", {"x"}, {"total"}, id="a builtin is not free"),
        pytest.param("x = x + 1", {"x"}, {"x"}, id="a name that is read before it is bound"),
        pytest.param("x = 1\ny = x", set(), {"x", "y"}, id="a name that is bound first"),
        pytest.param("x += 1", {"x"}, {"x"}, id="an addition reads first"),
        pytest.param("import numpy as np\ny = np.sum(a)", {"a"}, {"np", "y"}, id="an import binds"),
        pytest.param("from m import *\nf(x)", set(), set(), id="a star import may bring anything"),
        pytest.param(
            "def f(a, b=c):\n    return a + d\nf(1)", {"c", "d"}, {"f"}, id="a default and a global of a function"
        ),
        pytest.param("def f():\n    return later\nlater = 1\nf()", set(), {"f", "later"}, id="looked up when called"),
        pytest.param("def f():\n    global g\n    g = 1\nf()\ng", set(), {"f", "g"}, id="bound by a function"),
        pytest.param(
            "y = [i * k for i in xs if i]", {"k", "xs"}, {"y"}, id="the variable of a comprehension is its own"
        ),
        pytest.param(
            "class A(B):\n    z = 1\n    def m(self):\n        return z2 + self.z", {"B", "z2"}, {"A"}, id="a class"
        ),
        pytest.param("f = lambda a: a + b", {"b"}, {"f"}, id="a lambda"),
        pytest.param("for i in xs:\n    pass\ni", {"xs"}, {"i"}, id="a loop binds"),
        pytest.param("with open(p) as f:\n    f.read()", {"p"}, {"f"}, id="with binds"),
        pytest.param("try:\n    pass\nexcept E as e:\n    print(e)", {"E"}, set(), id="except binds for its block"),
        pytest.param("await g(x)", {"g", "x"}, set(), id="await at the top"),
        pytest.param("display(x)\nprint(__name__)", {"x"}, set(), id="display is there"),
        pytest.param("(y := f(x))", {"f", "x"}, {"y"}, id="a walrus binds"),
        pytest.param(
            "def f(x: T) -> U:\n    y: V = x\n    return y", {"T", "U"}, {"f"}, id="annotations of a function"
        ),
    ],
)
def test_the_names_of_a_cell(source: str, free: set[str], assigned: set[str]) -> None:
    names = names_of(source)
    assert names.free == free
    assert names.assigned >= assigned


@pytest.mark.parametrize("source", ["!ls", "%matplotlib inline\nx = 1", "x = ("])
def test_what_is_no_plain_python_says_where_and_what_to_do(source: str) -> None:
    with pytest.raises(InvalidInput, match=r"no plain Python: .*, line 1") as caught:
        names_of(source)
    assert "stay in the notebook" in caught.value.hint


@pytest.mark.parametrize(
    ("namespace", "sentences"),
    [({"y": 1}, []), ({}, ["y is not in the cell, and is not defined here either"])],
    ids=["it travels", "nothing"],
)
def test_a_name_that_would_be_missing_is_said(namespace: dict[str, Any], sentences: list[str]) -> None:
    assert list(warnings(names_of("x = y"), (), (), namespace)) == sentences


def test_a_magic_is_sent_to_another_cell() -> None:
    [sentence] = warnings(names_of("get_ipython().system('ls')"), (), (), {})
    assert "put them into another cell" in sentence


def test_an_output_that_nobody_assigns_is_noticed() -> None:
    sentences = list(warnings(names_of("a = b"), ["b"], ["a", "b", "c"], {}))
    assert sentences == ["c is in --out, and the cell does not assign it"]


def test_values_are_packed_by_their_hash() -> None:
    luggage = pack(["x", "a"], {"x": [1, 2], "a": np.arange(3), "other": object()})
    assert list(luggage.inputs) == ["x", "a"]
    assert luggage.inputs["x"] == ValueRef("json", hashlib.sha256(b"[1,2]").hexdigest(), 5, "list of 2")
    assert luggage.blobs[luggage.inputs["x"].sha256] == b"[1,2]"
    assert luggage.summary == "x (list of 2, 5 B), a (3 of int64, 152 B)"


@pytest.mark.parametrize(
    ("namespace", "message"),
    [({}, "x is not defined here"), ({"x": {1}}, "x cannot travel: it is set; send sorted(...) of it.")],
)
def test_what_cannot_be_packed_is_said(namespace: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pack(["x"], namespace)
    assert message in caught.value.message


def test_too_much_luggage_is_refused_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel, "MAX_TOTAL", 1024)
    with pytest.raises(TooLarge) as caught:
        pack(["a", "b"], {"a": b"x" * 1000, "b": b"y" * 1000})
    assert "The inputs take 2.0 KiB, and at most 1.0 KiB travel with a cell: a (bytes of 1000" in caught.value.message
    assert "shared storage" in caught.value.hint


def test_a_value_of_51_mib_is_refused_with_the_sentence() -> None:
    with pytest.raises(InvalidInput, match="x cannot travel: it takes 51 MiB, and at most 50 MiB can travel"):
        pack(["x"], {"x": bytes(51 * 1024**2)})


def reference(data: bytes, **changes: Any) -> ValueRef:
    fields = {"codec": "json", "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **changes}
    return ValueRef(**fields)


def test_a_value_is_unpacked() -> None:
    assert unpack("x", reference(b"[1]"), "json", b"[1]") == [1]


@pytest.mark.parametrize(
    ("announced", "codec"),
    [
        pytest.param(reference(b"[2]"), "json", id="another hash"),
        pytest.param(reference(b"[1]"), "text", id="another codec"),
        pytest.param(reference(b"[1]", size=4), "json", id="another size"),
        pytest.param(reference(b"[1]", codec="pickle"), "pickle", id="a codec that is none"),
    ],
)
def test_bytes_that_were_not_announced_are_not_decoded(announced: ValueRef, codec: str) -> None:
    with pytest.raises(InvalidInput, match=r"^x "):
        unpack("x", announced, codec, b"[1]")


def test_what_nobody_named_travels_too_and_what_was_named_once() -> None:
    luggage = pack(["x"], {"x": [1]}, {"x": [1], "y": 2})
    assert luggage.summary == "x (list of 1, 3 B), y (2, 1 B)"


def test_all_that_cannot_travel_is_said_at_once_with_what_can() -> None:
    with pytest.raises(InvalidInput) as caught:
        pack([], {}, {"lock": threading.Lock(), "y": 2, "odd": {1}})
    assert "lock: " in caught.value.message
    assert "odd: it is set; send sorted(...) of it" in caught.value.message
    assert caught.value.message.endswith("What travels: y (2, 1 B).")


def test_a_large_value_is_not_taken_along_in_silence() -> None:
    large = np.zeros(2_000_000)
    with pytest.raises(TooLarge) as caught:
        pack([], {}, {"large": large, "y": 2})
    assert "would take 15.3 MiB along" in caught.value.message
    assert caught.value.hint == "If that is meant, say so: --in large,y."
    assert pack(["large"], {"large": large}, {"y": 2}).inputs["large"].size > 10**7


def test_what_is_called_as_one_of_pythons_own_comes_along_if_it_is_the_persons() -> None:
    names = names_of("sum([max, exit, open])")
    assert names.free == frozenset()
    assert names.needed({"sum": 5, "max": max, "exit": object(), "open": open}) == {"sum"}
    assert names.needed({}) == set()
