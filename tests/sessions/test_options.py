from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.people import member_of, scientist
from support.small_platform import DIGEST, FLAVOURS, GI, flavour, small_platform

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput, QuotaExceeded
from aiinfn_hub.sessions.options import OPTIONS, SessionSpec, check_held, default_lifetime, lifetimes, validate
from aiinfn_hub.sessions.profiles import choices

PLATFORM = small_platform()
H = 3600


def decide(*activities: str, **options: Any) -> SessionSpec:
    return validate(PLATFORM, member_of(PLATFORM, *(activities or ("lhcb",))), options)


def refuse(*activities: str, **options: Any) -> AiinfnError:
    with pytest.raises(AiinfnError) as refused:
        decide(*activities, **options)
    return refused.value


def test_somebody_who_says_nothing_gets_a_small_session_without_accelerator() -> None:
    spec = decide()
    assert (spec.flavour.name, spec.cpu_millis, spec.memory_bytes) == ("cpu", 1000, 4 * GI)
    assert (spec.activity.name, spec.activity_reason) == ("lhcb", "the only one")
    assert (spec.image, spec.apptainer) == ("ghcr.io/infn/pytorch:2.9", "")
    assert (spec.lifetime_s, spec.volumes) == (8 * H, ("public",))


def test_everything_can_be_said() -> None:
    spec = decide(
        "lhcb",
        "cms",
        flavour="a100-1g.5gb",
        cpu="8",
        memory="8Gi",
        activity="cms",
        environment="image:root",
        lifetime="2h",
        volumes=["cvmfs"],
    )
    assert (spec.flavour.name, spec.cpu_millis, spec.memory_bytes) == ("a100-1g.5gb", 8000, 8 * GI)
    assert (spec.activity.name, spec.activity_reason) == ("cms", "chosen")
    assert spec.image == f"ghcr.io/infn/root:6@{DIGEST}"
    assert (spec.lifetime_s, spec.volumes) == (2 * H, ("cvmfs",))


@pytest.mark.parametrize("nothing", [None, ""], ids=["null", "an empty text"])
@pytest.mark.parametrize("option", [name for name in OPTIONS if name != "volumes"])
def test_an_empty_value_means_the_default(option: str, nothing: Any) -> None:
    assert decide(**{option: nothing}) == decide()


@pytest.mark.parametrize(
    ("options", "attribute", "expected"),
    [
        pytest.param({"cpu": 2}, "cpu_millis", 2000, id="a number of cores"),
        pytest.param({"cpu": "2000m"}, "cpu_millis", 2000, id="millicores"),
        pytest.param({"memory": "8 GiB"}, "memory_bytes", 8 * GI, id="memory as people write it"),
        pytest.param({"lifetime": "90m"}, "lifetime_s", 5400, id="a time that the form does not offer"),
        pytest.param({"lifetime": "28800s"}, "lifetime_s", 8 * H, id="the form's own way to write a time"),
        pytest.param({"rescue": "1"}, "rescue", True, id="the checkbox of the form"),
        pytest.param({"rescue": True}, "rescue", True, id="a truth value of REST"),
        pytest.param({"rescue": "0"}, "rescue", False, id="no rescue"),
        pytest.param({"volumes": []}, "volumes", (), id="no optional volume at all"),
        pytest.param({"volumes": ["s3", "public"]}, "volumes", ("public", "s3"), id="volumes in the order of the file"),
        pytest.param({"volumes": ["home", "public"]}, "volumes", ("public",), id="a volume that everybody has"),
        pytest.param({"environment": "image:old"}, "image", "ghcr.io/infn/pytorch:2.1", id="a hidden image"),
        pytest.param({"environment": "image:gone"}, "image", "ghcr.io/infn/pytorch:2.9", id="a replaced image"),
        pytest.param({"environment": "registry:ghcr.io/infn/x:1"}, "image", "ghcr.io/infn/x:1", id="a free reference"),
        pytest.param(
            {"environment": "registry: ghcr.io/infn/x:1 "}, "image", "ghcr.io/infn/x:1", id="spaces around it"
        ),
        pytest.param({"environment": "registry:ghcr.io/infn/x"}, "image", "ghcr.io/infn/x:latest", id="without a tag"),
    ],
)
def test_a_value_is_understood(options: dict[str, Any], attribute: str, expected: Any) -> None:
    assert getattr(decide(**options), attribute) == expected


def test_an_unpacked_image_is_carried_and_brings_the_volume_that_it_lies_on() -> None:
    spec = decide(environment="apptainer:/cvmfs/unpacked.infn.it/x:1", volumes=[])
    assert (spec.image, spec.apptainer) == ("ghcr.io/infn/box:1", "/cvmfs/unpacked.infn.it/x:1")
    assert spec.volumes == ("cvmfs",)
    assert "cvmfs" in decide(environment="apptainer:/cvmfs/unpacked.infn.it/x:1").volumes


@pytest.mark.parametrize(
    ("option", "value", "kind", "nearest"),
    [
        pytest.param("flavour", "t5", InvalidInput, "t4", id="a flavour with a typing mistake"),
        pytest.param("flavour", "far", InvalidInput, "cpu", id="a flavour of a site"),
        pytest.param("flavour", "u55c", Forbidden, "/aiinfn/fpga", id="a flavour of another group"),
        pytest.param("flavour", ["t4"], InvalidInput, "one value", id="a list of flavours"),
        pytest.param("cpu", "3", InvalidInput, "nearest is 2", id="an amount between two steps"),
        pytest.param("cpu", "1000", InvalidInput, "nearest is 4", id="more CPU than there is"),
        pytest.param("cpu", "0", InvalidInput, "nearest is 1", id="no CPU"),
        pytest.param("cpu", "-1", InvalidInput, "cores", id="less than none"),
        pytest.param("cpu", "nan", InvalidInput, "cores", id="not a number"),
        pytest.param("cpu", True, InvalidInput, "cores", id="a truth value"),
        pytest.param("cpu", {"a": 1}, InvalidInput, "cores", id="an object"),
        pytest.param("memory", "1Ti", InvalidInput, "nearest is 8Gi", id="more memory than there is"),
        pytest.param("memory", "lots", InvalidInput, "16Gi", id="memory in words"),
        pytest.param("activity", "cms", Forbidden, "lhcb", id="an activity of others"),
        pytest.param("activity", "lchb", InvalidInput, "lhcb", id="an activity with a typing mistake"),
        pytest.param("lifetime", "13h", InvalidInput, "12 h", id="longer than the flavour allows"),
        pytest.param("lifetime", "1s", InvalidInput, "10 min", id="too short to be useful"),
        pytest.param("lifetime", "soon", InvalidInput, "2h", id="a time in words"),
        pytest.param("environment", "pytorch", InvalidInput, "image:NAME", id="an environment without its kind"),
        pytest.param("environment", "docker:x", InvalidInput, "registry:", id="a kind that does not exist"),
        pytest.param("environment", 7, InvalidInput, "image:NAME", id="a number as environment"),
        pytest.param("environment", "image:pytroch", InvalidInput, "pytorch", id="an image with a typing mistake"),
        pytest.param("environment", "image:", InvalidInput, "pytorch", id="an image without a name"),
        pytest.param("environment", "registry:evil.example/x:1", InvalidInput, "ghcr.io/infn/*", id="another registry"),
        pytest.param(
            "environment", "registry:ghcr.io/infn.evil/x", InvalidInput, "ghcr.io/infn/*", id="a similar name"
        ),
        pytest.param(
            "environment", "registry:ghcr.io/infn/x:1@evil.example/y", InvalidInput, "", id="a second registry behind @"
        ),
        pytest.param("environment", "registry:ghcr.io/infn/../evil/x", InvalidInput, "", id="a path that climbs"),
        pytest.param("environment", "registry:ghcr.io/infn/x:1\nRUN", InvalidInput, "", id="a line break"),
        pytest.param(
            "environment", "registry:ghcr.io/infn/x:1 --privileged", InvalidInput, "", id="an option after it"
        ),
        pytest.param(
            "environment", "apptainer:/home/x.sif", InvalidInput, "/cvmfs/unpacked.infn.it", id="another folder"
        ),
        pytest.param(
            "environment",
            "apptainer:/cvmfs/unpacked.infn.it/../../etc",
            InvalidInput,
            "",
            id="an image path that climbs",
        ),
        pytest.param(
            "environment",
            "apptainer:/cvmfs/unpacked.infn.it-evil/x",
            InvalidInput,
            "",
            id="a folder with a similar name",
        ),
        pytest.param("environment", "apptainer:/cvmfs/unpacked.infn.it/a,b", InvalidInput, "", id="a second bind"),
        pytest.param(
            "environment", "apptainer:/cvmfs/unpacked.infn.it/x.sif", InvalidInput, "No accelerator", id="an image file"
        ),
        pytest.param("rescue", "maybe", InvalidInput, "Write 1", id="neither yes nor no"),
        pytest.param("volumes", ["cvfms"], InvalidInput, "cvmfs", id="a volume with a typing mistake"),
        pytest.param("volumes", "public", InvalidInput, '["public"', id="a text where a list belongs"),
        pytest.param("volumes", [["public"]], InvalidInput, "text", id="a list in a list"),
    ],
)
def test_a_value_that_cannot_be_had_is_refused(option: str, value: Any, kind: type[AiinfnError], nearest: str) -> None:
    error = refuse(**{option: value})
    assert type(error) is kind
    assert error.message.startswith(OPTIONS[option].label)
    assert nearest in error.hint
    assert error.hint
    assert error.details["option"] == option
    assert "\n" not in str(error)
    json.dumps(error.to_json())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        pytest.param("flavor", "flavour", id="the American spelling"),
        pytest.param("image", "There are", id="a name of another spawner"),
        pytest.param("profile", "There are", id="KubeSpawner's profiles"),
        pytest.param("kubespawner_override", "There are", id="KubeSpawner's overrides"),
        pytest.param("<script>", "There are", id="a tag"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(name: str, near: str) -> None:
    error = refuse(**{name: "x"})
    assert isinstance(error, InvalidInput)
    assert near in error.hint


@pytest.mark.parametrize("options", [[], "flavour=t4", 7], ids=["a list", "a text", "a number"])
def test_options_without_names_are_refused(options: Any) -> None:
    with pytest.raises(InvalidInput, match="named values"):
        validate(PLATFORM, scientist(PLATFORM), options)


def test_a_value_of_a_megabyte_is_refused_without_repeating_it() -> None:
    error = refuse(memory="9" * 1_000_000)
    assert len(str(error)) < 300


def test_somebody_in_two_activities_must_say_which_is_charged() -> None:
    error = refuse("lhcb", "cms")
    assert (error.details["option"], error.status) == ("activity", 400)
    assert "lhcb, cms" in error.hint


def test_a_flavour_of_the_other_activity_names_the_one_to_charge() -> None:
    error = refuse("lhcb", "fpga", activity="lhcb", flavour="u55c")
    assert isinstance(error, Forbidden)
    assert "fpga" in error.hint


def test_the_same_flavour_is_open_when_the_right_activity_is_charged() -> None:
    assert decide("lhcb", "fpga", activity="fpga", flavour="u55c").flavour.name == "u55c"


def test_where_everything_has_an_accelerator_nobody_gets_one_by_accident() -> None:
    platform = small_platform(flavours=[FLAVOURS[1]], sites=[])
    with pytest.raises(InvalidInput, match="Which one") as refused:
        validate(platform, scientist(platform), {})
    assert "t4" in refused.value.hint


def test_images_that_replace_each_other_are_refused() -> None:
    images = [
        {"name": "first", "title": "First", "ref": "ghcr.io/infn/a:1"},
        {"name": "a", "title": "A", "ref": "ghcr.io/infn/a:1", "redirect": "b"},
        {"name": "b", "title": "B", "ref": "ghcr.io/infn/b:1", "redirect": "a"},
    ]
    platform = small_platform(images=images)
    with pytest.raises(InvalidInput, match="replaced by itself"):
        validate(platform, scientist(platform), {"environment": "image:a"})


def test_a_platform_that_shows_no_image_says_so() -> None:
    platform = small_platform(images=[{"name": "a", "title": "A", "ref": "ghcr.io/infn/a:1", "hidden": True}])
    with pytest.raises(InvalidInput, match="shows no image"):
        validate(platform, scientist(platform), {})


def test_one_more_session_than_allowed_is_refused() -> None:
    with pytest.raises(QuotaExceeded, match="1 of 1") as refused:
        check_held(decide(flavour="t4"), ["cpu", "t4"])
    assert refused.value.details == {"option": "flavour"}


@pytest.mark.parametrize("others", [[], ["cpu", "cpu"]], ids=["no other session", "sessions with other flavours"])
def test_a_session_within_the_limit_is_fine(others: list[str]) -> None:
    check_held(decide(flavour="t4"), others)
    check_held(decide(), [*others, "cpu"])


@pytest.mark.parametrize(
    ("longest", "default", "last"),
    [
        pytest.param("12h", 8 * H, 12 * H, id="half a day"),
        pytest.param("2h", 2 * H, 2 * H, id="shorter than the usual default"),
        pytest.param("3d", 8 * H, 72 * H, id="three days"),
        pytest.param("5m", 300, 300, id="less than the shortest of the list"),
    ],
)
def test_lifetimes_end_at_the_flavours_longest(longest: str, default: int, last: int) -> None:
    one = small_platform(flavours=[flavour("x", max_lifetime=longest)], sites=[]).flavour("x")
    assert (default_lifetime(one), lifetimes(one)[-1]) == (default, last)
    assert list(lifetimes(one)) == sorted(set(lifetimes(one)))


def test_every_lifetime_of_the_form_is_accepted() -> None:
    for name in ("cpu", "t4", "a100-1g.5gb"):
        for seconds in lifetimes(PLATFORM.flavour(name)):
            assert decide(flavour=name, lifetime=f"{seconds}s").lifetime_s == seconds


VALUES = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=8), max_size=3),
)


def outcome(options: dict[str, Any]) -> SessionSpec | AiinfnError:
    try:
        return validate(PLATFORM, scientist(PLATFORM), options)
    except AiinfnError as error:
        return error


@given(st.dictionaries(st.sampled_from(sorted(OPTIONS)), VALUES))
def test_nothing_that_is_posted_breaks_the_validation(options: dict[str, Any]) -> None:
    found = outcome(options)
    if isinstance(found, AiinfnError):
        assert found.status in (400, 403)
        assert found.details["option"] in OPTIONS
    else:
        assert found.activity.name == "lhcb"
        assert found.flavour.name != "u55c"
        assert found.image.startswith("ghcr.io/infn/")


def test_what_was_decided_can_be_asked_for_again() -> None:
    first = decide(flavour="t4", cpu="4", memory="8Gi", lifetime="2h")
    again = decide(
        flavour=first.flavour.name,
        cpu=first.cpu_millis / 1000,
        memory=first.memory_bytes,
        lifetime=first.lifetime_s,
        activity=first.activity.name,
        volumes=list(first.volumes),
    )
    assert (again.cpu_millis, again.memory_bytes, again.lifetime_s) == (4000, 8 * GI, 2 * H)


@pytest.mark.parametrize(
    ("driver", "chosen", "refused"),
    [
        pytest.param(
            "12.8", "image:pytorch", "PyTorch 2.9 needs CUDA 13, and the drivers of NVIDIA T4 have 12.8.", id="too new"
        ),
        pytest.param("12.8", None, "PyTorch 2.9 needs CUDA 13", id="the recommended one is too new"),
        pytest.param("12.8", "image:gone", "PyTorch 2.9 needs CUDA 13", id="what it was replaced by is"),
        pytest.param("13.0", "image:pytorch", "", id="as new as the driver"),
        pytest.param("14", "image:pytorch", "", id="older than the driver"),
        pytest.param("12.8", "image:root", "", id="it says nothing of CUDA"),
        pytest.param("", "image:pytorch", "", id="nobody knows the drivers"),
        pytest.param("12.8", "registry:ghcr.io/infn/x:1", "", id="nobody knows the image"),
    ],
)
def test_an_image_for_a_later_cuda_is_refused_before_a_pod_exists(
    driver: str, chosen: str | None, refused: str
) -> None:
    flavours = [one | {"cuda": driver} if one["name"] == "t4" else one for one in FLAVOURS]
    platform = small_platform(flavours=flavours)
    options = {"flavour": "t4", "environment": chosen}
    if not refused:
        assert validate(platform, scientist(platform), options)
        return
    with pytest.raises(InvalidInput) as found:
        validate(platform, scientist(platform), options)
    assert refused in found.value.message
    assert found.value.hint == "Choose ROOT 6."
    assert found.value.details["option"] == "environment"


def test_a_flavour_that_was_renamed_is_found_by_its_old_name() -> None:
    flavours = [one | {"formerly": ["tesla", "gpu"]} if one["name"] == "t4" else one for one in FLAVOURS]
    platform = small_platform(flavours=flavours)
    assert validate(platform, scientist(platform), {"flavour": "gpu"}).flavour.name == "t4"
    assert platform.flavour("tesla").name == "t4", "for jobs too"
    with pytest.raises(InvalidInput, match="There is no flavour 'gpu2'"):
        platform.flavour("gpu2")


def test_a_hidden_flavour_is_had_by_name_and_suggested_to_nobody() -> None:
    flavours = [one | {"hidden": one["name"] in ("cpu", "t4")} for one in FLAVOURS]
    platform = small_platform(flavours=flavours)
    person = scientist(platform)
    assert validate(platform, person, {"flavour": "t4"}).flavour.name == "t4"
    assert choices(platform, person).first.name == "cpu", "the only one without an accelerator"
