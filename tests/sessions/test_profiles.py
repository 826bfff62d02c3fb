from __future__ import annotations

import pytest
from support.people import member_of, scientist
from support.small_platform import FLAVOURS, flavour, small_platform

from aiinfn_hub.errors import Forbidden
from aiinfn_hub.sessions.profiles import choices, session_flavours


def test_a_person_is_offered_the_flavours_of_this_cluster_in_the_order_of_the_file() -> None:
    platform = small_platform()
    found = choices(platform, scientist(platform))
    assert [choice.flavour.name for choice in found.flavours] == ["cpu", "t4", "a100-1g.5gb", "u55c"]


def test_a_flavour_of_a_site_is_not_for_sessions() -> None:
    assert "far" not in {one.name for one in session_flavours(small_platform())}


@pytest.mark.parametrize(
    "sites",
    [
        pytest.param([], id="no site is described"),
        pytest.param([{"name": "here", "title": "Here"}], id="the local site names no flavours"),
        pytest.param([{"name": "x", "title": "X", "kind": "interlink", "flavours": ["cpu"]}], id="no site is local"),
    ],
)
def test_every_flavour_is_here_when(sites: list[dict[str, object]]) -> None:
    assert len(session_flavours(small_platform(sites=sites))) == len(FLAVOURS)


def test_a_closed_flavour_is_listed_with_the_groups_that_open_it() -> None:
    platform = small_platform()
    fpga = choices(platform, scientist(platform)).flavours[-1]
    assert (fpga.open, fpga.groups) == (False, ("/aiinfn/fpga",))


def test_an_open_flavour_says_which_of_the_persons_activities_may_use_it() -> None:
    platform = small_platform()
    found = choices(platform, member_of(platform, "cms", "fpga"))
    assert found.flavours[0].activities == ("cms", "fpga")
    assert found.flavours[-1].activities == ("fpga",)
    assert found.flavours[-1].groups == ()


def test_only_the_persons_activities_can_be_charged() -> None:
    platform = small_platform()
    assert [activity.name for activity in choices(platform, scientist(platform)).activities] == ["lhcb"]


def test_hidden_images_and_volumes_without_a_choice_are_not_shown() -> None:
    platform = small_platform()
    found = choices(platform, scientist(platform))
    assert [image.name for image in found.images] == ["pytorch", "root"]
    assert [volume.name for volume in found.volumes] == ["public", "cvmfs", "s3"]


def test_somebody_who_does_not_say_gets_no_accelerator() -> None:
    platform = small_platform(flavours=[FLAVOURS[1], FLAVOURS[0]], sites=[])
    assert choices(platform, scientist(platform)).first.name == "cpu"


def test_where_everything_has_an_accelerator_the_first_one_is_it() -> None:
    platform = small_platform(flavours=[FLAVOURS[2], FLAVOURS[1]], sites=[])
    assert choices(platform, scientist(platform)).first.name == "a100-1g.5gb"


def test_nobody_without_an_activity_gets_the_spawners_defaults() -> None:
    platform = small_platform()
    with pytest.raises(Forbidden, match="mrossi is in no activity") as refused:
        choices(platform, member_of(platform))
    assert "/aiinfn/lhcb" in refused.value.hint


def test_nobody_without_a_flavour_gets_the_spawners_defaults() -> None:
    platform = small_platform(flavours=[flavour("cpu", activities=["cms"])], sites=[])
    with pytest.raises(Forbidden, match="None of the flavours") as refused:
        choices(platform, scientist(platform))
    assert "/aiinfn/cms" in refused.value.hint
