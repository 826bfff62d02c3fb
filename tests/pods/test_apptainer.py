from __future__ import annotations

import pytest
from support.small_platform import DIGEST, FLAVOURS, IMAGES, small_platform

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.apptainer import Inside, apptainer_path, inside, run_inside, ways

#: Without a carrier.
LISTED = IMAGES[:-1]
FOLDER = "/cvmfs/unpacked.infn.it"
IMAGE = f"{FOLDER}/ghcr.io/infn/pytorch:2.9"
CARRIER = "ghcr.io/infn/carrier:1"


def platform(*tools: str, able: str = "", **changes: object) -> Platform:
    """With a carrier of these tools, and the capability for one flavour."""
    carrier = {
        "name": "carrier",
        "title": "Carrier",
        "ref": CARRIER,
        "hidden": True,
        "labels": dict.fromkeys(tools, "1"),
    }
    flavours = [one | ({"capabilities": ["user-namespaces"]} if one["name"] == able else {}) for one in FLAVOURS]
    return small_platform(flavours=flavours, images=[*LISTED, carrier], **changes)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(IMAGE, id="an unpacked image with a tag"),
        pytest.param("/home/jovyan/my_image-1.sif", id="a file"),
        pytest.param("/a/.hidden", id="a dot file"),
    ],
)
def test_an_absolute_path_is_taken(path: str) -> None:
    assert apptainer_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="nothing"),
        pytest.param("image.sif", id="a relative path"),
        pytest.param("/", id="the root"),
        pytest.param("/a/../b", id="two dots"),
        pytest.param("/a/./b", id="one dot"),
        pytest.param("//a", id="an empty component"),
        pytest.param("/a/", id="a slash at the end"),
        pytest.param("/a b", id="a space"),
        pytest.param("/a\n", id="a line break"),
        pytest.param("/a/-B", id="a component that looks like an option"),
        pytest.param("/a;b", id="a semicolon"),
        pytest.param("/a,b", id="a comma"),
        pytest.param("docker://image", id="a scheme"),
        pytest.param("/" + "a" * 600, id="a path that is too long"),
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        apptainer_path(path)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("path", "tools", "able", "found"),
    [
        pytest.param(
            f"{FOLDER}/group/lab.sif",
            ("apptainer",),
            "cpu",
            Inside(CARRIER, f"{FOLDER}/group/lab.sif", "apptainer"),
            id="an image file, by Apptainer",
        ),
        pytest.param(IMAGE, ("apptainer", "proot"), "cpu", Inside(CARRIER, IMAGE, "apptainer"), id="Apptainer first"),
        pytest.param(IMAGE, ("apptainer", "proot"), "t4", Inside(CARRIER, IMAGE, "proot"), id="no capability"),
        pytest.param(IMAGE, ("proot",), "cpu", Inside(CARRIER, IMAGE, "proot"), id="no carrier with Apptainer"),
        pytest.param(
            IMAGE, (), "cpu", Inside("ghcr.io/infn/pytorch:2.9", "", "converted"), id="no carrier: where it is from"
        ),
        pytest.param(
            f"{FOLDER}/own", (), "", Inside(f"ghcr.io/infn/root:6@{DIGEST}", "", "converted"), id="the list says so"
        ),
    ],
)
def test_the_way_follows_from_flavour_and_carriers(path: str, tools: tuple[str, ...], able: str, found: Inside) -> None:
    images = [one | ({"apptainer": f"{FOLDER}/own"} if one["name"] == "root" else {}) for one in LISTED]
    made = platform(*tools, able=able)
    made = made.model_copy(update={"images": (*small_platform(images=images).images, *made.images[len(images) :])})
    assert inside(made, path, made.flavour("cpu")) == found


@pytest.mark.parametrize(
    ("path", "tools", "able", "hint"),
    [
        pytest.param(f"{FOLDER}/lab.sif", ("proot", "apptainer"), "t4", "Choose NVIDIA T4", id="another accelerator"),
        pytest.param(f"{FOLDER}/lab.sif", ("proot",), "", "No accelerator here runs image files", id="no accelerator"),
        pytest.param(f"{FOLDER}/group/sandbox", (), "", "Name the registry", id="no tool, and nobody knows its source"),
        pytest.param(f"{FOLDER}/evil.org/x:1", (), "", "Name the registry", id="a source that is not allowed"),
        pytest.param("/etc/passwd", ("proot",), "", "Allowed folders", id="a folder that is not allowed"),
    ],
)
def test_what_cannot_run_is_refused_with_what_can(path: str, tools: tuple[str, ...], able: str, hint: str) -> None:
    made = platform(*tools, able=able)
    with pytest.raises(InvalidInput) as refused:
        inside(made, path, made.flavour("cpu"))
    assert hint in refused.value.hint


def test_converted_is_always_the_last_way() -> None:
    made = platform("apptainer", "proot", able="cpu")
    assert ways(made, made.flavour("cpu")) == ["apptainer", "proot", "converted"]
    assert ways(made, made.flavour("t4")) == ["proot", "converted"]
    assert ways(platform(), made.flavour("t4")) == ["converted"]


@pytest.mark.parametrize(("flavour", "options"), [("t4", ["--nv"]), ("cpu", []), ("u55c", [])])
def test_apptainer_shows_the_devices_of_the_flavour(flavour: str, options: list[str]) -> None:
    made = platform("apptainer", able=flavour)
    command = run_inside(made, IMAGE, ["sh", "-c", "a; b"], made.flavour(flavour), ["/home/jovyan"])
    before = ["apptainer", "exec", "--no-mount", "hostfs"]
    assert command == [*before, *options, "--bind", "/home/jovyan", IMAGE, "sh", "-c", "a; b"]


@pytest.mark.parametrize(
    ("tools", "able"),
    [
        pytest.param(("apptainer", "proot"), "", id="without the capability"),
        pytest.param(("proot",), "t4", id="with it, but no carrier that has Apptainer"),
    ],
)
def test_proot_gets_folders_and_command_as_words_of_their_own(tools: tuple[str, ...], able: str) -> None:
    made = platform(*tools, able=able)
    command = run_inside(made, IMAGE, ["sh", "-c", "a; b"], made.flavour("t4"), ["/home/jovyan", "/scratch"])
    assert command[:2] == ["/bin/sh", "-c"]
    assert command[3:9] == ["unpacked", IMAGE, "-b", "/home/jovyan", "-b", "/scratch"]
    assert command[-3:] == ["sh", "-c", "a; b"]


@pytest.mark.parametrize("able", ["cpu", ""])
@pytest.mark.parametrize("folder", ["/a:/etc", "/a,/etc", "a", "/a/../etc", "/a b"])
def test_a_folder_cannot_smuggle_a_second_bind(folder: str, able: str) -> None:
    made = platform("apptainer", "proot", able=able)
    with pytest.raises(InvalidInput, match="cannot be shown"):
        run_inside(made, IMAGE, ["sh"], made.flavour("cpu"), [folder])


def test_nothing_in_the_scripts_is_an_expression_of_kubernetes() -> None:
    """It reads $(NAME) and $$ in arguments: https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/"""
    made = platform("proot")
    command = run_inside(made, IMAGE, ["sh"], made.flavour("cpu"))
    assert not [word for word in command if "$(" in word or "$$" in word]
    assert all(len(word) < 4096 for word in command)
