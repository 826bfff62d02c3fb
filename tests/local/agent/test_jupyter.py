"""A real Jupyter server as a pod, with a kernel, reached at the pod's address; and kubectl looking at it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from support.nodeagent import NAMESPACE, Cluster, alive, phase, pod, until_dead

TOKEN = {"Authorization": "token s3cret"}


@pytest.mark.asyncio
async def test_a_jupyter_server_with_a_kernel_runs_in_a_pod_and_ends_with_it(cluster: Cluster) -> None:
    volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "homes"}}]
    container = {
        "volumeMounts": [{"name": "home", "mountPath": "/home/jovyan", "subPath": "ada"}],
        "env": [{"name": "JUPYTER_TOKEN", "value": "s3cret"}],
    }
    command = ("jupyter-server", "--ip=0.0.0.0", "--port=8888", "--ServerApp.root_dir=/home/jovyan", "--no-browser")
    await cluster.create(pod("session", *command, volumes=volumes, container=container))
    found = await cluster.until("session", phase("Running"))
    url = f"http://{found['status']['podIP']}:8888"
    home = cluster.root / "volumes" / NAMESPACE / "homes" / "ada"
    async with httpx.AsyncClient(headers=TOKEN, timeout=10, trust_env=False) as http, asyncio.timeout(60):
        while True:
            try:
                if (await http.get(f"{url}/api")).status_code == 200:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        (home / "here.txt").write_text("found")
        listing = (await http.get(f"{url}/api/contents")).json()
        assert [item["name"] for item in listing["content"]] == ["here.txt"]
        assert (await http.post(f"{url}/api/kernels")).status_code == 201
    kernels = kernels_in(home)
    assert len(kernels) == 1
    await cluster.delete("session")
    for kernel in kernels:
        await until_dead(kernel)


def kernels_in(home: Path) -> list[int]:
    """Numbers of the kernel processes whose connection files are below a home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and alive(int(folder.name)):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"ipykernel_launcher" in words and any(str(home).encode() in word for word in words):
                found.append(int(folder.name))
    return found
