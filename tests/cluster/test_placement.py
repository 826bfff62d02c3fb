"""Each flavour lands where its machine is and nowhere else: the real scheduler and Kueue, the example's nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.demo import RunningDemo
from support.hubfakes import FakeUser, in_groups, make_spawner, manifest_of

from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(200)]
#: Flavour -> the nodes of aiinfn_hub/local/nodes.yaml that have it.
WHERE = {
    "cpu": {"cpu-1", "fpga-1"},
    "t4": {"gpu-1"},
    "rtx5000": {"gpu-2"},
    "a30": {"gpu-3"},
    "a100-40": {"gpu-4"},
    "a100-40-1g.5gb": {"gpu-4"},
    "a100-80-1g.10gb": {"gpu-5"},
    "a100-80-2g.20gb": {"gpu-5"},
    "a100-80-3g.40gb": {"gpu-5"},
    "a100-80-4g.40gb": {"gpu-5"},
    "a100-80-7g.80gb": {"gpu-5"},
    "u55c": {"fpga-1"},
}
Object = dict[str, Any]


@pytest_asyncio.fixture
async def hub(demo: RunningDemo) -> AsyncIterator[KubeClient]:
    """With the rights of the hub, and no other."""
    client = await KubeClient.connect(demo.home / "kube" / "hub")
    try:
        yield client
    finally:
        for pod in (await client.list(PODS, "aiinfn"))[0]:
            await client.delete(PODS, pod["metadata"]["name"], "aiinfn", grace_s=0)
        await client.close()


@pytest.fixture
def files(demo: RunningDemo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for spawners that read what the demo offers."""
    monkeypatch.setattr(
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(demo.home / "kube" / "hub")
    )
    (tmp_path / "platform.yaml").write_text(Path(demo.info["platform_file"]).read_text())
    return tmp_path


async def start(hub: KubeClient, folder: Path, flavour: str, person: str) -> str:
    """A pod as the spawner makes it for this flavour; its name."""
    activity = "fpga" if flavour == "u55c" else "lhcb-flashsim"
    user = FakeUser(name=person, groups=in_groups("/aiinfn", f"/aiinfn/{activity}"))
    spawner = make_spawner(folder, user=user, options={"flavour": flavour, "activity": activity})
    manifest = await manifest_of(spawner)
    # Without the name it is nobody's ticket: the hub knows none of these people, and the service would give it up.
    del manifest["metadata"]["annotations"][names.PERSON_NAME]
    made = await hub.create(PODS, manifest, "aiinfn")
    return str(made["metadata"]["name"])


async def admitted(hub: KubeClient, name: str) -> Object:
    """The pod, once Kueue has let it in."""
    async with asyncio.timeout(60):
        while True:
            pod = await hub.get(PODS, name, "aiinfn")
            if [gate["name"] for gate in pod["spec"].get("schedulingGates", ())] in ([], [names.GATE]):
                return pod
            await asyncio.sleep(0.1)


async def node_of(hub: KubeClient, name: str) -> str:
    """Where the pod goes when the hub opens its gate."""
    pod = await admitted(hub, name)
    if pod["spec"].get("schedulingGates"):
        await hub.patch(PODS, name, [{"op": "remove", "path": "/spec/schedulingGates"}], "aiinfn", strategy="json")
    async with asyncio.timeout(30):
        while not (pod := await hub.get(PODS, name, "aiinfn"))["spec"].get("nodeName"):
            await asyncio.sleep(0.1)
    return str(pod["spec"]["nodeName"])


async def test_every_flavour_of_the_example_is_in_the_table(demo: RunningDemo) -> None:
    assert {flavour.name for flavour in load_platform(Path(demo.info["platform_file"])).flavours} == WHERE.keys()


async def test_a_session_goes_to_its_machine_and_to_no_other(hub: KubeClient, files: Path) -> None:
    people = {flavour: f"person{number}" for number, flavour in enumerate(WHERE)}
    pods = {flavour: await start(hub, files, flavour, person) for flavour, person in people.items()}
    found = {flavour: await node_of(hub, pod) for flavour, pod in pods.items()}
    assert {flavour: node for flavour, node in found.items() if node not in WHERE[flavour]} == {}


async def test_a_slice_is_never_cut_from_a_whole_card(hub: KubeClient, files: Path) -> None:
    """Seven slices, two whole cards of the same model: the eighth waits, and the cards stay whole."""
    pods = [await start(hub, files, "a100-40-1g.5gb", f"person{number}") for number in range(8)]
    async with asyncio.timeout(60):
        while len(await held(hub, pods)) > 1:
            await asyncio.sleep(0.1)
    whole = await start(hub, files, "a100-40", "person9")
    assert await node_of(hub, whole) == "gpu-4"
    assert len(await held(hub, pods)) == 1, "a later whole card is let in, and the eighth slice is still outside"


async def held(hub: KubeClient, pods: list[str]) -> list[str]:
    """Those of the pods that Kueue has not let in."""
    found = {pod["metadata"]["name"]: pod for pod in (await hub.list(PODS, "aiinfn"))[0]}
    return [name for name in pods if {g["name"] for g in found[name]["spec"].get("schedulingGates", ())} - {names.GATE}]
