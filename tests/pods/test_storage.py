from __future__ import annotations

from typing import Any

import pytest
from support.small_platform import VOLUMES, small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.names import slug
from aiinfn_hub.pods.storage import storage, writable


def by_name(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in items}


def mounts(person: str = "mrossi", activity: str = "lhcb", wanted: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    platform = small_platform()
    return by_name(storage(platform, person, platform.activity(activity), wanted)[1])


def test_everybody_gets_what_is_not_optional() -> None:
    assert set(mounts()) == {"volume-home", "volume-share", "volume-scratch"}


def test_optional_volumes_come_when_they_are_wanted() -> None:
    assert set(mounts(wanted=("cvmfs",))) == {"volume-home", "volume-share", "volume-scratch", "volume-cvmfs"}


def test_the_home_is_a_folder_of_the_person() -> None:
    assert mounts()["volume-home"] == {"name": "volume-home", "mountPath": "/home/jovyan", "subPath": "home/mrossi"}


def test_the_share_is_that_of_the_activity_that_is_charged() -> None:
    assert mounts(activity="cms")["volume-share"]["subPath"] == "shared/cms"


@pytest.mark.parametrize("person", ["../root", "a/b", "..", "m_rossi", "{activity}", "M.Rossi@infn.it"])
def test_a_name_is_one_component_of_the_path_whatever_it_holds(person: str) -> None:
    folder, _, rest = mounts(person)["volume-home"]["subPath"].partition("/")
    assert (folder, rest) == ("home", slug(person))
    assert "/" not in rest


def test_names_that_look_alike_have_different_homes() -> None:
    assert mounts("m_rossi")["volume-home"]["subPath"] != mounts("mrossi")["volume-home"]["subPath"]


def test_scratch_is_empty_and_limited() -> None:
    platform = small_platform()
    volumes, _ = storage(platform, "mrossi", platform.activity("lhcb"))
    assert by_name(volumes)["volume-scratch"]["emptyDir"] == {"sizeLimit": "10Gi"}


@pytest.mark.parametrize(
    ("size", "expected"), [({}, {"medium": "Memory"}), ({"size": "2Gi"}, {"medium": "Memory", "sizeLimit": "2Gi"})]
)
def test_shared_memory_is_the_sessions_own(size: dict[str, str], expected: dict[str, str]) -> None:
    platform = small_platform(volumes=[{"name": "shm", "kind": "shm", "mount": "/dev/shm", **size}])
    volumes, mounts = storage(platform, "mrossi", platform.activity("lhcb"))
    assert volumes == [{"name": "volume-shm", "emptyDir": expected}]
    assert mounts == [{"name": "volume-shm", "mountPath": "/dev/shm"}]
    assert writable(platform, []) == {}, "it cannot be full without the session's memory being so"


def test_scratch_without_a_size_has_no_limit() -> None:
    platform = small_platform(volumes=[{"name": "tmp", "kind": "scratch", "mount": "/tmp"}])
    volumes, _ = storage(platform, "mrossi", platform.activity("lhcb"))
    assert volumes == [{"name": "volume-tmp", "emptyDir": {}}]


def test_cvmfs_is_read_only_and_sees_what_is_mounted_later() -> None:
    mount = mounts(wanted=("cvmfs",))["volume-cvmfs"]
    assert (mount["readOnly"], mount["mountPropagation"]) == (True, "HostToContainer")


def test_credentials_of_an_object_store_come_as_files_that_may_be_missing() -> None:
    platform = small_platform()
    volumes, found = storage(platform, "mrossi", platform.activity("lhcb"), ("s3",))
    secret = by_name(volumes)["volume-s3"]["secret"]
    assert secret == {"secretName": "s3-public", "optional": True, "defaultMode": 0o440}
    assert by_name(found)["volume-s3"]["readOnly"] is True


def test_a_volume_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput, match="cvfms") as refused:
        mounts(wanted=("cvfms",))
    assert "cvmfs" in refused.value.hint


def test_each_mount_has_its_volume() -> None:
    platform = small_platform()
    volumes, found = storage(platform, "mrossi", platform.activity("lhcb"), [volume["name"] for volume in VOLUMES])
    assert [volume["name"] for volume in volumes] == [mount["name"] for mount in found]
    assert len(volumes) == len(VOLUMES)
