"""What the hub's configuration takes from us, besides what a running hub shows."""

from __future__ import annotations

import gc
import sys

from aiinfn_hub.hub.wiring import spare_imports


def test_what_was_imported_is_out_of_the_garbage_collectors_rounds() -> None:
    gc.unfreeze()  # what another test of this process has left
    before = gc.get_freeze_count()
    try:
        spare_imports()
        assert "aiinfn_hub.hub.spawner" in sys.modules
        assert gc.get_freeze_count() - before > 100_000
    finally:
        gc.unfreeze()
