"""The nodes file: strict, and fitting the catalogue's example."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.nodes import NodeSpec, Taint, demo_nodes, load_nodes

GOOD = """
nodes:
  - name: n1
    labels: {zone: one}
    taints: [{key: nvidia.com/gpu, effect: NoSchedule}]
    capacity: {cpu: "4", memory: 8Gi, nvidia.com/mig-1g.5gb: "7"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "nodes.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_frozen_specs(tmp_path: Path) -> None:
    (node,) = load_nodes(written(tmp_path, GOOD))
    assert node == NodeSpec(
        name="n1",
        labels={"zone": "one"},
        taints=(Taint("nvidia.com/gpu", "NoSchedule"),),
        capacity={"cpu": "4", "memory": "8Gi", "nvidia.com/mig-1g.5gb": "7"},
    )
    with pytest.raises(AttributeError):
        node.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("zone: one", "zone: 1", "labels", id="a number where text belongs"),
        pytest.param("labels:", "lables:", "lables", id="a key that nobody reads"),
        pytest.param("name: n1", "name: N1", "'N1'", id="a name that no host has"),
        pytest.param("name: n1", "name: 'n1/..'", "n1/..", id="a name that is a path"),
        pytest.param("name: n1\n", "", "name", id="no name"),
        pytest.param("zone: one", "zone: 'a b'", "zone", id="a label value with a space"),
        pytest.param("zone: one", "'a b': one", "a b", id="a label key with a space"),
        pytest.param("NoSchedule", "Never", "Never", id="an effect that there is not"),
        pytest.param("key: nvidia.com/gpu", "key: 'no key'", "no key", id="a taint without a proper key"),
        pytest.param('cpu: "4", ', "", "cpu", id="no CPU"),
        pytest.param("memory: 8Gi, ", "", "memory", id="no memory"),
        pytest.param('"4"', '"four"', "four", id="CPU in words"),
        pytest.param("8Gi", "8Gx", "8Gx", id="a unit that there is not"),
        pytest.param('"7"', '"1.5"', "1.5", id="half a device"),
        pytest.param('"7"', '"-1"', "-1", id="less than no device"),
        pytest.param("nodes:", "nodes: []\nmore:", "more", id="a second document root"),
        pytest.param(GOOD, "nodes: []", "no node", id="no node"),
        pytest.param(GOOD, "nodes: [", "not a list of nodes", id="no YAML"),
        pytest.param(GOOD, GOOD + GOOD.replace("nodes:", ""), "2 nodes are named 'n1'", id="two of the same name"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InvalidInput) as caught:
        load_nodes(path)
    assert str(path) in caught.value.message
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nothing\.yaml cannot be read"):
        load_nodes(tmp_path / "nothing.yaml")


def test_the_demo_has_every_flavour_of_the_example() -> None:
    nodes = load_nodes()
    for flavour in load_platform(example_path()).flavours:
        resource = flavour.resource or "cpu"
        selector = flavour.node_selector.items()
        fitting = [n for n in nodes if selector <= n.labels.items() and resource in n.capacity]
        assert fitting, flavour.name
        for node in fitting:
            for taint in node.taints:
                tolerated = any(t.key == taint.key and t.operator == "Exists" for t in flavour.tolerations)
                assert tolerated or not flavour.accelerator, (flavour.name, node.name)


def test_work_without_an_accelerator_has_a_node_that_takes_it() -> None:
    assert any(not node.taints for node in load_nodes())


def test_whole_cards_of_different_models_are_on_different_nodes() -> None:
    products = [node.labels["nvidia.com/gpu.product"] for node in load_nodes() if "nvidia.com/gpu" in node.capacity]
    assert len(products) == len(set(products)) == 4


def test_the_file_ships_with_the_package() -> None:
    assert demo_nodes().is_file()
