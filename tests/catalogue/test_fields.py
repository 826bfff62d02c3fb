"""The types of fields: what each takes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from aiinfn_hub.catalogue import fields

GOOD: dict[str, tuple[Any, list[Any]]] = {
    "name": (fields.Name, ["cpu", "a100-40-1g.5gb", "0", "a" * 63]),
    "object name": (fields.ObjectName, ["lhcb-flashsim", "a", "4d", "a" * 48]),
    "existing name": (fields.ExistingName, ["", "homes", "nfs.homes", "a" * 253]),
    "label key": (fields.LabelKey, ["nvidia.com/gpu.product", "zone", "kubernetes.io/hostname", "A_b.c-D"]),
    "label value": (fields.LabelValue, ["", "Tesla-T4", "NVIDIA-A100-SXM4-80GB", "true"]),
    "resource": (fields.ResourceName, ["", "nvidia.com/gpu", "amd.com/xilinx_u55c_gen3x16_xdma_base_3-0"]),
    "MIG profile": (fields.MigProfile, ["", "1g.5gb", "7g.80gb"]),
    "group": (fields.GroupPath, ["/aiinfn", "/aiinfn/lhcb-flashsim/pi", "/a_b/c.d"]),
    "absolute path": (fields.AbsolutePath, ["/home/jovyan", "/cvmfs", "/a/python:3.12"]),
    "sub path": (fields.SubPath, ["", "user-{person}", "{activity}", "shared/{activity}/{person}"]),
    "title": (fields.Title, ["NVIDIA A100, 40 GB", "Büro"]),
}
BAD: dict[str, tuple[Any, list[Any]]] = {
    "name": (fields.Name, ["", "CPU", "-a", "a-", "a b", "a\n", "a" * 64, "ä", 4]),
    "object name": (fields.ObjectName, ["", "a.b", "A", "a_b", "a" * 49, "a/b"]),
    "existing name": (fields.ExistingName, ["A", "a..b", "-a", "a" * 254]),
    "label key": (fields.LabelKey, ["", "/a", "a/", "a/b/c", "a b", "-a"]),
    "label value": (fields.LabelValue, ["-a", "a b", "a" * 64, "a/b", True]),
    "resource": (fields.ResourceName, ["gpu", "nvidia.com/", "/gpu", "NVIDIA.com/gpu"]),
    "MIG profile": (fields.MigProfile, ["1g", "1g.5GB", "0g.5gb", "1g.5gb.shared"]),
    "group": (fields.GroupPath, ["", "/", "aiinfn", "/aiinfn/", "//a", "/a/../b", "/a b", "/a\n"]),
    "absolute path": (fields.AbsolutePath, ["", "/", "home", "/home/", "//home", "/a/../b", "/a/./b", "/a b", "/$a"]),
    "sub path": (fields.SubPath, ["/a", "a/", "../a", "a/..", "a//b", "{", "{}", "{persn}", "{person.x}", "a b"]),
    "title": (fields.Title, ["", "a" * 121]),
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in GOOD.values() for value in values])
def test_it_is_taken_as_it_is(kind: Any, value: Any) -> None:
    assert TypeAdapter(kind).validate_python(value) == value


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in BAD.values() for value in values])
def test_it_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "amount"),
    [
        (fields.Cpu, 4, 4000),
        (fields.Cpu, "0.5", 500),
        (fields.Cpu, "500m", 500),
        (fields.Bytes, "16Gi", 16 * 2**30),
        (fields.Bytes, "16 GB", 16 * 10**9),
        (fields.Bytes, 0, 0),
        (fields.Seconds, "12h", 43200),
        (fields.Seconds, 90, 90),
        (fields.Weight, "1/7", 1 / 7),
        (fields.Weight, "0.4", 0.4),
        (fields.Weight, 1, 1.0),
        (fields.Weight, 0, 0.0),
    ],
)
def test_an_amount_is_read_as_people_write_it(kind: Any, value: Any, amount: float) -> None:
    assert TypeAdapter(kind).validate_python(value) == pytest.approx(amount)


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        (fields.Cpu, "lots", "Write cores"),
        (fields.Cpu, 0, "greater than or equal to 1"),
        (fields.Cpu, True, "is not an amount of CPU"),
        (fields.Cpu, [1], "is not an amount of CPU"),
        (fields.Bytes, "-1", "is not an amount of memory"),
        (fields.Bytes, None, "is not an amount of memory"),
        (fields.Seconds, "0s", "is not a duration"),
        (fields.Seconds, "1 fortnight", "is not a duration"),
        (fields.Weight, "1/0", "is not a weight"),
        (fields.Weight, "a seventh", "is not a weight"),
        (fields.Weight, -1, "greater than or equal to 0"),
        (fields.Weight, float("nan"), "finite"),
        (fields.Weight, "1025", "less than or equal to 1024"),
    ],
)
def test_an_amount_that_is_none_is_refused_in_a_sentence(kind: Any, value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(kind).validate_python(value)


@given(st.text(max_size=80))
def test_a_name_is_always_a_label_value(text: str) -> None:
    try:
        TypeAdapter(fields.Name).validate_python(text)
    except ValidationError:
        return
    assert TypeAdapter(fields.LabelValue).validate_python(text) == text


@given(st.text(alphabet="{}person.activity/-_", max_size=30))
def test_a_sub_path_never_leads_out_of_its_volume_once_filled_in(text: str) -> None:
    try:
        TypeAdapter(fields.SubPath).validate_python(text)
    except ValidationError:
        return
    filled = text.replace("{person}", "ada").replace("{activity}", "cms")
    assert "{" not in filled
    assert not filled.startswith("/")
    assert ".." not in filled.split("/")


def test_a_grammar_shows_in_the_schema() -> None:
    schema = TypeAdapter(fields.ObjectName).json_schema()
    assert schema["maxLength"] == 48
    assert schema["pattern"].startswith("^")
