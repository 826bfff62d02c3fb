"""What an attempt says of itself: numbers as code has them, the latest of each name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aiinfn_hub.contract.run.memory import Memory
from aiinfn_hub.contract.run.vitals import MOST, Vitals


def test_the_latest_of_each_name_counts() -> None:
    vitals = Vitals(Memory(0))
    vitals.set({"loss": 0.5, "epoch": 1})
    vitals.set({"loss": np.float32(0.25), "gain": float("nan"), "limit": float("-inf")})
    assert vitals.report()["metrics"] == {"loss": 0.25, "epoch": 1.0, "gain": None, "limit": None}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"loss": "low"}, ValueError),
        ({"loss": None}, TypeError),
        ({"loss": [1, 2]}, TypeError),
        ({"l" * 41: 1.0}, ValueError),
        ({f"m{number}": 1.0 for number in range(MOST)}, ValueError),
    ],
)
def test_what_is_no_number_is_refused_and_nothing_of_it_kept(values: dict[str, Any], error: type[Exception]) -> None:
    vitals = Vitals(Memory(0))
    vitals.set({"loss": 1.0})
    with pytest.raises(error):
        vitals.set({"other": 2.0, **values})
    assert vitals.report()["metrics"] == {"loss": 1.0}
