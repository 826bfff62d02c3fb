"""A sweep as the notebook holds it: one table of what its points have measured, values by point, and their jobs."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiinfn_hub.contract.jobs import JobState, JobView, Retry
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.contract.sweeps import SweepRequest, SweepRetry, SweepView
from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_labext.amounts import change_of
from aiinfn_labext.client import ServiceClient
from aiinfn_labext.job import PATIENCE_S, Job
from aiinfn_labext.shown import clean_text

#: Seconds between two looks while somebody waits.
LOOK_S = 2.0
#: Width of the longest bar, in characters of the table.
_BAR_EM = 5.0


class Sweep:
    """A sweep of the platform; it can be found again after a restart: `offload.sweeps.find("fit")`.

    Args:
        service: where it runs.
        view: as it is now.
    """

    def __init__(self, service: ServiceClient, view: SweepView) -> None:
        self._service = service
        self.view = view

    def __repr__(self) -> str:
        return repr(SweepTable(self.view))

    def _repr_html_(self) -> str:
        return SweepTable(self.view).html

    @property
    def id(self) -> str:
        """Its identifier."""
        return self.view.id

    @property
    def name(self) -> str:
        """Its name; a later sweep may have the same."""
        return self.view.name

    @property
    def head(self) -> str:
        """How many of its points are where, in one line."""
        return _head(self.view)

    @property
    def jobs(self) -> list[Job]:
        """The latest job of each point, in their order."""
        return [Job(self._service, view) for view in self.view.jobs]

    def refresh(self) -> SweepView:
        """Ask again, unless it has ended."""
        if not self.view.final:
            self.view = self._service.sweep(self.id)
        return self.view

    def table(self) -> list[dict[str, Any]]:
        """A row for each point: its values, its state, and what it has measured, None for what it has not (yet)."""
        return self.refresh().table()

    def to_pandas(self) -> Any:
        """The same as a `pandas.DataFrame`.

        Raises:
            InvalidInput: there is no pandas.
        """
        try:
            import pandas as pd  # noqa: PLC0415  of the person, where it is
        except ImportError as error:
            raise InvalidInput("There is no pandas in this session.", hint="table() has the same rows.") from error
        return pd.DataFrame(self.table())

    def values(self, name: str) -> list[Any]:
        """What the points gave back by this name, in their order; None for those that did not (yet).

        Raises:
            NotFound: none of them did.
        """
        self.refresh()
        found = [job.value(name) if _came(job.view, name) else None for job in self.jobs]
        if not any(_came(view, name) for view in self.view.jobs):
            raise NotFound(f"No point of {self.name} has given back {name!r}.", hint=f"%offload table {self.name}")
        return found

    def wait(self, timeout: float | None = None, *, told: Callable[[], None] = lambda: None) -> SweepView:
        """Wait until all have ended, however they ended; `told` is called after each look.

        Raises:
            TimeoutError: they have not within `timeout` seconds; they go on.
            Unavailable: the service was away for longer than `PATIENCE_S`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        heard = time.monotonic()
        while not self.view.final:
            try:
                self.refresh()
                heard = time.monotonic()
            except Unavailable:  # it restarts, and the jobs go on
                if time.monotonic() - heard > PATIENCE_S:
                    raise
            told()
            left_s = LOOK_S if deadline is None else deadline - time.monotonic()
            if left_s <= 0 and not self.view.final:
                raise TimeoutError(f"{self.name} has not ended within {timeout:g} s; it goes on: {_head(self.view)}")
            if not self.view.final:
                time.sleep(min(LOOK_S, left_s))  # of a sweep nothing tells that it has changed
        return self.view

    def cancel(self) -> SweepView:
        """End all of it.

        Raises:
            Conflict: it is over.
        """
        self.view = self._service.cancel_sweep(self.id)
        return self.view

    def again(self, change: Retry) -> SweepView:
        """Run the points again that did not succeed.

        Raises:
            Conflict: there are none.
        """
        self.view = self._service.retry_sweep(self.id, SweepRetry(change))
        return self.view

    def retry(self, **changes: Any) -> SweepView:
        """The same, with cpu, mem, gpu, time or to as people write them: `sweep.retry(mem="24Gi")`."""
        return self.again(change_of(**changes))


class SweepTable:
    """A sweep on a terminal and in a notebook, where what was measured is drawn as well as written."""

    def __init__(self, view: SweepView) -> None:
        self._view = view
        self._names = list(view.jobs[0].point) if view.jobs else []

    def __repr__(self) -> str:
        rows = [[text for text, _ in row] for row in self._rows()]
        widths = [max(map(len, column)) for column in zip(self._titles, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self._titles, *rows)
        ]
        return "\n".join([_head(self._view), *lines])

    @property
    def html(self) -> str:
        """For a notebook."""
        left = 'style="text-align: left"'
        head = "".join(f"<th {left}>{html.escape(title)}</th>" for title in self._titles)
        rows = "".join(
            "<tr>" + "".join(f"<td {left}>{_bar(share)}{html.escape(text)}</td>" for text, share in row) + "</tr>"
            for row in self._rows()
        )
        caption = f"<caption {left}>{html.escape(_head(self._view))}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def bundle(self) -> dict[str, str]:
        """Both forms, by MIME type."""
        return {"text/plain": repr(self), "text/html": self.html}

    @property
    def _titles(self) -> list[str]:
        return ["job", *self._names, "state", *self._view.metrics, "took", "note"]

    def _rows(self) -> list[list[tuple[str, float | None]]]:
        """Each cell with its share of the largest amount of its column, where it is to be drawn."""
        largest = {
            name: max((abs(job.metrics.get(name) or 0.0) for job in self._view.jobs), default=0.0)
            for name in self._view.metrics
        }
        return [self._row(job, largest) for job in self._view.jobs]

    def _row(self, job: JobView, largest: dict[str, float]) -> list[tuple[str, float | None]]:
        took = "" if job.started_at is None else format_duration((job.finished_at or time.time()) - job.started_at)
        measured: list[tuple[str, float | None]] = []
        for name in self._view.metrics:
            number = job.metrics.get(name)
            text = "" if name not in job.metrics else "nan" if number is None else f"{number:.6g}"
            measured.append((text, abs(number) / largest[name] if number is not None and largest[name] else None))
        note = "" if job.state is JobState.SUCCEEDED else job.verdict or job.reason
        words = [job.name, *(f"{job.point.get(name)}" for name in self._names), job.state.value]
        behind = [took, clean_text(note, colours=False).replace("\n", " ")[:100]]
        return [
            *((clean_text(word, colours=False), None) for word in words),
            *measured,
            *((one, None) for one in behind),
        ]


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    shape = f"display: inline-block; height: .6em; margin-right: .4em; width: {share * _BAR_EM:.2f}em"
    return f'<span style="background: currentColor; opacity: .45; {shape}" aria-hidden="true"></span>'


def _head(view: SweepView) -> str:
    counts = ", ".join(f"{count} {state.value}" for state, count in view.counts.items())
    at_once = "" if view.final else f" · {view.at_once} at once"
    return f"{view.name} · sweep of {len(view.jobs)} · {counts}{at_once}"


def _came(view: JobView, name: str) -> bool:
    return name in view.outputs and bool(view.outputs[name].codec)


def outputs_of(view: SweepView) -> Sequence[str]:
    """The names that came back from some point."""
    return list(dict.fromkeys(name for job in view.jobs for name in job.outputs if _came(job, name)))


class Sweeps:
    """The sweeps of a person on the platform.

    Args:
        service: where they run.
    """

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    def submit(self, asked: SweepRequest, blobs: Mapping[str, bytes]) -> Sweep:
        """Send one.

        Raises:
            InvalidInput: it is none, or is to run in this session, where nothing would count how many run at once.
        """
        asked.check()
        if asked.request.target == "here":
            raise InvalidInput("A sweep runs on the platform, not in this session.", hint="Leave --to here out.")
        return Sweep(self._service, self._service.submit_sweep(asked, blobs))

    def unchanged(self, asked: SweepRequest) -> Sweep | None:
        """The latest sweep of this name, if it is the same and goes on or has succeeded."""
        try:
            view = self._service.sweep(asked.request.name)
        except NotFound:
            return None
        good = not view.final or set(view.counts) == {JobState.SUCCEEDED}
        return Sweep(self._service, view) if good and view.digest == asked.digest else None

    def refuse(self, reference: str) -> None:
        """Raise `NotFound` with the way out, where what was taken for a job is a sweep."""
        try:
            view = self._service.sweep(reference)
        except (NotFound, Unavailable):
            return
        raise NotFound(
            f"{view.name} is a sweep of {len(view.jobs)} jobs.",
            hint=f"%offload table {view.name} shows it; its jobs are {view.jobs[0].name} to {view.jobs[-1].name}.",
        )

    def find(self, reference: str) -> Sweep:
        """A sweep by identifier, or the latest of a name.

        Raises:
            NotFound: there is none.
        """
        return Sweep(self._service, self._service.sweep(reference))
