"""A plan as somebody reads it: where a cell would run, what that costs, what travels, and why it could not."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Sequence

import msgspec

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.offer import ActivityOffer, FlavourOffer, Offer
from aiinfn_hub.contract.plans import Plan
from aiinfn_hub.contract.quantities import format_bytes, format_cpu, format_duration
from aiinfn_labext.shown import clean_text
from aiinfn_labext.travel import size


def plan_here(request: JobRequest) -> Plan:
    """A process beside this one: it takes what it takes, and costs nothing."""
    return Plan(
        target=request.target,
        site="here",
        activity="nobody",
        flavour="this session's own",
        units=1,
        queue="",
        image="that of this session",
        cpu_millis=request.resources.cpu_millis,
        memory_bytes=request.resources.memory_bytes,
        time_s=request.resources.time_s,
        gpu_hours=0.0,
        warnings=["CPU and memory are not limited here."],
    )


class PlanTable:
    """Rows of a name and a text, on a terminal and in a notebook, with the manifest behind them.

    Args:
        plan: what the service said.
        offer: what is free and left; None where nobody said.
        taken: definitions and values that travel with it, in words.
        points: those of a sweep, each of which is such a job.
    """

    def __init__(
        self,
        plan: Plan,
        request: JobRequest,
        offer: Offer | None = None,
        taken: Sequence[str] = (),
        points: int = 1,
    ) -> None:
        self.plan = plan
        rows = [*_swept(plan, points), *_rows(plan, request, offer, taken)]
        self._rows = [(name, clean_text(text, colours=False)) for name, text in rows]

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self._rows)
        return "\n".join(f"{name.ljust(width)}  {text}" for name, text in self._rows)

    def _repr_html_(self) -> str:
        # Jupyter's own style has numbers in mind, and sets them to the right.
        cell = '<td style="text-align: left">'
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th>{cell}{html.escape(text)}</td></tr>" for name, text in self._rows
        )
        manifest = msgspec.json.format(msgspec.json.encode(self.plan.manifest)).decode() if self.plan.manifest else ""
        behind = f"<details><summary>The Job</summary><pre>{html.escape(manifest)}</pre></details>" if manifest else ""
        return f"<table>{rows}</table>{behind}"

    def bundle(self) -> dict[str, str]:
        """Both forms, by MIME type."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _swept(plan: Plan, points: int) -> Iterator[tuple[str, str]]:
    if points > 1:
        yield "sweep", f"{points} points, each a job as below: {points * plan.gpu_hours:g} GPU-h at most in all"


def _rows(plan: Plan, request: JobRequest, offer: Offer | None, taken: Sequence[str]) -> Iterator[tuple[str, str]]:
    units = f"{plan.units} x {plan.flavour}" if plan.units > 1 else plan.flavour
    yield "runs on", f"{plan.site}, {units}" + (f" ({place})" if (place := _place(plan, offer)) else "")
    amounts = f"{format_cpu(plan.cpu_millis)} CPU, {format_bytes(plan.memory_bytes)}"
    yield "with", f"{amounts}, for {format_duration(plan.time_s)} at most"
    yield "costs", f"{plan.gpu_hours:g} GPU-h at most, charged to {plan.activity}{_left(plan, offer)}"
    yield "image", f"{plan.apptainer} in {plan.image}" if plan.apptainer else plan.image
    total = sum(value.size for value in request.sent.values()) + len(request.context.encode())
    yield "travels", f"{', '.join(taken)}: {size(total)}" if taken else "nothing but the cell"
    yield "comes back", ", ".join(request.outputs) or "what it prints and shows"
    yield from (("note", warning) for warning in plan.warnings)
    yield from (("refused", refusal) for refusal in plan.refusals)


def _place(plan: Plan, offer: Offer | None) -> str:
    """What is free of the flavour now; of another site the platform does not know it."""
    flavours: list[FlavourOffer] = offer.flavours if offer and plan.site == "local" else []
    found = next((one for one in flavours if one.flavour == plan.flavour), None)
    if found is None or found.unknown_since is not None:
        return ""
    free = f"{found.free} of {found.total} {'cores' if found.unit == 'core' else 'units'} free now"
    expected = found.expected
    if found.free >= plan.units or expected is None or expected.early is None or expected.late is None:
        return free
    early, late = (time.strftime("%H:%M", time.localtime(moment)) for moment in (expected.early, expected.late))
    return f"{free}, about {early} to {late}"


def _left(plan: Plan, offer: Offer | None) -> str:
    budgets: list[ActivityOffer] = offer.activities if offer else []
    found = next((one for one in budgets if one.activity == plan.activity), None)
    if found is None or found.gpu_hours_quota is None:
        return ""
    left = max(0.0, found.gpu_hours_quota - found.gpu_hours_used)
    return f", which has {left:.1f} of {found.gpu_hours_quota:g} left"
