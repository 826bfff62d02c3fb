"""What the hub's configuration takes from us, besides what a running hub shows."""

from __future__ import annotations

import gc
import sys

import pytest
from traitlets.config import Config

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.hub.wiring import configure, spare_imports


def test_a_configuration_without_the_platform_file_is_refused_before_the_hub_starts() -> None:
    with pytest.raises(InvalidInput, match="platform_file is not set") as caught:
        configure(Config())
    assert "above" in caught.value.hint


def test_what_was_imported_is_out_of_the_garbage_collectors_rounds() -> None:
    gc.unfreeze()  # what another test of this process has left
    before = gc.get_freeze_count()
    try:
        spare_imports()
        assert "aiinfn_hub.hub.spawner" in sys.modules
        assert gc.get_freeze_count() - before > 100_000
    finally:
        gc.unfreeze()
