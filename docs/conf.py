"""Sphinx's settings. The reference pages are made from the code at each build."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

from aiinfn_hub import __version__

project = "aiinfn"
author = "The aiinfn developers"
copyright = "The aiinfn developers"
version = release = __version__
extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"aiinfn {version}"
nitpicky = True

generate.write(Path(__file__).parent / "reference" / "generated")
