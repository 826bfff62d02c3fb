from __future__ import annotations

import pytest
from support.small_platform import small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.apptainer import apptainer_command, apptainer_path

IMAGE = "/cvmfs/unpacked.infn.it/ghcr.io/infn/pytorch:2.9"


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
    ("flavour", "option"),
    [
        pytest.param("t4", "--nv", id="NVIDIA devices"),
        pytest.param("cpu", None, id="no device"),
        pytest.param("u55c", None, id="an FPGA needs no option"),
    ],
)
def test_the_devices_of_the_flavour_are_visible(flavour: str, option: str | None) -> None:
    command = apptainer_command(IMAGE, ["jupyterhub-singleuser"], small_platform().flavour(flavour))
    assert command[:2] == ["apptainer", "exec"]
    assert command[-2:] == [IMAGE, "jupyterhub-singleuser"]
    assert ("--nv" in command) == (option == "--nv")


def test_folders_are_bound_one_by_one() -> None:
    command = apptainer_command(IMAGE, ["sh"], small_platform().flavour("cpu"), ["/home/jovyan", "/scratch"])
    pairs = [command[i + 1] for i, word in enumerate(command) if word == "--bind"]
    assert pairs == ["/home/jovyan", "/scratch"]


@pytest.mark.parametrize("folder", ["/a:/etc", "/a,/etc", "a", "/a/../etc", "/a b"])
def test_a_folder_cannot_smuggle_a_second_bind(folder: str) -> None:
    with pytest.raises(InvalidInput):
        apptainer_command(IMAGE, ["sh"], small_platform().flavour("cpu"), [folder])


def test_the_arguments_of_the_command_stay_separate_words() -> None:
    command = apptainer_command(IMAGE, ["sh", "-c", "echo a; echo b"], small_platform().flavour("cpu"))
    assert command[-3:] == ["sh", "-c", "echo a; echo b"]
