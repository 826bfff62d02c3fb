from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from support.people import member_of
from support.small_platform import FLAVOURS, flavour, small_platform

from aiinfn_hub.contract.offer import FlavourOffer, Offer
from aiinfn_hub.sessions.availability import Seen
from aiinfn_hub.sessions.form import read_form
from aiinfn_hub.sessions.options import validate
from aiinfn_hub.sessions.profiles import choices
from aiinfn_hub.sessions.way_out import WayOut, way_out

BIG = flavour("a100", vendor="nvidia", resource="nvidia.com/gpu", compute_weight=1)
PLATFORM = small_platform(flavours=[*FLAVOURS[:4], BIG], sites=[])


def find(free: dict[str, int], *activities: str, failing: str = "", **options: Any) -> WayOut | None:
    person = member_of(PLATFORM, *(activities or ("lhcb",)))
    offer = Offer("mrossi", 0, [FlavourOffer(name, 8, amount, "unit") for name, amount in free.items()], [])
    spec = validate(PLATFORM, person, options)
    return way_out(choices(PLATFORM, person), Seen(offer, 0, failing), spec, options)


@pytest.mark.parametrize(
    ("wanted", "free", "best"),
    [
        pytest.param("t4", {"a100-1g.5gb": 3, "a100": 1}, "a100-1g.5gb", id="the nearest in weight"),
        pytest.param("a100", {"a100-1g.5gb": 3, "t4": 1}, "t4", id="the nearest in weight, from above"),
        pytest.param("t4", {"cpu": 64, "a100": 1}, "a100", id="not one without an accelerator"),
        pytest.param("t4", {"a100-1g.5gb": 0, "a100": 0}, None, id="nothing is free"),
        pytest.param("t4", {"t4": 1}, None, id="not the same one"),
        pytest.param("t4", {"u55c": 1}, None, id="not one that is closed to the person"),
        pytest.param("t4", {}, None, id="nothing is known"),
    ],
)
def test_what_is_suggested(wanted: str, free: dict[str, int], best: str | None) -> None:
    found = find(free, flavour=wanted)
    assert (found.flavour if found else None) == best


def test_an_accelerator_of_the_same_maker_comes_first() -> None:
    found = find({"u55c": 1, "a100-1g.5gb": 1}, "fpga", flavour="t4")
    assert found is not None
    assert found.flavour == "a100-1g.5gb"


def test_another_sort_of_accelerator_is_better_than_none() -> None:
    found = find({"u55c": 1}, "fpga", flavour="t4")
    assert found is not None
    assert found.flavour == "u55c"


def test_what_is_not_known_is_not_suggested() -> None:
    assert find({"a100": 1}, failing="the service does not answer", flavour="t4") is None


def test_the_link_keeps_what_does_not_belong_to_the_accelerator() -> None:
    found = find({"a100": 1}, flavour="t4", cpu="4", memory="8Gi", environment="image:root", volumes=["public", "s3"])
    assert found is not None
    assert (found.title, found.free) == ("Flavour a100", "1 of 8 free")
    fields = {name.removeprefix("opt-"): value for name, value in parse_qs(found.query).items()}
    assert read_form(fields) == {
        "activity": "lhcb",
        "flavour": "a100",
        "environment": "image:root",
        "volumes": ["public", "s3"],
    }
