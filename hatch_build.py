"""Puts JupyterLab's side into the wheel, where `make frontend` has built it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontEnd(BuildHookInterface):
    """Without npm there is a wheel all the same: notices are in the panel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the wheel is put together; an editable install has a link of the Makefile's."""
        built = Path(self.root) / "aiinfn_labext" / "labextension"
        if version == "standard" and built.is_dir():
            build_data["shared_data"][str(built)] = "share/jupyter/labextensions/aiinfn-labext"
