"""The verbs of `%offload`: what is said about jobs and sweeps, and what is bound of them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from IPython.core.interactiveshell import InteractiveShell

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import Unavailable
from aiinfn_labext.job import Job
from aiinfn_labext.jobs import Offload
from aiinfn_labext.live import show_frame
from aiinfn_labext.parsing import LineCommand
from aiinfn_labext.profiles import load
from aiinfn_labext.shown import JobTable, clean_text, job_line
from aiinfn_labext.sweeps import Sweep, SweepTable, outputs_of


class Verbs:
    """Each verb that is about what was sent before; `%offload` alone is `listed`."""

    def __init__(self, shell: InteractiveShell, offload: Offload) -> None:
        self._shell = shell
        self._offload = offload

    def bind(self, job: Job) -> None:
        """Bind the values of a job here, and say which."""
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

    def listed(self, _command: LineCommand) -> None:
        """My jobs."""
        note = ""
        try:
            views = [job.view for job in self._offload.jobs()]
        except Unavailable as error:
            views, note = self._offload.here.jobs(), f"Only those that ran here: {error}"
        self._shell.display_pub.publish(JobTable(views, note).bundle())

    def log(self, command: LineCommand) -> None:
        """Its output; with -f, as it comes."""
        job = self._offload.job(command.reference)
        with detaching(job.name):
            for frame in job.follow() if command.follow else job.frames():
                show_frame(self._shell, frame)

    def get(self, command: LineCommand) -> None:
        """Bind what it gave back."""
        if (sweep := self._offload.sweep_named(command.reference)) is not None:
            self.bind_all(sweep)
            return
        job = self._offload.job(command.reference)
        if not job.view.final:
            print(f"{job!r}: nothing to get yet.")  # noqa: T201
            return
        self.bind(job)

    def table(self, command: LineCommand) -> None:
        """What the points of a sweep have measured."""
        sweep = self._offload.sweeps.find(command.reference)
        self._shell.display_pub.publish(SweepTable(sweep.view).bundle())

    def cancel(self, command: LineCommand) -> None:
        """End it."""
        if (sweep := self._offload.sweep_named(command.reference)) is not None:
            sweep.cancel()
            print(sweep.head)  # noqa: T201
            return
        print(job_line(self._offload.job(command.reference).end()))  # noqa: T201

    def why(self, command: LineCommand) -> None:
        """Why it is as it is."""
        why = self._offload.job(command.reference).why()
        lines = [f"{why.state.value}: {why.sentence}", why.next_step, *(f"  {item}" for item in why.evidence)]
        print(clean_text("\n".join(line for line in lines if line), colours=False))  # noqa: T201

    def retry(self, command: LineCommand) -> None:
        """The same again."""
        if command.failed:
            sweep = self._offload.sweeps.find(command.reference)
            sweep.again(command.change)
            print(sweep.head)  # noqa: T201
            return
        print(job_line(self._offload.job(command.reference).again(command.change).view))  # noqa: T201

    def extend(self, command: LineCommand) -> None:
        """More time."""
        view = self._offload.job(command.reference).extend(*command.arguments)
        print(f"{view.name} has {format_duration(view.resources.time_s)} in all.")  # noqa: T201

    def evict(self, command: LineCommand) -> None:
        """Rehearse an eviction."""
        view = self._offload.job(command.reference).evict()
        print(f"{view.name} loses its place for a moment: %offload log {view.name} -f shows how it goes on.")  # noqa: T201

    def profiles(self, _command: LineCommand) -> None:
        """What --profile may name."""
        profiles = load()
        for name in profiles.known:
            print(f"{name}: {' '.join(f'{option} {value}' for option, value in profiles.options(name).items())}")  # noqa: T201
        if not profiles.known:
            print(f"You have no profiles: they are written into {profiles.file}.")  # noqa: T201

    def targets(self, _command: LineCommand) -> None:
        """Where jobs can run."""
        for target in self._offload.targets():
            flavours = f" ({', '.join(target.flavours)})" if target.flavours else ""
            print(clean_text(f"{target.name}: {target.description}{flavours}", colours=False))  # noqa: T201

    def bind_all(self, sweep: Sweep) -> None:
        """Bind a list for each name that came back from some point."""
        names = outputs_of(sweep.view)
        self._shell.user_ns.update({name: sweep.values(name) for name in names})
        of = f"with a value for each of the {len(sweep.view.jobs)} points"
        print(f"Bound here, {of}: {', '.join(names)}." if names else f"{sweep.name} gave nothing back.")  # noqa: T201
        if sweep.view.final and set(sweep.view.counts) != {JobState.SUCCEEDED}:
            again = f"%offload retry {sweep.name} --failed runs again what did not succeed"
            print(f"{sweep.head}: {again}.", file=sys.stderr)  # noqa: T201


@contextlib.contextmanager
def detaching(name: str) -> Iterator[None]:
    """An interrupt ends the waiting, not the job."""
    try:
        yield
    except KeyboardInterrupt:
        print(  # noqa: T201
            f"Detached: {name} goes on without this cell. %offload log {name} -f, get {name}, cancel {name}."
        )
