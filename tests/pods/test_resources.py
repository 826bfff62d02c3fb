from __future__ import annotations

from typing import Any

import pytest
from support.small_platform import FLAVOURS, GI, small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.resources import devices, resources


@pytest.mark.parametrize(
    ("name", "cpu", "memory", "units", "expected"),
    [
        pytest.param(
            "cpu", 2000, 4 * GI, 1, {"cpu": "2", "memory": "4Gi"}, id="without an accelerator: CPU and memory"
        ),
        pytest.param("cpu", 1500, 1000, 1, {"cpu": "1500m", "memory": "1000"}, id="odd amounts are exact"),
        pytest.param("t4", 4000, 8 * GI, 1, {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}, id="a card"),
        pytest.param(
            "a100-1g.5gb",
            2000,
            4 * GI,
            3,
            {"cpu": "2", "memory": "4Gi", "nvidia.com/mig-1g.5gb": "3"},
            id="three slices",
        ),
    ],
)
def test_a_container_asks_for(name: str, cpu: int, memory: int, units: int, expected: dict[str, str]) -> None:
    found = resources(small_platform().flavour(name), cpu, memory, units)
    assert found == {"requests": expected, "limits": expected}


def test_a_flavour_of_several_devices_asks_for_all_of_them() -> None:
    pair: dict[str, Any] = {**FLAVOURS[1], "name": "t4-pair", "count": 2}
    platform = small_platform(flavours=[*FLAVOURS, pair])
    assert devices(platform.flavour("t4-pair"), 2) == {"nvidia.com/gpu": "4"}


@pytest.mark.parametrize(
    ("name", "cpu", "memory", "units"),
    [
        pytest.param("t4", 1000, GI, 0, id="no unit"),
        pytest.param("t4", 1000, GI, -1, id="less than none"),
        pytest.param("cpu", 1000, GI, 2, id="two of a flavour that has no accelerator"),
        pytest.param("cpu", 0, GI, 1, id="no CPU"),
        pytest.param("cpu", 1000, 0, 1, id="no memory"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, cpu: int, memory: int, units: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        resources(small_platform().flavour(name), cpu, memory, units)
    assert refused.value.hint


def test_requests_and_limits_can_be_changed_apart() -> None:
    found = resources(small_platform().flavour("cpu"), 1000, GI)
    found["limits"]["cpu"] = "9"
    assert found["requests"]["cpu"] == "1"
