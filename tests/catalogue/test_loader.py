"""Every mistake of every kind, at once, with file, line, path and the nearest valid key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.platform_files import CPU, HOME, SMALLEST, T4, all_problems, found, parse, platform_data, problems

from aiinfn_hub.catalogue import Platform, example_path, load_platform, parse_platform
from aiinfn_hub.catalogue.loader import problem_line
from aiinfn_hub.errors import CatalogueInvalid

EVERY_KIND = """\
version: 1
name: Test
name: Again
acess: {}
access:
  allowed_groups: [/aiinfn]
flavours:
  - name: cpu
    title: CPU
    nod_selector: {a: b}
    cpu: {choices: [1, 2, lots], default: 2}
    memory: {choices: [1Gi], default: 1Gi}
    max_lifetime: 12h
    activities: [cms-mll]
  - name: cpu
    titel: Again
    title: Again
    vendor: nvidea
    cpu: {choices: [1], default: 2}
    memory: {choices: [1Gi], default: 1Gi}
    max_lifetime: soon
images:
  - {name: a, title: A, ref: quay.io/a/b:1, redirect: b}
  - {name: b, title: B, ref: quay.io/a/b:2, redirect: a}
  - name: c
    title: C
    ref: quay.io/a/b:3
    redirect: aa
activities:
  - {name: cms-ml, title: CMS, group: /a/b, gid: 20001}
volumes:
  - {name: h1, kind: home, mount: /home/x, claim: c, sub_path: "{person}"}
  - name: h2
    kind: home
    mount: /home/y
    claim: c
    sub_path: "{person}"
sites:
  - name: far
    title: Far
    kind: interlink
    backend: slurm
    node_selector: {kubernetes.io/hostname: far}
    flavours: [cpu, gpu]
"""
EXPECTED = [
    (3, "name", "is written twice; the first is on line 2", ""),
    (4, "acess", "unknown key", "access"),
    (10, "flavours[0].nod_selector", "unknown key", "node_selector"),
    (11, "flavours[0].cpu.choices[2]", "'lots' is not an amount of CPU.", ""),
    (14, "flavours[0].activities[0]", "there is no 'cms-mll' among the activities", "cms-ml"),
    (15, "flavours[1].name", "'cpu' is the name of another one of the flavours", ""),
    (16, "flavours[1].titel", "unknown key", "title"),
    (18, "flavours[1].vendor", "should be 'none', 'nvidia', 'amd', 'intel' or 'xilinx', not 'nvidea'", "nvidia"),
    (21, "flavours[1].max_lifetime", "'soon' is not a duration.", ""),
    (23, "images[0].redirect", "redirects in a circle: a -> b -> a", ""),
    (24, "images[1].redirect", "redirects in a circle: b -> a -> b", ""),
    (28, "images[2].redirect", "there is no 'aa' among the images", "a"),
    (34, "volumes[1].kind", "is another home; a person has one", ""),
    (44, "sites[0].flavours[1]", "there is no 'gpu' among the flavours", "cpu"),
]


def test_mistakes_of_every_kind_are_reported_together_by_line() -> None:
    reported = [(p["line"], p["path"], p["message"], p["nearest"]) for p in problems(EVERY_KIND)]
    for got, wanted in zip(reported, EXPECTED, strict=True):
        assert got[:2] == wanted[:2]
        assert got[2].startswith(wanted[2])
        assert got[3] == wanted[3]


def test_each_mistake_names_its_file() -> None:
    assert {problem["file"] for problem in problems(EVERY_KIND)} == {"p.yaml"}


def test_the_message_of_the_error_lists_them_for_a_log() -> None:
    with pytest.raises(CatalogueInvalid) as caught:
        parse_platform(EVERY_KIND, "p.yaml")
    assert caught.value.message.startswith("p.yaml has 14 mistakes:\n")
    assert "p.yaml:10: flavours[0].nod_selector: unknown key (nearest: node_selector)\n" in caught.value.message
    assert "aiinfn platform check p.yaml" in caught.value.hint


def test_one_mistake_is_one() -> None:
    with pytest.raises(CatalogueInvalid, match="has 1 mistake:"):
        parse(platform_data(name=""))


def test_the_smallest_file_is_enough() -> None:
    platform = parse(SMALLEST)
    assert isinstance(platform, Platform)
    assert (platform.namespace, platform.volumes, platform.sites, platform.home) == ("aiinfn", (), (), None)


STRUCTURE = {
    "a list where a mapping belongs": ({"access": []}, "access", "should be a valid dictionary"),
    "a text where a list belongs": ({"flavours": "cpu"}, "flavours", "should be a valid tuple"),
    "no flavour at all": ({"flavours": []}, "flavours", "at least 1 item"),
    "no group that may log in": ({"access": {"allowed_groups": []}}, "access.allowed_groups", "at least 1 item"),
    "another version of the format": ({"version": 2}, "version", "should be 1, not 2"),
    "a version that is no number": ({"version": "one"}, "version", "should be 1, not 'one'"),
    "a group without its slash": ({"access": {"allowed_groups": ["x"]}}, "access.allowed_groups[0]", "full group path"),
    "an item that is no mapping": ({"images": ["scipy"]}, "images[0]", "should be a valid dictionary"),
    "a namespace with a capital": ({"namespace": "AI"}, "namespace", "lower-case letters"),
}


@pytest.mark.parametrize(("changes", "path", "message"), STRUCTURE.values(), ids=STRUCTURE)
def test_structure_is_refused(changes: dict[str, object], path: str, message: str) -> None:
    assert message in found(platform_data(**changes))[path]


@pytest.mark.parametrize("key", ["version", "name", "access", "flavours", "images", "activities"])
def test_what_must_be_there_is_missed(key: str) -> None:
    data = platform_data()
    del data[key]
    assert found(data)[key] == "is missing"


@pytest.mark.parametrize("key", ["name", "title", "cpu", "memory", "max_lifetime"])
def test_what_a_flavour_must_have_is_missed_where_the_flavour_is(key: str) -> None:
    flavour = {k: v for k, v in CPU.items() if k != key}
    assert found(platform_data(flavours=[flavour])) == {f"flavours[0].{key}": "is missing"}


def test_a_list_whose_items_are_wrong_is_not_called_empty() -> None:
    assert set(found(platform_data(flavours=[{**CPU, "cpus": 1}]))) == {"flavours[0].cpus"}


def test_the_name_of_a_broken_part_is_still_known() -> None:
    """Or one typing mistake in an activity would accuse every flavour that names it."""
    activity = {"name": "cms", "titel": "CMS", "title": "CMS", "group": "/a", "gid": 20001}
    data = platform_data(activities=[activity], flavours=[{**CPU, "activities": ["cms"]}])
    assert set(found(data)) == {"activities[0].titel"}


def test_the_names_of_python_are_not_keys_of_the_file() -> None:
    flavour = {**CPU, "max_lifetime_s": 3600}
    assert problems(platform_data(flavours=[flavour]))[0]["nearest"] == "max_lifetime"


def test_an_unknown_key_far_from_any_lists_the_known() -> None:
    assert found(platform_data(access={"allowed_groups": ["/a"], "zzz": 1})) == {
        "access.zzz": "unknown key; known are: allowed_groups, admin_groups, optional_groups, notice"
    }


NEAREST = {
    "a key of the file": ({"imagse": []}, "images"),
    "a key of the image policy": ({"image_policy": {"registry": []}}, "registries"),
    "a key of a step list": ({"flavours": [{**CPU, "cpu": {"choise": [1], "choices": [1], "default": 1}}]}, "choices"),
    "a key of a toleration": ({"flavours": [{**CPU, "tolerations": [{"key": "a", "efect": "NoSchedule"}]}]}, "effect"),
    "a kind of volume": ({"volumes": [{**HOME, "kind": "hom"}]}, "home"),
    "an effect": ({"flavours": [{**CPU, "tolerations": [{"key": "a", "effect": "NoExecut"}]}]}, "NoExecute"),
    "a label that YAML took for a truth": ({"flavours": [{**CPU, "node_selector": {"gpu": True}}]}, '"true"'),
    "a label that YAML took for a number": ({"flavours": [{**CPU, "node_selector": {"gpu": 1}}]}, '"1"'),
}


@pytest.mark.parametrize(("changes", "nearest"), NEAREST.values(), ids=NEAREST)
def test_the_nearest_valid_text_is_offered(changes: dict[str, object], nearest: str) -> None:
    assert nearest in [problem["nearest"] for problem in problems(platform_data(**changes))]


def test_a_value_inside_an_alias_is_reported_for_each_use() -> None:
    text = """\
version: 1
name: Test
access: {allowed_groups: [/a]}
activities: [{name: cms, title: CMS, group: /a, gid: 20001}]
images: [{name: a, title: A, ref: "quay.io/a/b:1"}]
flavours:
  - &cpu
    name: cpu
    title: CPU
    cpu: {choices: [1], default: 1}
    memory: {choices: [1Gi], default: 1Gi}
    max_lifetime: never
  - <<: *cpu
    name: more
"""
    assert [(p["line"], p["path"]) for p in problems(text)] == [
        (12, "flavours[0].max_lifetime"),
        (12, "flavours[1].max_lifetime"),
    ]


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(CatalogueInvalid, match=r"/nowhere/p\.yaml:1: the file: cannot be read: No such file"):
        load_platform(Path("/nowhere/p.yaml"))


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="cannot be read: Is a directory"):
        load_platform(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.touch(mode=0)
    with pytest.raises(CatalogueInvalid, match="cannot be read: Permission denied"):
        load_platform(path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"name: \xff")
    with pytest.raises(CatalogueInvalid, match="is not UTF-8 text"):
        load_platform(path)


def test_a_line_for_compilers() -> None:
    problem = {"file": "p.yaml", "line": 3, "path": "name", "message": "is missing", "nearest": ""}
    assert problem_line(problem) == "p.yaml:3: name: is missing"
    assert (
        problem_line({**problem, "path": "", "nearest": "title"}) == "p.yaml:3: the file: is missing (nearest: title)"
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["cpu", "t4", "home"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SMALLEST, *T4, *HOME, "redirect", "ref", 1]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*SMALLEST, "volumes", "sites", "image_policy"]), JSON, max_size=6))
def test_whatever_the_data_the_error_is_ours(data: dict[str, object]) -> None:
    for source in (data, platform_data(**data)):
        for problem in all_problems(source):
            assert problem["line"] >= 1
            assert problem["message"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_whatever_the_text_the_error_is_ours(text: str) -> None:
    assert problems(text)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_damaged_line_of_the_example_never_breaks_the_loader(data: st.DataObject) -> None:
    lines = example_path().read_text().splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    lines[index] = data.draw(
        st.sampled_from(["", lines[index][:-1], lines[index] + "x", "  " + lines[index], "- a", "?"])
    )
    for problem in all_problems("\n".join(lines)):
        assert 1 <= problem["line"] <= len(lines) + 1
