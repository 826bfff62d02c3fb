"""The starts of one click: what is offered, what a click means, and what it does not start."""

from __future__ import annotations

from typing import Any

import pytest
from support.small_platform import small_platform

from aiinfn_hub.contract.offer import FlavourOffer, Offer
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.identity.person import person_of
from aiinfn_hub.sessions.availability import Seen
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.quick import chosen, offered, plain

PLATFORM = small_platform()
LHCB = person_of(PLATFORM, "ada", ["/aiinfn", "/aiinfn/lhcb"])
BOTH = person_of(PLATFORM, "eve", ["/aiinfn", "/aiinfn/lhcb", "/aiinfn/cms"])
SEEN = Seen(Offer("ada", 5.0, [FlavourOffer("t4", 8, 3, "unit"), FlavourOffer("cpu", 64, 60, "core")], []), 5.0)
GPU = {"activity": "lhcb", "flavour": "t4", "cpu": "4", "lifetime": "2h", "environment": "image:root"}
NONE = {"activity": "lhcb", "flavour": "cpu"}


@pytest.mark.parametrize(
    ("person", "worked", "values"),
    [
        pytest.param(LHCB, {}, ["cpu"], id="at the first time"),
        pytest.param(BOTH, {}, [], id="nobody knows what is charged"),
        pytest.param(LHCB, GPU, ["again", "cpu"], id="the last one, or none"),
        pytest.param(BOTH, GPU, ["again", "cpu"], id="charged as the last one"),
        pytest.param(LHCB, NONE, ["again"], id="the last one had none"),
        pytest.param(LHCB, GPU | {"flavour": "u55c"}, ["cpu"], id="it may not be used any more"),
        pytest.param(LHCB, GPU | {"activity": "gone"}, ["cpu"], id="its activity is gone"),
        pytest.param(LHCB, {"nonsense": "1"}, ["cpu"], id="of another version"),
    ],
)
def test_what_is_offered(person: Any, worked: dict[str, Any], values: list[str]) -> None:
    found = offered(PLATFORM, person, choices(PLATFORM, person), SEEN, worked)
    assert [one.value for one in found] == values


def test_what_it_says() -> None:
    again, plain_one = offered(PLATFORM, LHCB, choices(PLATFORM, LHCB), SEEN, GPU)
    assert again.detail == "NVIDIA T4, 4 cores, 4 GB, 2 h, root:6 (sha256:abababababab), LHCb flash simulation"
    assert again.words.text == "3 of 8 free"
    assert plain_one.detail.startswith("Flavour cpu, 1 core, 4 GB, 8 h, pytorch:2.9")
    assert plain_one.words.text == "60 of 64 cores free"


def test_the_activity_that_is_chosen_is_charged() -> None:
    fields = {"quick": ["cpu"], "activity": ["cms"], "flavour": ["t4"]}
    assert chosen(PLATFORM, choices(PLATFORM, BOTH), GPU, fields) == {"activity": "cms", "flavour": "cpu"}


def test_the_last_one_is_what_it_was() -> None:
    assert chosen(PLATFORM, choices(PLATFORM, BOTH), GPU, {"quick": ["again"], "activity": ["cms"]}) == GPU


@pytest.mark.parametrize(
    ("worked", "fields"),
    [
        ({}, {"quick": ["again"]}),
        ({}, {"quick": ["cpu"]}),
        (GPU, {"quick": ["everything"]}),
        (GPU, {"quick": []}),
    ],
)
def test_a_click_on_nothing(worked: dict[str, Any], fields: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidInput):
        chosen(PLATFORM, choices(PLATFORM, BOTH), worked, fields)


def test_an_activity_of_somebody_else_is_not_charged() -> None:
    assert plain(choices(PLATFORM, LHCB), {}, "cms") == {"activity": "lhcb", "flavour": "cpu"}


EXERCISE = {
    "name": "exercise",
    "title": "Exercises of the school",
    "activity": "lhcb",
    "flavour": "t4",
    "lifetime": "2h",
}
SCHOOL = small_platform(presets=[EXERCISE, {"name": "fpga", "title": "FPGA", "activity": "fpga", "flavour": "u55c"}])


def test_a_preset_is_offered_to_who_may_have_all_of_it() -> None:
    found = offered(SCHOOL, LHCB, choices(SCHOOL, LHCB), SEEN, {})
    assert [(one.value, one.label) for one in found] == [
        ("cpu", "Start without accelerator"),
        ("preset-exercise", "Exercises of the school"),
    ]
    assert found[1].detail.startswith("NVIDIA T4, 2 cores, 4 GB, 2 h, ")
    assert chosen(SCHOOL, choices(SCHOOL, LHCB), {}, {"quick": ["preset-exercise"]}) == {
        "activity": "lhcb",
        "flavour": "t4",
        "lifetime": "2h",
    }


def test_what_the_last_one_was_is_not_offered_twice() -> None:
    worked = {"activity": "lhcb", "flavour": "t4", "lifetime": "2h"}
    found = offered(SCHOOL, LHCB, choices(SCHOOL, LHCB), SEEN, worked)
    assert [one.value for one in found] == ["again", "cpu"]


def test_a_preset_of_another_platform_starts_nothing() -> None:
    with pytest.raises(InvalidInput):
        chosen(PLATFORM, choices(PLATFORM, LHCB), {}, {"quick": ["preset-exercise"]})


def test_the_volumes_of_a_preset() -> None:
    platform = small_platform(presets=[EXERCISE | {"volumes": []}])
    assert platform.presets[0].options["volumes"] == []
    assert "volumes" not in SCHOOL.presets[0].options
