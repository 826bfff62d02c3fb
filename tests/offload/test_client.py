"""The notebook's own client against the room: both sides mean the same by the same words."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from support.offload import reference, request
from support.offload_service import sqlite, world

from aiinfn_hub.contract.jobs import JobState, JobView
from aiinfn_hub.errors import Conflict, Forbidden, NotFound
from aiinfn_labext.client import ServiceClient

S = JobState


@pytest.mark.asyncio
async def test_a_notebook_gets_along_with_the_room(tmp_path: Path) -> None:
    database = sqlite(tmp_path)
    async with world(tmp_path, database) as service:
        environ = {"AIINFN_SERVICE_URL": service.url, "JUPYTERHUB_API_TOKEN": "alice"}
        client = ServiceClient(environ=environ)
        wanted = request(inputs={"x": reference(b"[1]")}, outputs=["total", "gone"])
        sent = {reference(b"[1]").sha256: b"[1]"}

        def submit() -> JobView:
            view = client.submit(wanted, sent)
            assert client.submit(wanted, sent).id != view.id, "a new key is a new job"
            assert client.why("fit").sentence
            assert "local" in {target.name for target in client.targets()}
            with pytest.raises(NotFound):
                client.job("other")
            with pytest.raises(Forbidden):
                client.submit(request(gpu="u55c"), {})
            return view

        view = await asyncio.to_thread(submit)
        token = await service.exchange(view.id, await service.cluster.start_pod(view.id))
        frame = {"seq": 1, "output_type": "stream", "name": "stdout", "text": "hello\n"}
        await service.runner("POST", view.id, "frames", token, json={"frames": [frame]})
        headers = {"X-Aiinfn-Codec": "json", "X-Aiinfn-Sha256": hashlib.sha256(b"7").hexdigest()}
        await service.runner("PUT", view.id, "outputs/total", token, headers=headers, content=b"7")
        report = {"state": "succeeded", "exit_code": 0, "missing": {"gone": "not assigned"}}
        await service.runner("POST", view.id, "result", token, json=report)

        def collect() -> None:
            page = client.frames(view.id, 0, wait_s=10, state="queued")
            assert (page.job.state, [found["text"] for found in page.frames]) == (S.SUCCEEDED, ["hello\n"])
            assert client.output(view.id, "total") == ("json", b"7")
            assert (page.job.outputs["gone"].codec, page.job.outputs["gone"].summary) == ("", "not assigned")
            with pytest.raises(NotFound, match="not assigned"):
                client.output(view.id, "gone")
            with pytest.raises(Conflict, match="is over"):
                client.cancel(view.id)
            assert [job.id for job in client.jobs(state="succeeded")] == [view.id]

        await asyncio.to_thread(collect)
    database.close()
