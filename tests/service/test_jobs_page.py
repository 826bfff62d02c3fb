"""The pages of one's jobs: output, pictures, tables and values without a session; nobody else's."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from bs4 import BeautifulSoup
from support.offload import new_run, request
from support.service import RunningService, running_service

from aiinfn_hub.contract.jobs import JobState, ValueRef, Vitals
from aiinfn_hub.offload import blobs, frames, results, runs
from aiinfn_hub.offload.results import Report
from aiinfn_hub.offload.runs import Run

S = JobState
DATA = b"[3,2,1]"
SHA256 = hashlib.sha256(DATA).hexdigest()
FRAMES: list[dict[str, Any]] = [
    {"output_type": "stream", "name": "stdout", "text": "<b>10 %</b>\r<b>20 %</b>\n"},
    {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}, "metadata": {}},
    {
        "output_type": "display_data",
        "data": {"text/html": "<table><tr><td>cell</td></tr></table><script>evil()</script>", "text/plain": "t"},
        "metadata": {},
    },
    {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["ValueError: no"]},
]


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        for who in ("alice", "bob"):
            running.hub.add(who, "/aiinfn", "/aiinfn/lhcb-flashsim")
        yield running


async def page(service: RunningService, path: str, who: str = "alice", status: int = 200) -> BeautifulSoup:
    async with service.person(f"token-of-{who}") as http:
        answer = await http.get(path)
    assert answer.status_code == status, answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return BeautifulSoup(answer.text, "html.parser")


def text(soup: BeautifulSoup) -> str:
    return " ".join(soup.get_text(" ").split())


def ended(connection: sa.Connection, *, now: float) -> Run:
    """A job that has failed, with output, a value and a number."""
    wanted = request("fit", outputs=["loss", "model"])
    run, _ = runs.create(connection, new_run(wanted, point={"lr": 0.5}), now=now - 100)
    runs.move(connection, run.id, S.QUEUED, now=now - 90)
    runs.move(connection, run.id, S.RUNNING, now=now - 80, started_at=now - 80)
    numbered = [{**frame, "seq": seq} for seq, frame in enumerate(FRAMES, 1)]
    frames.append(connection, runs.get(connection, run.id), 1, numbered, now=now)
    runs.note_vitals(connection, runs.get(connection, run.id), Vitals(2**30, {"loss": 0.25}), now=now)
    blobs.note(connection, "alice", SHA256, len(DATA), now=now)
    results.put(connection, run.id, "loss", ValueRef("json", SHA256, len(DATA), "list of 3"))
    report = Report("failed", 70, "ValueError: no", {"model": "the code did not assign it"})
    results.finish(connection, runs.get(connection, run.id), report, now=now)
    return runs.get(connection, run.id)


@pytest.mark.asyncio
async def test_a_job_is_read_without_a_session(service: RunningService) -> None:
    database = service.service.database
    run = database.run(ended, now=time.time())
    store = service.service.offloading.blobs
    path = store.path("alice", SHA256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(DATA)
    (row,) = (await page(service, "/jobs")).select("tbody tr")
    assert "fit lr = 0.5 failed local, cpu" in text(row)
    assert "loss 0.25" in text(row)
    link = str(row.a["href"]).removeprefix(service.service.config.prefix)
    shown = await page(service, link)
    said = text(shown)
    assert "fit failed after 1 min" in said
    assert "ValueError: no" in said
    assert "it took up to 1.0 GiB" in said
    assert "loss : list of 3 (7 Bytes, json)" in said
    assert "model did not come back: the code did not assign it" in said
    assert "They are kept until" in said
    output = shown.select_one(".output")
    assert output is not None
    assert [pre.get_text() for pre in output.select("pre")] == ["<b>20 %</b>\n", "ValueError: no"]
    assert output.select_one("img[src='data:image/png;base64,iVBORw0KGgo=']")
    assert text(output.table) == "cell"
    assert "evil" not in str(shown)
    value = str(shown.select_one("a[download]")["href"]).removeprefix(service.service.config.prefix)
    async with service.person("token-of-alice") as http:
        answer = await http.get(value)
    assert (answer.content, answer.headers["Content-Disposition"][:10]) == (DATA, "attachment")
    await page(service, f"/jobs/{run.id}", who="bob", status=404)


@pytest.mark.asyncio
async def test_no_jobs_a_new_one_and_many(service: RunningService) -> None:
    assert "You have no jobs yet" in text(await page(service, "/jobs"))
    database = service.service.database

    def many(connection: sa.Connection) -> None:
        for number in range(60):
            new = new_run(request(f"fit-{number}"), idempotency_key=str(number))
            run, _ = runs.create(connection, new, now=1000.0 + number)
            runs.move(connection, run.id, S.FAILED, now=2000.0, reason="It ended.")

    database.run(many)
    first = await page(service, "/jobs")
    assert [row.a.get_text() for row in first.select("tbody tr")][:2] == ["fit-59", "fit-58"]
    older = str(first.find("a", string="older")["href"]).removeprefix(service.service.config.prefix)
    assert [row.a.get_text() for row in (await page(service, older)).select("tbody tr")][-1] == "fit-0"
    assert "Nothing is older" in text(await page(service, "/jobs?before=1"))
    assert "is no time" in text(await page(service, "/jobs?before=x", status=400))
    assert "It has said nothing." in text(await page(service, "/jobs/fit-3"))
    assert "You have no job 'none'" in text(await page(service, "/jobs/none", status=404))
