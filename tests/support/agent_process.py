"""A node agent as a process of its own, to be killed: `python agent_process.py KUBECONFIG ROOT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.local.agent import NodeAgent
from aiinfn_hub.local.nodes import NodeSpec


async def main(kubeconfig: Path, root: Path) -> None:
    client = await KubeClient.connect(kubeconfig)
    node = NodeSpec(name="n1", capacity={"cpu": "4", "memory": "8Gi"})
    await NodeAgent(client, [node], root).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
