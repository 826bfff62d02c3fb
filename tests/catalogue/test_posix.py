"""POSIX users in the platform file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.small_platform import POSIX, VOLUMES, small_document

from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.errors import CatalogueInvalid


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"posix": POSIX | {"last_uid": 199_999}}, "last_uid comes before first_uid", id="backwards"),
        pytest.param({"posix": POSIX | {"keeper_uid": 200_001}}, "keeper_uid lies among", id="the keeper is a person"),
        pytest.param({"posix": POSIX | {"first_uid": 0}}, "first_uid", id="root is a person"),
        pytest.param({"posix": POSIX | {"claim": "a..b"}}, "claim", id="no claim"),
        pytest.param({"posix": {"image": "busybox"}}, "neither tag nor digest", id="any image"),
        pytest.param(
            {"posix": POSIX, "volumes": [VOLUMES[0] | {"sub_path": "{person}/home"}]},
            "must have {person} in its last part only",
            id="a folder above that is one person's",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(small_document(**changes)))
    with pytest.raises(CatalogueInvalid) as caught:
        load_platform(path)
    assert re.search(re.escape(words), str(caught.value) + str(caught.value.details))
