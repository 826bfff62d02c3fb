"""What is printed: stable text, plain YAML, and the example that is kept in the repository."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support.values_files import FOLDER, values

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.catalogue.document import read_document
from aiinfn_hub.install import manager
from aiinfn_hub.install.render import PARTS, render

PLATFORM = load_platform(example_path())
#: The manager's configuration is in the values of its chart.
KEPT = sorted(set(PARTS) - {"manager"})
KUEUE_VALUES = values("kueue.yaml")


@pytest.mark.parametrize("part", KEPT)
def test_the_example_in_the_repository_is_what_is_rendered(part: str) -> None:
    command = f"aiinfn platform render {part} aiinfn_hub/catalogue/example.yaml > helm-values/example/{part}.yaml"
    kept = FOLDER / "example" / f"{part}.yaml"
    assert kept.is_file(), f"make it: {command}"
    assert kept.read_text() == render(part, PLATFORM), f"renew it: {command}"


def test_nothing_else_is_kept() -> None:
    assert sorted(path.name for path in (FOLDER / "example").iterdir()) == [f"{part}.yaml" for part in KEPT]


@pytest.mark.parametrize("part", PARTS)
def test_what_is_read_back_is_what_was_made(part: str) -> None:
    _, objects = PARTS[part]
    assert list(yaml.safe_load_all(render(part, PLATFORM))) == objects(PLATFORM)


@pytest.mark.parametrize("part", PARTS)
def test_the_first_line_says_what_made_it_and_names_no_file_of_a_machine(part: str) -> None:
    first, second, *_ = render(part, PLATFORM).splitlines()
    assert first == f"# Made by `aiinfn platform render {part}` from the platform file: change that, and render again."
    assert second == "---"


@pytest.mark.parametrize("part", PARTS)
def test_the_same_file_gives_the_same_text_without_anchors(part: str) -> None:
    text = render(part, PLATFORM)
    assert text == render(part, load_platform(example_path()))
    assert not any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in yaml.scan(text))


@pytest.mark.parametrize("part", PARTS)
def test_no_object_is_made_twice(part: str) -> None:
    _, objects = PARTS[part]
    made = [
        (o["kind"], o.get("metadata", {}).get("namespace", ""), o.get("metadata", {}).get("name", ""))
        for o in objects(PLATFORM)
    ]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("part", PARTS)
def test_another_namespace_is_that_of_every_object(part: str) -> None:
    moved = PLATFORM.model_copy(update={"namespace": "theirs", "system_namespace": "their-system"})
    _, objects = PARTS[part]
    found = {o["metadata"]["namespace"] for o in objects(moved) if "namespace" in o.get("metadata", {})}
    assert not found & {"aiinfn", "aiinfn-system"}


def test_texts_of_several_lines_are_written_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "texts", ("", lambda _: [{"text": "one\ntwo\n", "name": "ü"}]))
    assert render("texts", PLATFORM).splitlines()[1:] == ["---", "text: |", "  one", "  two", "name: ü"]


def configuration_in_values() -> dict[str, Any]:
    text = KUEUE_VALUES["managerConfig"]["controllerManagerConfigYaml"]
    assert read_document(text).findings == ()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_values_of_kueue_hold_the_configuration_that_is_rendered() -> None:
    """One truth: the values are its commented form."""
    assert configuration_in_values() == manager.configuration(PLATFORM), (
        "compare with: aiinfn platform render manager aiinfn_hub/catalogue/example.yaml"
    )


@pytest.mark.parametrize("namespace", ["aiinfn", "theirs"])
def test_kueue_manages_the_namespace_of_the_platform_file(namespace: str) -> None:
    platform: Platform = PLATFORM.model_copy(update={"namespace": namespace})
    selector = manager.configuration(platform)["managedJobsNamespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
