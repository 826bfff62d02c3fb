"""The example that is shipped: right, complete, and good for an editor."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from support.platform_files import HOME, SLURM, SMALLEST, T4, platform_data

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.install.command import json_schema

PLATFORM = load_platform(example_path())
SCHEMA = json_schema()


def test_it_offers_what_the_reference_platform_has() -> None:
    assert [flavour.name for flavour in PLATFORM.flavours] == [
        "cpu",
        "t4",
        "rtx5000",
        "a30",
        "a100-40",
        "a100-40-1g.5gb",
        "a100-80-1g.10gb",
        "a100-80-2g.20gb",
        "a100-80-3g.40gb",
        "a100-80-4g.40gb",
        "a100-80-7g.80gb",
        "u55c",
    ]


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("cpu", 0),
        ("a100-40", 1),
        ("a100-40-1g.5gb", 1 / 7),
        ("a100-80-2g.20gb", 2 / 7),
        ("a100-80-3g.40gb", 1 / 2),
        ("a100-80-4g.40gb", 4 / 7),
        ("a100-80-7g.80gb", 1),
    ],
)
def test_a_slice_weighs_its_share_of_a_card(name: str, weight: float) -> None:
    assert PLATFORM.flavour(name).weight == pytest.approx(weight)


def test_an_accelerator_of_nvidia_is_bound_to_its_model_by_label() -> None:
    for flavour in PLATFORM.flavours:
        if flavour.vendor == "nvidia":
            assert "nvidia.com/gpu.product" in flavour.node_selector, flavour.name


def test_no_two_flavours_would_be_served_by_the_same_devices() -> None:
    devices = [(f.resource, tuple(f.node_selector.items())) for f in PLATFORM.flavours]
    assert len(set(devices)) == len(devices)


def test_the_fpga_is_for_one_activity() -> None:
    assert PLATFORM.flavour("u55c").activities == ("fpga",)
    assert PLATFORM.activity("fpga").group == "/aiinfn/fpga"


def test_there_is_a_volume_of_each_kind_and_a_backend_of_each_site() -> None:
    assert [v.kind for v in PLATFORM.volumes] == [
        "home",
        "activity",
        "public",
        "scratch",
        "shm",
        "cvmfs",
        "object-store",
    ]
    assert {site.backend for site in PLATFORM.sites} == {"", "htcondor", "slurm", "podman"}
    assert PLATFORM.home is not None


def test_every_activity_is_below_a_group_that_may_log_in() -> None:
    for activity in PLATFORM.activities:
        assert any(activity.group.startswith(f"{group}/") for group in PLATFORM.access.allowed_groups)


def test_an_image_of_the_list_that_a_person_types_is_allowed_too() -> None:
    for image in PLATFORM.images:
        assert PLATFORM.image_policy.check(image.ref) == image.ref
        if image.apptainer:
            assert PLATFORM.image_policy.check_apptainer(image.apptainer) == image.apptainer


def test_old_names_lead_to_images_that_are_offered() -> None:
    assert PLATFORM.image(PLATFORM.image("default").redirect).hidden is False


def test_the_file_is_commented_for_whoever_edits_it() -> None:
    lines = example_path().read_text().splitlines()
    assert sum(line.lstrip().startswith("#") for line in lines) >= 25
    assert max(map(len, lines)) <= 120


def test_it_fits_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(yaml.safe_load(example_path().read_text()), SCHEMA)


WRONG_FOR_AN_EDITOR = {
    "an unknown key": platform_data(acess={}),
    "a missing key": {key: value for key, value in SMALLEST.items() if key != "access"},
    "another version": platform_data(version=2),
    "an unknown vendor": platform_data(flavours=[{**T4, "vendor": "nvidea"}]),
    "a name with a capital": platform_data(flavours=[{**T4, "name": "T4"}]),
    "a name of Python's": platform_data(flavours=[{**T4, "max_lifetime_s": 1}]),
    "a path upwards": platform_data(volumes=[{**HOME, "sub_path": "{persn}"}]),
    "a backend that is none": platform_data(sites=[{**SLURM, "backend": "pbs"}]),
    "a group without slash": platform_data(access={"allowed_groups": ["a"]}),
}


@pytest.mark.parametrize("data", WRONG_FOR_AN_EDITOR.values(), ids=WRONG_FOR_AN_EDITOR)
def test_an_editor_sees_it(data: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_an_editor_takes_the_smallest_file() -> None:
    jsonschema.validate(json.loads(json.dumps(platform_data(volumes=[HOME], sites=[SLURM], flavours=[T4]))), SCHEMA)


def test_an_editor_shows_what_a_key_means() -> None:
    flavour = SCHEMA["$defs"]["Flavour"]["properties"]
    assert flavour["max_per_user"]["description"] == "Units that one person may hold at the same time."
    assert SCHEMA["$defs"]["Volume"]["description"] == "Storage that sessions see."


def test_the_schema_has_every_key_of_the_models() -> None:
    assert set(SCHEMA["properties"]) == set(Platform.model_fields)
