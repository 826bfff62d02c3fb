"""`%%offload` and `%offload`: parse, call, print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.contract.sweeps import SweepRequest
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_labext.cells import notebook_of, with_cells
from aiinfn_labext.functions import Context, context_of
from aiinfn_labext.job import Job, JobFailed
from aiinfn_labext.jobs import Offload
from aiinfn_labext.live import Status, show_frame
from aiinfn_labext.modules import with_modules
from aiinfn_labext.parsing import CellOptions, LineCommand, parse_cell, parse_line
from aiinfn_labext.points import points_of
from aiinfn_labext.profiles import load
from aiinfn_labext.scripts import notebook_request, script_request
from aiinfn_labext.shown import clean_text, job_line
from aiinfn_labext.sweeps import SweepTable
from aiinfn_labext.travel import Luggage, names_of, pack, warnings
from aiinfn_labext.verbs import Verbs, detaching

#: Of verbs whose name is taken.
_METHODS = {"list": "listed"}


@magics_class
class OffloadMagics(Magics):
    """The two magics, over the Python API."""

    def __init__(self, shell: InteractiveShell, offload: Offload) -> None:
        super().__init__(shell)
        self._shell = shell  # `self.shell` may be None for type checkers
        self._offload = offload
        self._verbs = Verbs(shell, offload)
        self._files = {"run": self._script, "nb": self._nb}

    @line_cell_magic
    def offload(self, line: str, cell: str | None = None) -> None:
        """Run this cell elsewhere, or look after the jobs that do.

        %%offload [NAME] [--to auto|here|local|SITE] [--gpu SPEC] [--cpu N] [--mem 512Mi] [--time 5m]
                  [--in a,b] [--out c,d] [--image REF] [--on-evict resume|restart|stop] [--with TAG,TAG]
                  [--sweep lr=0.1,0.01 seed=0:10 | --sweep-from LIST] [--at-once 8]
                  [--profile NAME] [--drift warn|refuse|install] [--token] [--wait] [--plan] [--again] [-o job]
        %offload                         my jobs
        %offload log NAME [-f]           its output
        %offload get NAME                bind what --out names here
        %offload cancel|why NAME         end it; why it waits, or ended as it did
        %offload retry NAME [--mem 24Gi] the same again, with other amounts; --failed for those of a sweep
        %offload table NAME              what the points of a sweep have measured
        %offload extend NAME 1h          more time for it
        %offload evict NAME --test       take its place away for a moment, to see how it goes on
        %offload run [--gpu SPEC ...] script.py ARGUMENTS
        %offload nb [--gpu SPEC ...] file.ipynb -p NAME=VALUE
        %offload targets                 where jobs can run
        %offload profiles                what --profile may name
        """
        with _usage_errors():
            if cell is None:
                command = parse_line(line, load)
                act = self._files.get(command.verb) or getattr(self._verbs, _METHODS.get(command.verb, command.verb))
                act(command)
            else:
                self._run(parse_cell(line, load), cell)

    def _run(self, options: CellOptions, cell: str) -> None:
        if options.tags:
            cell = with_cells(notebook_of(os.environ), options.tags, cell)
        names, space = names_of(cell), self._shell.user_ns
        options = self._with_points(options)
        given = {*options.inputs, *(options.points[0] if options.points else ()), "get_ipython"}
        context = context_of(names.needed(space) - given, space)
        for name in given & context.values.keys():  # a function of the notebook reads it too
            del context.values[name]
        luggage = pack(options.inputs, space, context.values)
        for sentence in warnings(names, given, options.outputs, space):
            print(f"Note: {sentence}.", file=sys.stderr)  # noqa: T201  a magic prints
        request = self._request(options, cell, luggage, context)
        taken = [*context.defined, *([luggage.summary] if luggage.inputs else [])]
        self._send(options, request, luggage.blobs, taken)

    def _script(self, command: LineCommand) -> None:
        file = Path(command.reference).expanduser()
        request = script_request(file, command.arguments, command.options)
        self._send(command.options, request, {}, [], [file.parent])

    def _nb(self, command: LineCommand) -> None:
        file = Path(command.reference).expanduser()
        request = notebook_request(file, command.arguments, command.options)
        self._send(command.options, request, {}, [], [file.parent])

    def _send(
        self,
        options: CellOptions,
        request: JobRequest,
        blobs: Mapping[str, bytes],
        taken: Sequence[str],
        beside: Sequence[Path] = (),
    ) -> None:
        request, blobs, words = with_modules(request, blobs, beside)
        taken = [*taken, *words]
        if options.points:
            self._sweep(SweepRequest(request, [*options.points], options.at_once), options, blobs, taken)
            return
        if options.plan:
            self._shell.display_pub.publish(self._offload.plan(request, taken).bundle())
            return
        known = None if options.again else self._offload.unchanged(request)
        job = known or self._offload.submit(request, blobs)
        if options.variable:
            self._shell.user_ns[options.variable] = job
        notes = [f"with {', '.join(taken)}"] if taken else []
        if not options.timed:
            notes.append(f"for {format_duration(request.resources.time_s)} at most (--time)")
        note = "unchanged: --again runs it anew" if known else " · ".join(notes)
        status = Status(self._shell, job.id, lambda: {"text/plain": job_line(job.view)}, note)
        if not options.wait:
            return
        with detaching(job.name):
            error = self._watch(job, status)
            job.check(error)
            if options.outputs:
                self._verbs.bind(job)

    def _with_points(self, options: CellOptions) -> CellOptions:
        name = options.points_from
        if not name:
            return options
        if name not in self._shell.user_ns:
            raise InvalidInput(f"{name} is not defined here.", hint="--sweep-from takes a list of dictionaries.")
        return replace(options, points=tuple(points_of(name, self._shell.user_ns[name])))

    def _sweep(
        self, asked: SweepRequest, options: CellOptions, blobs: Mapping[str, bytes], taken: Sequence[str]
    ) -> None:
        asked.check()
        if options.plan:
            self._shell.display_pub.publish(self._offload.plan(asked.of(0), taken, len(asked.points)).bundle())
            return
        known = None if options.again else self._offload.sweeps.unchanged(asked)
        sweep = known or self._offload.sweeps.submit(asked, blobs)
        if options.variable:
            self._shell.user_ns[options.variable] = sweep
        status = Status(self._shell, sweep.id, lambda: SweepTable(sweep.view).bundle())
        if known:
            print("Unchanged: --again runs it anew.")  # noqa: T201
        if not options.wait:
            return
        with detaching(sweep.name):
            sweep.wait(told=status.update)
            self._verbs.bind_all(sweep)

    def _request(self, options: CellOptions, cell: str, luggage: Luggage, context: Context) -> JobRequest:
        return JobRequest(
            name=options.name or f"cell-{_cell_number(self._shell)}",
            source=cell,
            context=context.source,
            inputs=luggage.inputs,
            outputs=list(options.outputs),
            resources=options.resources,
            target=options.target,
            image=options.image,
            token=options.token,
            on_evict=options.on_evict,
            drift=options.drift,
            origin=_origin(self._shell),
        )

    def _watch(self, job: Job, status: Status) -> dict[str, Any]:
        """Show frames as they come; the last error frame, which is shown as the error of the cell."""
        error: dict[str, Any] = {}
        for frame in job.follow():
            if frame.get("output_type") == "error":
                error = frame
            else:
                show_frame(self._shell, frame)
            if frame.get("output_type") == "clear_output":
                status.show()
            status.update()
        status.update()
        return error


def register(shell: InteractiveShell, offload: Offload) -> None:
    """Add the magics to a shell; again is harmless."""
    shell.register_magics(OffloadMagics(shell, offload))


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Our errors as one sentence and a hint, without the frames of this extension."""
    try:
        yield
    except JobFailed:
        raise
    except AiinfnError as error:
        raise UsageError(clean_text(f"{error.message} {error.hint}".strip(), colours=False)) from error


def _cell_number(shell: InteractiveShell) -> int:
    """The number that the person sees; `execution_count` is one ahead of it in some versions of IPython."""
    history = shell.history_manager
    return len(history.input_hist_parsed) - 1 if history is not None else shell.execution_count


def _origin(shell: InteractiveShell) -> dict[str, str]:
    """The cell in its notebook, where the frontend says which it is."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = (parent or {}).get("metadata", {}).get("cellId")
    return {"cell_id": str(cell)} if cell else {}
