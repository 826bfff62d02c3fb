"""The models: frozen, looked up by name, and what they work out."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from support.platform_files import CPU, HOME, SLURM, T4, parse, platform_data

from aiinfn_hub.catalogue import Capacity, Flavour, Platform, SiteCapacity
from aiinfn_hub.errors import InvalidInput

PLATFORM = parse(platform_data(flavours=[CPU, T4], volumes=[HOME], sites=[SLURM]))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("flavour", "t4"), ("image", "scipy"), ("volume", "home"), ("site", "leonardo"), ("activity", "cms")],
)
def test_a_part_is_found_by_its_name(kind: str, name: str) -> None:
    assert getattr(PLATFORM, kind)(name).name == name


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("flavour", "cpus", "Did you mean 'cpu'?"),
        ("flavour", "zzz", "There are: cpu, t4."),
        ("image", "scypi", "Did you mean 'scipy'?"),
        ("volume", "", "There are: home."),
        ("site", "leonard", "Did you mean 'leonardo'?"),
        ("activity", "atlas", "There are: cms."),
    ],
)
def test_a_name_that_is_not_there_gets_the_nearest(kind: str, name: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        getattr(PLATFORM, kind)(name)
    assert caught.value.message == f"There is no {kind} {name!r}."
    assert caught.value.hint == hint


def test_a_platform_without_volumes_says_so() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(platform_data()).volume("home")
    assert caught.value.hint == "There are: none."


def test_the_home_is_the_volume_of_that_kind() -> None:
    assert PLATFORM.home is PLATFORM.volumes[0]


def test_nothing_can_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PLATFORM.flavours[0].count = 2


@pytest.mark.parametrize(
    ("compute", "memory", "weight"),
    [(1 / 7, 1 / 8, 1 / 7), (3 / 7, 4 / 8, 0.5), (1, 1, 1), (0, 0.5, 0.5)],
    ids=["cores are more", "memory is more", "a whole card", "memory alone"],
)
def test_the_larger_weight_counts(compute: float, memory: float, weight: float) -> None:
    flavour = Flavour.model_validate({**T4, "compute_weight": compute, "memory_weight": memory})
    assert flavour.weight == weight


def test_cpu_only_is_no_accelerator_and_weighs_nothing() -> None:
    cpu = Flavour.model_validate({**CPU, "compute_weight": 1})
    assert not cpu.accelerator
    assert cpu.weight == 0
    assert PLATFORM.flavour("t4").accelerator


def test_amounts_are_held_in_the_units_of_their_names() -> None:
    flavour = Flavour.model_validate({**T4, "device_memory": "16Gi", "cpu": {"choices": [1, "500m"], "default": 0.5}})
    assert flavour.cpu.choices == (1000, 500)
    assert flavour.cpu.default == 500
    assert flavour.memory.default == 2**30
    assert flavour.device_memory_bytes == 16 * 2**30
    assert flavour.max_lifetime_s == 12 * 3600


def test_a_capacity_is_held_in_millicores_and_bytes() -> None:
    site = {**SLURM, "flavours": ["t4"], "capacity": {"cpu": 2, "memory": "4Gi", "units": {"t4": 3}}}
    platform = parse(platform_data(flavours=[CPU, T4], sites=[site], capacity={"cpu": "500m", "memory": "1Ti"}))
    assert platform.capacity == Capacity(cpu=0.5, memory=2**40)
    assert platform.capacity.cpu == 500
    assert platform.site("leonardo").capacity == SiteCapacity(cpu=2, memory=4 * 2**30, units={"t4": 3})


def test_what_is_left_out_is_not_known() -> None:
    assert PLATFORM.capacity is None
    assert PLATFORM.flavour("t4").units is None
    assert PLATFORM.flavour("t4").keep_free == 0
    assert PLATFORM.site("leonardo").capacity is None


def test_sessions_and_jobs_have_a_namespace_of_their_own() -> None:
    assert (PLATFORM.namespace, PLATFORM.system_namespace) == ("aiinfn", "aiinfn-system")


def test_python_code_may_use_the_names_with_units() -> None:
    rest = {key: value for key, value in CPU.items() if key != "max_lifetime"}
    assert Flavour(**rest, max_lifetime_s=60).max_lifetime_s == 60


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_of_the_format_is_refused(version: object) -> None:
    with pytest.raises(ValidationError, match="version"):
        Platform.model_validate(platform_data(version=version))
