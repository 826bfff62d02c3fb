from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.people import member_of, scientist
from support.small_platform import DIGEST, small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.sessions.form import read_form
from aiinfn_hub.sessions.options import validate
from aiinfn_hub.sessions.records import MOST, again, exactly, image_of, remembered

PLATFORM = small_platform()
PYTORCH = "ghcr.io/infn/pytorch:2.9"
T4 = {"activity": "lhcb", "flavour": "t4", "environment": "image:pytorch"}
CPU = {"activity": "lhcb", "flavour": "cpu"}


def pod(image: str = PYTORCH, image_id: str = "") -> dict[str, Any]:
    return {
        "spec": {"containers": [{"name": "notebook", "image": image}, {"name": "beside", "image": "x/y:1"}]},
        "status": {
            "containerStatuses": [
                {"name": "beside", "imageID": "x/y@" + DIGEST.replace("ab", "cd")},
                {"name": "notebook", "imageID": image_id},
            ]
        },
    }


@pytest.mark.parametrize(
    ("found", "image"),
    [
        pytest.param(pod(image_id=f"ghcr.io/infn/pytorch@{DIGEST}"), f"{PYTORCH}@{DIGEST}", id="pulled"),
        pytest.param(pod(image_id=f"docker-pullable://x@{DIGEST}"), f"{PYTORCH}@{DIGEST}", id="as Docker says it"),
        pytest.param(pod(image_id=DIGEST), PYTORCH, id="loaded by hand: an id that no registry knows"),
        pytest.param(pod(image_id="process://00"), PYTORCH, id="no image at all"),
        pytest.param(pod(image=f"{PYTORCH}@{DIGEST}"), f"{PYTORCH}@{DIGEST}", id="named by its digest"),
        pytest.param({"spec": {"containers": [{"name": "a", "image": "x"}]}}, "x", id="no status yet"),
        pytest.param(None, "", id="no pod"),
    ],
)
def test_the_image_is_the_one_that_ran(found: dict[str, Any] | None, image: str) -> None:
    assert image_of(found) == image


@pytest.mark.parametrize(
    ("options", "image", "environment", "runs"),
    [
        pytest.param(T4, f"{PYTORCH}@{DIGEST}", f"image:pytorch@{DIGEST}", f"{PYTORCH}@{DIGEST}", id="of the list"),
        pytest.param(
            CPU, f"{PYTORCH}@{DIGEST}", f"image:pytorch@{DIGEST}", f"{PYTORCH}@{DIGEST}", id="nothing was chosen"
        ),
        pytest.param(
            CPU | {"environment": "registry:ghcr.io/infn/own:1"},
            f"ghcr.io/infn/own:1@{DIGEST}",
            f"registry:ghcr.io/infn/own:1@{DIGEST}",
            f"ghcr.io/infn/own:1@{DIGEST}",
            id="of a registry",
        ),
        pytest.param(
            T4, f"ghcr.io/infn/pytorch:2.7@{DIGEST}", f"registry:ghcr.io/infn/pytorch:2.7@{DIGEST}",
            f"ghcr.io/infn/pytorch:2.7@{DIGEST}", id="the list has a later one now",
        ),
        pytest.param(
            CPU | {"environment": "image:gone"}, f"ghcr.io/infn/tf:1@{DIGEST}", f"image:gone@{DIGEST}",
            f"ghcr.io/infn/tf:1@{DIGEST}", id="one that is replaced by another by now",
        ),
        pytest.param(T4, PYTORCH, "image:pytorch", PYTORCH, id="nobody knows the digest"),
    ],
)  # fmt: skip
def test_a_record_starts_the_very_image(options: dict[str, Any], image: str, environment: str, runs: str) -> None:
    found = exactly(PLATFORM, {"options": options, "image": image, "at": 1.0})
    assert found["environment"] == environment
    assert validate(PLATFORM, scientist(PLATFORM), found).image == runs


def test_an_image_of_a_path_is_what_lies_there() -> None:
    options = CPU | {"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1"}
    assert exactly(PLATFORM, {"options": options, "image": f"ghcr.io/infn/box:1@{DIGEST}"}) == options


@pytest.mark.parametrize(
    "name", ["pytorch@sha256:12", "pytorch@", "pytorch@latest", f"pytorch@{DIGEST}@{DIGEST}", "@x"]
)
def test_what_is_no_digest_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        validate(PLATFORM, scientist(PLATFORM), CPU | {"environment": f"image:{name}"})


def test_asked_again_while_it_runs_a_session_stays_one_record() -> None:
    first = remembered([], T4, PYTORCH, 10.0)
    assert remembered(first, T4, PYTORCH, 20.0) == first == [{"options": T4, "image": PYTORCH, "at": 10.0}]
    both = remembered(first, CPU, PYTORCH, 30.0)
    assert [one["at"] for one in both] == [30.0, 10.0]
    assert [one["at"] for one in remembered(both, T4, PYTORCH, 40.0)] == [40.0, 30.0], "the same is there once"
    assert [one["at"] for one in remembered(both, T4, f"{PYTORCH}@{DIGEST}", 40.0)] == [40.0, 30.0, 10.0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60))
def test_few_are_kept_and_none_twice(starts: list[tuple[int, int]]) -> None:
    records: list[dict[str, Any]] = []
    for moment, (options, image) in enumerate(starts):
        records = remembered(records, {"cpu": str(options)}, f"x:{image}", float(moment))
    assert len(records) <= MOST
    seen = [(one["options"]["cpu"], one["image"]) for one in records]
    assert len(set(seen)) == len(seen)
    if starts:
        assert seen[0] == (str(starts[-1][0]), f"x:{starts[-1][1]}")


def test_a_link_fills_in_the_form_with_it() -> None:
    options = T4 | {"volumes": ["public", "cvmfs"], "cpu": "4"}
    [link] = again(PLATFORM, scientist(PLATFORM), [{"options": options, "image": f"{PYTORCH}@{DIGEST}", "at": 5.0}])
    assert link.detail == "NVIDIA T4, 4 cores, 4 GB, 8 h, pytorch:2.9 (sha256:abababababab), LHCb flash simulation"
    fields = {name.removeprefix("opt-"): values for name, values in parse_qs(link.query).items()}
    assert read_form(fields) == options | {"environment": f"image:pytorch@{DIGEST}"}


def test_none_of_the_volumes_is_a_choice_too() -> None:
    [link] = again(PLATFORM, scientist(PLATFORM), [{"options": CPU | {"volumes": []}, "image": PYTORCH}])
    fields = {name.removeprefix("opt-"): values for name, values in parse_qs(link.query, True).items()}
    assert read_form(fields)["volumes"] == []


@pytest.mark.parametrize(
    "record",
    [
        pytest.param({"options": {"flavour": "h100"}, "image": ""}, id="a flavour that is gone"),
        pytest.param({"options": {"activity": "cms"}, "image": ""}, id="an activity that the person left"),
        pytest.param(
            {"options": CPU, "image": f"evil.example.org/x:1@{DIGEST}"}, id="a registry that is not allowed now"
        ),
    ],
)
def test_what_the_person_cannot_have_any_more_is_not_offered(record: dict[str, Any]) -> None:
    assert again(PLATFORM, member_of(PLATFORM, "lhcb"), [record]) == []
