"""The pages of a person's jobs: what they have said, shown and given back, without a session."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from jinja2.filters import do_filesizeformat
from tornado.web import RequestHandler

from aiinfn_hub.contract.jobs import JobView
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import blobs, frames, results, runs
from aiinfn_hub.offload.outputs import Frame
from aiinfn_hub.panel.log import parts
from aiinfn_hub.panel.pages import PageHandler, Pages

#: Jobs on one page.
PAGE = 50
#: Of the output of a job, what its page has; the rest is in JupyterLab and behind the API.
MOST_FRAMES, MOST_BYTES = 2000, 16 * 1024**2


class JobsPage(PageHandler):
    """My jobs, the newest first."""

    async def get(self) -> None:
        """One page of them."""
        before = _time(self.get_argument("before", ""))
        mine = await self.pages.database.read(_listed, self.person.name, before)
        older = mine[-1].submitted_at if len(mine) == PAGE else None
        self.show("jobs.html", tab="jobs", jobs=[_row(job) for job in mine], first=not before, older=older)


class JobPage(PageHandler):
    """One of my jobs."""

    async def get(self, run_id: str) -> None:
        """Where it is, its output, its values.

        Raises:
            NotFound: the person has none of this identifier.
        """
        job, found, expire = await self.pages.database.read(_one, self.person.name, run_id)
        self.show(
            "job.html",
            tab="jobs",
            job=job,
            row=_row(job),
            facts=_facts(job),
            values=[(name, value, _size(value.size)) for name, value in job.outputs.items()],
            expire=expire,
            parts=parts(found),
            cut=len(found) < job.frames and len(found) and found[-1]["seq"] < job.frames,
        )


def _listed(connection: sa.Connection, owner: str, before: float) -> list[JobView]:
    return results.views(connection, runs.search(connection, owner, before=before, limit=PAGE))


def _one(connection: sa.Connection, owner: str, run_id: str) -> tuple[JobView, list[Frame], float | None]:
    """The job, its frames, and when the first of its values goes unless somebody takes it."""
    run = runs.find(connection, owner, run_id)
    job = results.view(run, results.of_run(connection, run.id))
    kept = [value.sha256 for value in job.outputs.values() if value.codec]
    expire = blobs.expiry(connection, owner, kept) if kept else None
    return job, frames.after(connection, run.id, 0, limit=MOST_FRAMES, max_bytes=MOST_BYTES), expire


def _row(job: JobView) -> dict[str, Any]:
    ended = None if job.started_at is None or job.finished_at is None else job.finished_at - job.started_at
    return {
        "job": job,
        "point": ", ".join(f"{name} = {value}" for name, value in job.point.items()),
        "metrics": ", ".join(
            f"{name} {'nan' if number is None else format(number, '.6g')}" for name, number in job.metrics.items()
        ),
        "took": "" if ended is None else format_duration(ended),
        "note": "" if job.state == "succeeded" else job.verdict or job.reason,
    }


def _facts(job: JobView) -> list[tuple[str, str]]:
    wanted = job.resources
    facts = [
        ("place", f"{job.target}, {job.flavour}, charged to {job.activity}"),
        ("asked for", f"{wanted.cpu_millis / 1000:g} CPU, {_size(wanted.memory_bytes)}"),
        ("time", f"{format_duration(wanted.time_s)} at most, in all attempts together"),
    ]
    if job.attempt > 1:
        facts.append(("attempt", str(job.attempt)))
    if job.memory:
        facts.append(("memory", f"it took up to {_size(job.memory)}"))
    return facts


def _size(count: int) -> str:
    return do_filesizeformat(count, binary=True)


def _time(text: str) -> float:
    try:
        found = float(text or 0)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InvalidInput(
            f"{text[:40]!r} is no time.", hint="It is in Unix seconds, as the link to older jobs has it."
        )
    return found


def routes(prefix: str, *, pages: Pages) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """These pages below `prefix`."""
    given = {"pages": pages}
    return [(rf"{prefix}/jobs", JobsPage, given), (rf"{prefix}/jobs/([A-Za-z0-9_-]{{1,60}})", JobPage, given)]
