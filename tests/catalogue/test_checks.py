"""What must hold between the parts of a platform file."""

from __future__ import annotations

from typing import Any

import pytest
from support.platform_files import CPU, HOME, SLURM, SMALLEST, T4, all_problems, found, platform_data

CAPACITY: dict[str, Any] = {"cpu": 512, "memory": "4Ti"}
IMAGE: dict[str, Any] = SMALLEST["images"][0]
ACTIVITY: dict[str, Any] = SMALLEST["activities"][0]
LOCAL: dict[str, Any] = {"name": "local", "title": "Here"}
SHARE = {"name": "share", "kind": "activity", "mount": "/s", "claim": "shares", "sub_path": "{activity}"}


def flavour(**changes: Any) -> dict[str, Any]:
    return {"flavours": [{**T4, **changes}]}


def volume(**changes: Any) -> dict[str, Any]:
    return {"volumes": [{**HOME, **changes}]}


def site(**changes: Any) -> dict[str, Any]:
    return {"sites": [{**SLURM, **changes}]}


def image(**changes: Any) -> dict[str, Any]:
    return {"images": [{**IMAGE, **changes}]}


QUOTA = {"name": "week", "title": "GPU-hours of a week", "gpu_hours": 12}
COURSE = {
    "name": "school",
    "title": "School",
    "activity": "cms",
    "flavour": "t4",
    "units": 2,
    "begin": "2026-12-07T09:00:00+01:00",
    "end": "2026-12-07T18:00:00+01:00",
}


def course(of_t4: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A reservation of some of four units of a T4."""
    activities = [ACTIVITY, {**ACTIVITY, "name": "lhcb", "gid": 20077, "group": "/aiinfn/lhcb"}]
    flavours = [CPU, {**T4, "units": 4, **(of_t4 or {})}]
    return {"flavours": flavours, "activities": activities, "reservations": [{**COURSE, **changes}]}


def preset(**changes: Any) -> dict[str, Any]:
    return {"presets": [{"name": "a", "title": "A", "activity": "cms", "flavour": "cpu", **changes}]}


REFUSED = {
    "two flavours of one name": ({"flavours": [CPU, CPU]}, "flavours[1].name", "is the name of another"),
    "two images of one name": ({"images": [IMAGE, IMAGE]}, "images[1].name", "is the name of another"),
    "two activities of one name": (
        {"activities": [ACTIVITY, {**ACTIVITY, "gid": 20002}]},
        "activities[1].name",
        "is the name of another",
    ),
    "two volumes of one name": (
        {"volumes": [HOME, {**SHARE, "name": "home"}]},
        "volumes[1].name",
        "is the name of another",
    ),
    "two sites of one name": ({"sites": [SLURM, SLURM]}, "sites[1].name", "is the name of another"),
    "two activities of one gid": (
        {"activities": [ACTIVITY, {**ACTIVITY, "name": "lhcb"}]},
        "activities[1].gid",
        "20001 is taken by 'cms'",
    ),
    "two volumes in one place": (
        {"volumes": [HOME, {**SHARE, "mount": "/home/x"}]},
        "volumes[1].mount",
        "/home/x is taken by 'home'",
    ),
    "a quota of an activity that is not there": (
        {"quotas": {"rules": [{**QUOTA, "activities": ["cms", "atlas"]}]}},
        "quotas.rules[0].activities[1]",
        "there is no 'atlas' among the activities",
    ),
    "a quota for a flavour that is not there": (
        {"quotas": {"rules": [{**QUOTA, "flavours": ["t5"]}]}},
        "quotas.rules[0].flavours[0]",
        "there is no 't5' among the flavours",
    ),
    "two quotas of one name": (
        {"quotas": {"rules": [QUOTA, QUOTA]}},
        "quotas.rules[1].name",
        "is the name of another",
    ),
    "a quota that limits nothing": (
        {"quotas": {"rules": [{"name": "week", "title": "Week"}]}},
        "quotas.rules[0]",
        "it limits nothing",
    ),
    "a flavour for an activity that is not there": (
        flavour(activities=["cms", "atlas"]),
        "flavours[0].activities[1]",
        "there is no 'atlas' among the activities",
    ),
    "a site with a flavour that is not there": (
        site(flavours=["gpu"]),
        "sites[0].flavours[0]",
        "there is no 'gpu' among the flavours",
    ),
    "a redirect to nowhere": (image(redirect="old"), "images[0].redirect", "there is no 'old' among the images"),
    "a redirect to itself": (image(redirect="scipy"), "images[0].redirect", "in a circle: scipy -> scipy"),
    "two homes": ({"volumes": [HOME, {**HOME, "name": "b", "mount": "/b"}]}, "volumes[1].kind", "another home"),
    "two local sites": ({"sites": [LOCAL, {**LOCAL, "name": "b"}]}, "sites[1].kind", "another local site"),
    "no image that can be chosen": (image(hidden=True), "images", "every image is hidden"),
    "an image without registry": (image(ref="scipy:1"), "images[0].ref", "names no registry"),
    "an accelerator without resource": (flavour(resource=""), "flavours[0].resource", "is missing"),
    "an accelerator that is never charged": (flavour(compute_weight=0), "flavours[0].compute_weight", "never charged"),
    "a resource without accelerator": (flavour(vendor="none"), "flavours[0].vendor", "asks for nvidia.com/gpu"),
    "a slice without accelerator": (
        {"flavours": [{**CPU, "mig": "1g.5gb"}]},
        "flavours[0].vendor",
        "asks for 1g.5gb",
    ),
    "a slice of another maker": (flavour(vendor="amd", mig="1g.5gb"), "flavours[0].mig", "amd cards have no MIG"),
    "a slice that is not the resource's": (
        flavour(mig="1g.5gb", resource="nvidia.com/mig-2g.10gb"),
        "flavours[0].mig",
        "is not the slice of",
    ),
    "a default that cannot be chosen": (
        flavour(cpu={"choices": [1, 2], "default": 4}),
        "flavours[0].cpu.default",
        "not one of the choices",
    ),
    "an amount offered twice": (
        flavour(memory={"choices": ["1Gi", "1024Mi"], "default": "1Gi"}),
        "flavours[0].memory.choices",
        "twice",
    ),
    "a value for a toleration of any value": (
        flavour(tolerations=[{"key": "a", "value": "b"}]),
        "flavours[0].tolerations[0].value",
        "needs the operator Equal",
    ),
    "a home without claim": (volume(claim=""), "volumes[0].claim", "is missing"),
    "a home that everybody shares": (volume(sub_path="homes"), "volumes[0].sub_path", "must contain {person}"),
    "a share that all activities see": (
        {"volumes": [{**SHARE, "sub_path": "shared/{person}"}]},
        "volumes[0].sub_path",
        "must contain {activity}",
    ),
    "a size of a claim": (volume(size="1Gi"), "volumes[0].size", "is for scratch"),
    "a claim for scratch": (volume(kind="scratch"), "volumes[0].claim", "is not for volumes of kind scratch"),
    "a claim for an object store": (
        volume(kind="object-store", secret="s3"),
        "volumes[0].claim",
        "is not for volumes of kind object-store",
    ),
    "an object store without credentials": (
        volume(kind="object-store", claim=""),
        "volumes[0].secret",
        "is missing",
    ),
    "credentials for a home": (volume(secret="s3"), "volumes[0].secret", "is for volumes of kind object-store"),
    "a batch system in the cluster": (
        {"sites": [{**LOCAL, "backend": "slurm"}]},
        "sites[0].backend",
        "is for sites of kind interlink",
    ),
    "a virtual node without batch system": (site(backend=""), "sites[0].backend", "is missing"),
    "a virtual node without flavours": (site(flavours=[]), "sites[0].flavours", "is missing"),
    "a virtual node without label": (site(node_selector={}), "sites[0].node_selector", "is missing"),
    "units of what cannot be counted": (
        {"flavours": [{**CPU, "units": 4}]},
        "flavours[0].units",
        "the flavour has none",
    ),
    "free units of what cannot be counted": (
        {"flavours": [{**CPU, "keep_free": 1}]},
        "flavours[0].keep_free",
        "the flavour has none",
    ),
    "more units kept free than there are": (
        flavour(units=2, keep_free=3),
        "flavours[0].keep_free",
        "more than the 2 units",
    ),
    "one namespace for everything": (
        {"namespace": "a", "system_namespace": "a"},
        "system_namespace",
        "'a' cannot be that of",
    ),
    "sessions where the hub is by default": ({"namespace": "aiinfn-system"}, "namespace", "cannot be that of"),
    "the hub where sessions are by default": ({"system_namespace": "aiinfn"}, "system_namespace", "cannot be that of"),
    "a capacity of the cluster as a site": (
        {"sites": [{**LOCAL, "capacity": CAPACITY}]},
        "sites[0].capacity",
        "that of the cluster is a key of the file",
    ),
    "units at a site of what it does not run": (
        {"flavours": [CPU, T4], **site(capacity={**CAPACITY, "units": {"t4": 2}})},
        "sites[0].capacity.units.t4",
        "not among the flavours of the site",
    ),
    "units at a site of what cannot be counted": (
        site(capacity={**CAPACITY, "units": {"cpu": 2}}),
        "sites[0].capacity.units.cpu",
        "no accelerator to count",
    ),
    "a virtual node that is called as the cluster": (site(name="local"), "sites[0].name", "means the cluster itself"),
    "a course that ends before it begins": (course(end="2026-12-07T08:00:00Z"), "reservations[0]", "end is not after"),
    "a course without a zone": (course(begin="2026-12-07T09:00:00"), "reservations[0].begin", "timezone"),
    "a course of nobody": (course(activity="atlas"), "reservations[0].activity", "there is no 'atlas'"),
    "a course on nothing": (course(flavour="t5"), "reservations[0].flavour", "there is no 't5'"),
    "a course on what cannot be counted": (course(flavour="cpu"), "reservations[0].flavour", "no units that could be"),
    "a course that has too much": (course(units=5), "reservations[0].units", "5 units of 't4' are reserved"),
    "a course on what its people may not use": (
        course(of_t4={"activities": ["lhcb"]}),
        "reservations[0].activity",
        "may not use the flavour",
    ),
    "a former name that another has": (
        {"flavours": [CPU, {**T4, "formerly": ["cpu"]}]},
        "flavours[1].formerly[0]",
        "'cpu' is the name of another flavour",
    ),
    "a former name of two": (
        {"flavours": [{**CPU, "formerly": ["old"]}, {**T4, "formerly": ["old"]}]},
        "flavours[1].formerly[0]",
        "'old' is the name of 'cpu' before",
    ),
    "a preset on nothing": (preset(flavour="t5"), "presets[0].flavour", "there is no 't5'"),
    "a preset of nobody": (preset(activity="atlas"), "presets[0].activity", "there is no 'atlas'"),
    "a preset with storage that is not there": (preset(volumes=["eos"]), "presets[0].volumes[0]", "there is no 'eos'"),
    "a toleration of a site": (
        site(tolerations=[{"key": "a", "value": "b"}]),
        "sites[0].tolerations[0].value",
        "needs the operator Equal",
    ),
}


@pytest.mark.parametrize(("changes", "path", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_alone_and_at_its_place(changes: dict[str, Any], path: str, message: str) -> None:
    mistakes = found(platform_data(**changes))
    assert list(mistakes) == [path]
    assert message in mistakes[path]


ALLOWED = {
    "an accelerator weighed by its memory": flavour(compute_weight=0, memory_weight="1/8"),
    "a slice under the single strategy": flavour(mig="1g.5gb"),
    "a slice under the mixed strategy": flavour(mig="1g.5gb", resource="nvidia.com/mig-1g.5gb"),
    "a toleration of one value": flavour(tolerations=[{"key": "a", "operator": "Equal", "value": "b"}]),
    "a chain of redirects": {
        "images": [
            {**IMAGE, "name": "a", "redirect": "b"},
            {**IMAGE, "name": "b", "redirect": "c"},
            {**IMAGE, "name": "c"},
        ]
    },
    "an image without registry where the policy names Docker Hub": {
        **image(ref="library/python:3.12"),
        "image_policy": {"registries": ["docker.io/library/*"]},
    },
    "a hidden image beside another": {"images": [IMAGE, {**IMAGE, "name": "old", "hidden": True}]},
    "scratch without limit": {"volumes": [{"name": "scratch", "kind": "scratch", "mount": "/scratch"}]},
    "an object store with credentials": {
        "volumes": [{"name": "s3", "kind": "object-store", "mount": "/s3", "secret": "s3"}]
    },
    "a public volume": {"volumes": [{**HOME, "kind": "public", "sub_path": ""}]},
    "a site of each kind": {"sites": [LOCAL, SLURM]},
    "a capacity of everything": {
        "capacity": CAPACITY,
        "flavours": [CPU, {**T4, "units": 8, "keep_free": 8}],
        **site(flavours=["cpu", "t4"], capacity={**CAPACITY, "units": {"t4": 0}}),
    },
    "a flavour of which there is nothing left": flavour(units=0),
    "namespaces of other names": {"namespace": "a", "system_namespace": "b"},
    "two courses one after the other": {
        **course(units=4),
        "reservations": [
            {**COURSE, "units": 4},
            {**COURSE, "name": "next", "units": 4, "begin": COURSE["end"], "end": "2026-12-07T20:00:00Z"},
        ],
    },
    "every class of part at once": {
        "flavours": [CPU, {**T4, "activities": ["cms"]}],
        "volumes": [HOME, SHARE],
        "sites": [SLURM],
    },
}


@pytest.mark.parametrize("changes", ALLOWED.values(), ids=ALLOWED)
def test_it_is_allowed(changes: dict[str, Any]) -> None:
    assert all_problems(platform_data(**changes)) == []


def test_a_circle_blames_only_those_in_it() -> None:
    images = [
        {**IMAGE, "name": "a", "redirect": "b"},
        {**IMAGE, "name": "b", "redirect": "c"},
        {**IMAGE, "name": "c", "redirect": "b"},
    ]
    assert set(found(platform_data(images=images))) == {"images[1].redirect", "images[2].redirect"}


def test_references_of_a_broken_part_are_followed_all_the_same() -> None:
    mistakes = found(platform_data(**flavour(activities=["atlas"], cpus=4, resource="")))
    # Not that its resource is missing: with keys wrong, nobody knows what was meant.
    assert set(mistakes) == {"flavours[0].activities[0]", "flavours[0].cpus"}


def test_a_third_one_of_a_name_is_blamed_too() -> None:
    assert set(found(platform_data(flavours=[CPU, CPU, CPU]))) == {"flavours[1].name", "flavours[2].name"}


@pytest.mark.parametrize(
    ("data", "nearest"),
    [
        ({"namespace": "a", "system_namespace": "a"}, "a-system"),
        ({"namespace": "aiinfn-system"}, "aiinfn"),
        ({"system_namespace": "aiinfn"}, "aiinfn-system"),
    ],
)
def test_a_namespace_that_would_do_is_proposed(data: dict[str, str], nearest: str) -> None:
    (problem,) = all_problems(platform_data(**data))
    assert problem["nearest"] == nearest


def test_a_file_that_is_no_mapping_has_no_namespaces() -> None:
    assert found("[1, 2]") == {"": "should be a valid dictionary or instance of Platform, not a list"}
