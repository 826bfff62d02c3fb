"""A platform where people have POSIX users: sessions and jobs run as the same one, in folders made for them."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from e2e.conftest import PLACES, place
from support.demo import RunningDemo, Visitor, running_demo
from support.leftovers import clear
from support.people_at_work import SESSION, said, session

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.identity.uids import Uids
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.kube.kinds import PODS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=PLACES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    arguments, cluster = place(request)
    folder = tmp_path_factory.mktemp("posix")
    document = yaml.safe_load(example_path().read_text())
    document["posix"] = {"image": "docker.io/library/busybox:1.37"}
    (folder / "platform.yaml").write_text(yaml.safe_dump(document))
    with running_demo(folder / "home", "--platform", str(folder / "platform.yaml"), *arguments) as running:
        yield running
    if cluster is not None:
        clear(cluster)


def made(demo: RunningDemo, name: str) -> Path:
    (found,) = (path for path in demo.home.rglob(name) if path.is_dir() and not path.is_symlink())
    return found


async def test_a_session_and_its_job_run_as_the_person_in_folders_of_their_own(demo: RunningDemo) -> None:
    _, kernel = await session(demo, "scientist")
    uid = Uids(demo.home / "hub" / "bindings.sqlite").known("scientist")
    assert uid is not None
    await kernel.run("import pathlib; pathlib.Path.home().joinpath('mine').write_text('x')")
    answer = await kernel.run(
        "%%offload fit --cpu 1 --mem 512Mi --time 5m --out answer --wait\nanswer = 6 * 7\n", timeout_s=150
    )
    assert answer.status == "ok", answer
    assert (await kernel.run("print(answer)")).text == "42\n"
    client = await KubeClient.connect(Path(demo.info["kubeconfig"]))
    try:
        pods, _ = await client.list(PODS, "aiinfn")
    finally:
        await client.close()
    users = {
        pod["metadata"]["labels"]["aiinfn.infn.it/kind"]: pod["spec"]["securityContext"]["runAsUser"] for pod in pods
    }
    assert users == {"session": uid, "job": uid}
    home, share = made(demo, "user-scientist"), made(demo, "shared-lhcb-flashsim")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / "mine").read_text() == "x"
    assert stat.S_IMODE(share.stat().st_mode) == 0o2770


async def test_a_home_that_cannot_be_used_is_explained(demo: RunningDemo) -> None:
    """On this machine nobody is another user: a file where the folder should be is what can be had."""
    homes = demo.home / "nodes" / "volumes" / "aiinfn" / "homes"
    homes.mkdir(parents=True, exist_ok=True)
    (homes / "user-pi").write_text("")
    visitor = Visitor(demo, "pi")
    await visitor.login()
    page = said(await visitor.spawn(SESSION))
    async with asyncio.timeout(90):
        while "user-pi" not in page:  # a start that takes longer than 10 s goes on behind JupyterHub's waiting page
            await asyncio.sleep(0.5)
            page = said(await visitor.http.get(f"{visitor.hub}/hub/spawn-pending/pi"))
    assert "operator" in page
