"""Mount paths and addresses are rewritten where they are meant, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.agent.addresses import Address, Addresses, has_own_addresses
from aiinfn_hub.local.agent.paths import Mount, Rewriter, below, container_path, home_mount, one_name

MOUNTS = [
    Mount("/home/jovyan", Path("/state/homes/mock")),
    Mount("/home/jovyan/shared", Path("/state/shared")),
    Mount("/offload", Path("/pod/offload")),
    Mount("/scratch", Path("/pod/scratch")),
]
REWRITER = Rewriter(MOUNTS, "127.77.1.2", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/offload", "/pod/offload", id="the mount itself"),
        pytest.param("/offload/boot.py", "/pod/offload/boot.py", id="a path below it"),
        pytest.param("exec python3 /offload/boot.py", "exec python3 /pod/offload/boot.py", id="in a shell command"),
        pytest.param("--dir=/scratch/x", "--dir=/pod/scratch/x", id="after an option"),
        pytest.param("/scratch:/offload", "/pod/scratch:/pod/offload", id="a search path"),
        pytest.param('"/scratch"', '"/pod/scratch"', id="in quotes"),
        pytest.param("file:///scratch/x", "file:///pod/scratch/x", id="a file URL"),
        pytest.param("/home/jovyan/x", "/state/homes/mock/x", id="the home"),
        pytest.param("/home/jovyan/shared/x", "/state/shared/x", id="the longest mount wins"),
        pytest.param("/home/jovyan/sharedness", "/state/homes/mock/sharedness", id="but only at a path's boundary"),
        pytest.param("/offloading", "/offloading", id="another name that begins so"),
        pytest.param("/offload-cred/x", "/offload-cred/x", id="another name with a hyphen"),
        pytest.param("/offload.bak", "/offload.bak", id="another name with a dot"),
        pytest.param("/var/offload", "/var/offload", id="the same name elsewhere"),
        pytest.param("http://host/offload", "http://host/offload", id="a path of a URL"),
        pytest.param("/user/scratch/lab", "/user/scratch/lab", id="a path of the hub"),
        pytest.param("offload", "offload", id="a word"),
        pytest.param("", "", id="nothing"),
        pytest.param("http://0.0.0.0:8888/user/x/", "http://127.77.1.2:8888/user/x/", id="bind every address"),
        pytest.param("http://:8888/user/x/", "http://127.77.1.2:8888/user/x/", id="bind without a host"),
        pytest.param("--ip=0.0.0.0", "--ip=127.77.1.2", id="bind by an option"),
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="a network is no address"),
        pytest.param("v0.0.0.0.1", "v0.0.0.0.1", id="a version is no address"),
        pytest.param("http://127.0.0.1:8081/hub/api", "http://127.0.0.1:8081/hub/api", id="the hub"),
    ],
)
def test_text_is_rewritten(text: str, expected: str) -> None:
    assert REWRITER.text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://0.0.0.0:8888/x", "http://127.0.0.1:40001/x"),
        ("http://:8888/x", "http://127.0.0.1:40001/x"),
        ("http://0.0.0.0:9999/x", "http://127.0.0.1:9999/x"),
        ("--ip=0.0.0.0", "--ip=127.0.0.1"),
    ],
)
def test_where_pods_share_an_address_ports_are_rewritten_too(text: str, expected: str) -> None:
    assert Rewriter([], "127.0.0.1", {8888: 40001}).text(text) == expected


@given(st.text(alphabet="/abhomejvyn.-_ =:0", max_size=40))
def test_text_without_a_mount_stays_as_it_is(text: str) -> None:
    assert Rewriter([], "127.77.1.2", {}).text(text).replace("127.77.1.2", "0.0.0.0") == text.replace(
        "127.77.1.2", "0.0.0.0"
    )


@given(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=4))
def test_a_path_below_a_mount_is_below_its_target(parts: list[str]) -> None:
    path = "/scratch/" + "/".join(parts)
    assert REWRITER.text(path) == f"/pod{path}"
    assert REWRITER.path(path) == Path(f"/pod{path}")


def test_a_path_outside_every_mount_is_nowhere() -> None:
    assert REWRITER.path("/elsewhere") is None
    assert REWRITER.path("") is None
    assert REWRITER.path("/home/jovyan/shared/a") == Path("/state/shared/a")


@pytest.mark.parametrize("text", ["/", "relative", "/a/../b", "", "/a:b"])
def test_such_a_mount_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        container_path(text, "mountPath")


def test_a_mount_path_loses_the_slash_at_its_end() -> None:
    assert container_path("/data/", "mountPath") == "/data"


@pytest.mark.parametrize("text", ["..", "a/../../b", "/etc", "../x"])
def test_a_path_that_leaves_its_folder_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        below(Path("/state"), text, "subPath")


@given(st.from_regex(r"[a-z./]{0,12}", fullmatch=True))
def test_a_relative_path_is_below_its_folder_or_refused(text: str) -> None:
    try:
        found = below(Path("/state/claim"), text, "subPath")
    except InvalidInput:
        return
    assert found.resolve().is_relative_to("/state/claim")


@pytest.mark.parametrize(
    ("paths", "home"),
    [
        (["/scratch", "/home/jovyan", "/home/jovyan/shared"], "/home/jovyan"),
        (["/home"], "/home"),
        (["/root", "/data"], "/root"),
        (["/data", "/homes/x", "/home/a/b"], None),
        ([], None),
    ],
)
def test_the_home_is_told_by_its_place(paths: list[str], home: str | None) -> None:
    found = home_mount([Mount(path, Path("/x")) for path in paths])
    assert (found.path if found else None) == home


def test_pods_have_addresses_of_their_own_and_keep_them() -> None:
    addresses = Addresses(own=True)
    first, second = addresses.take("a", []), addresses.take("b", [])
    assert first != second
    assert addresses.take("a", []) == first
    assert Addresses(own=True).take("a", []) == first
    assert first.ip.startswith("127.77.")


def test_an_address_that_a_pod_has_is_not_given_to_another() -> None:
    addresses = Addresses(own=True)
    mine = Addresses(own=True).take("a", [])
    assert addresses.take("b", [], known=mine) == mine
    assert addresses.take("a", []) != mine
    addresses.give_back("b")
    assert addresses.take("c", [], known=mine) == mine


def test_no_address_ends_like_a_network_or_a_broadcast() -> None:
    addresses = Addresses(own=True)
    endings = {int(addresses.take(str(n), []).ip.rpartition(".")[2]) for n in range(2000)}
    assert not endings & {0, 255}


def test_where_pods_share_an_address_each_port_has_a_free_one() -> None:
    addresses = Addresses(own=False)
    found = addresses.take("a", [8888, 8889])
    assert found.ip == "127.0.0.1"
    assert set(found.ports) == {8888, 8889}
    assert len(set(found.ports.values())) == 2
    assert addresses.take("a", [8888, 8889], known=found) == found


def test_this_machine_says_whether_it_has_them() -> None:
    assert isinstance(has_own_addresses(), bool)
    assert Address("127.77.0.1").ports == {}


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "A", "a_b", "-a", "a\n"])
def test_such_a_name_becomes_no_folder(name: str) -> None:
    with pytest.raises(InvalidInput):
        one_name(name, "claimName")


def test_a_proper_name_does() -> None:
    assert one_name("claim-ada.example", "claimName") == "claim-ada.example"
