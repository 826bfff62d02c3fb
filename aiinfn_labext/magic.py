"""`%%offload` and `%offload`: parse, call, print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import AiinfnError, Unavailable
from aiinfn_labext.cells import notebook_of, with_cells
from aiinfn_labext.functions import Context, context_of
from aiinfn_labext.job import Job, JobFailed
from aiinfn_labext.jobs import Offload
from aiinfn_labext.modules import with_modules
from aiinfn_labext.parsing import CellOptions, LineCommand, parse_cell, parse_line
from aiinfn_labext.profiles import load
from aiinfn_labext.scripts import notebook_request, script_request
from aiinfn_labext.shown import JobTable, clean_bundle, clean_text, job_line
from aiinfn_labext.travel import Luggage, names_of, pack, warnings

#: Of verbs whose name is taken.
_ACTIONS = {"run": "_script"}


@magics_class
class OffloadMagics(Magics):
    """The two magics, over the Python API."""

    def __init__(self, shell: InteractiveShell, offload: Offload) -> None:
        super().__init__(shell)
        self._shell = shell  # `self.shell` may be None for type checkers
        self._offload = offload

    @line_cell_magic
    def offload(self, line: str, cell: str | None = None) -> None:
        """Run this cell elsewhere, or look after the jobs that do.

        %%offload [NAME] [--to auto|here|local|SITE] [--gpu SPEC] [--cpu N] [--mem 512Mi] [--time 5m]
                  [--in a,b] [--out c,d] [--image REF] [--on-evict resume|restart|stop] [--with TAG,TAG]
                  [--profile NAME] [--drift warn|refuse|install] [--token] [--wait] [--plan] [--again] [-o job]
        %offload                         my jobs
        %offload log NAME [-f]           its output
        %offload get NAME                bind what --out names here
        %offload cancel|why NAME         end it; why it waits, or ended as it did
        %offload retry NAME [--mem 24Gi] the same again, with other amounts
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
                getattr(self, _ACTIONS.get(command.verb, f"_{command.verb}"))(command)
            else:
                self._run(parse_cell(line, load), cell)

    def _run(self, options: CellOptions, cell: str) -> None:
        if options.tags:
            cell = with_cells(notebook_of(os.environ), options.tags, cell)
        names, space = names_of(cell), self._shell.user_ns
        context = context_of(names.needed(space) - set(options.inputs) - {"get_ipython"}, space)
        luggage = pack(options.inputs, space, context.values)
        for sentence in warnings(names, options.inputs, options.outputs, space):
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
        status = _Status(self._shell, job, "unchanged: --again runs it anew" if known else " · ".join(notes))
        if not options.wait:
            return
        with _detaching(job):
            error = self._watch(job, status)
            job.check(error)
            if options.outputs:
                self._bind(job)

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

    def _watch(self, job: Job, status: _Status) -> dict[str, Any]:
        """Show frames as they come; the last error frame, which is shown as the error of the cell."""
        error: dict[str, Any] = {}
        for frame in job.follow():
            if frame.get("output_type") == "error":
                error = frame
            else:
                self._show(frame)
            if frame.get("output_type") == "clear_output":
                status.show()
            status.update()
        status.update()
        return error

    def _show(self, frame: dict[str, Any]) -> None:
        kind = frame.get("output_type")
        if kind == "stream":
            stream = sys.stderr if frame.get("name") == "stderr" else sys.stdout
            stream.write(clean_text(frame.get("text", ""), colours=True))
            stream.flush()
        elif kind in ("display_data", "execute_result", "update_display_data"):
            known = frame.get("transient") or {}
            change = {"transient": known, "update": kind == "update_display_data"} if known else {}
            self._shell.display_pub.publish(clean_bundle(frame.get("data")), **change)
        elif kind == "clear_output":
            self._shell.display_pub.clear_output(wait=bool(frame.get("wait")))  # type: ignore[no-untyped-call]  # of IPython
        elif kind == "error":
            lines = frame.get("traceback")
            text = "\n".join(map(str, lines if isinstance(lines, list) else []))
            sys.stderr.write(clean_text(text, colours=True) + "\n")

    def _bind(self, job: Job) -> None:
        values, missing = job.values(), job.missing
        self._shell.user_ns.update(values)
        if values:
            print(f"Bound here: {', '.join(values)}.")  # noqa: T201
        for name, reason in missing.items():
            print(f"Not bound: {name}: {clean_text(reason, colours=False)}.", file=sys.stderr)  # noqa: T201
        if not missing and job.view.verdict:
            print(clean_text(job.view.verdict, colours=False), file=sys.stderr)  # noqa: T201
        if not values and not missing:
            print(f"{job.name} gave nothing back.")  # noqa: T201

    def _list(self, _command: LineCommand) -> None:
        note = ""
        try:
            views = [job.view for job in self._offload.jobs()]
        except Unavailable as error:
            views, note = self._offload.here.jobs(), f"Only those that ran here: {error}"
        self._shell.display_pub.publish(JobTable(views, note).bundle())

    def _log(self, command: LineCommand) -> None:
        job = self._offload.job(command.reference)
        with _detaching(job):
            for frame in job.follow() if command.follow else job.frames():
                self._show(frame)

    def _get(self, command: LineCommand) -> None:
        job = self._offload.job(command.reference)
        if not job.view.final:
            print(f"{job!r}: nothing to get yet.")  # noqa: T201
            return
        self._bind(job)

    def _cancel(self, command: LineCommand) -> None:
        print(job_line(self._offload.job(command.reference).end()))  # noqa: T201

    def _why(self, command: LineCommand) -> None:
        why = self._offload.job(command.reference).why()
        lines = [f"{why.state.value}: {why.sentence}", why.next_step, *(f"  {item}" for item in why.evidence)]
        print(clean_text("\n".join(line for line in lines if line), colours=False))  # noqa: T201

    def _retry(self, command: LineCommand) -> None:
        print(job_line(self._offload.job(command.reference).again(command.change).view))  # noqa: T201

    def _extend(self, command: LineCommand) -> None:
        view = self._offload.job(command.reference).extend(*command.arguments)
        print(f"{view.name} has {format_duration(view.resources.time_s)} in all.")  # noqa: T201

    def _evict(self, command: LineCommand) -> None:
        view = self._offload.job(command.reference).evict()
        print(f"{view.name} loses its place for a moment: %offload log {view.name} -f shows how it goes on.")  # noqa: T201

    def _profiles(self, _command: LineCommand) -> None:
        profiles = load()
        for name in profiles.known:
            print(f"{name}: {' '.join(f'{option} {value}' for option, value in profiles.options(name).items())}")  # noqa: T201
        if not profiles.known:
            print(f"You have no profiles: they are written into {profiles.file}.")  # noqa: T201

    def _targets(self, _command: LineCommand) -> None:
        for target in self._offload.targets():
            flavours = f" ({', '.join(target.flavours)})" if target.flavours else ""
            print(clean_text(f"{target.name}: {target.description}{flavours}", colours=False))  # noqa: T201


class _Status:
    """One line about a job, renewed in place where the frontend can."""

    def __init__(self, shell: InteractiveShell, job: Job, note: str) -> None:
        self._publish = shell.display_pub.publish
        self._transient = {"display_id": f"aiinfn-{job.id}"}
        self._job = job
        self._line = job_line(job.view)
        first = f"{self._line} · {note}" if note else self._line
        self._publish({"text/plain": first}, transient=self._transient)

    def show(self) -> None:
        """Show the line anew: the output of the job has cleared that of the cell."""
        self._publish({"text/plain": self._line}, transient=self._transient)

    def update(self) -> None:
        """Show the line again if it has changed."""
        line = job_line(self._job.view)
        if line != self._line:
            self._line = line
            self._publish({"text/plain": line}, transient=self._transient, update=True)


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


@contextlib.contextmanager
def _detaching(job: Job) -> Iterator[None]:
    """An interrupt ends the waiting, not the job."""
    try:
        yield
    except KeyboardInterrupt:
        name = job.name
        print(  # noqa: T201
            f"Detached: {name} goes on without this cell. %offload log {name} -f, get {name}, cancel {name}."
        )


def _cell_number(shell: InteractiveShell) -> int:
    """The number that the person sees; `execution_count` is one ahead of it in some versions of IPython."""
    history = shell.history_manager
    return len(history.input_hist_parsed) - 1 if history is not None else shell.execution_count


def _origin(shell: InteractiveShell) -> dict[str, str]:
    """The cell in its notebook, where the frontend says which it is."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = (parent or {}).get("metadata", {}).get("cellId")
    return {"cell_id": str(cell)} if cell else {}
