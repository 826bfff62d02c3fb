"""How a function of a notebook is sent: its options, and the request that a call becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.amounts import resources
from aiinfn_labext.functions import Context
from aiinfn_labext.modules import with_modules
from aiinfn_labext.profiles import load
from aiinfn_labext.travel import Luggage


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a function is sent, as behind `%%offload`."""

    name: str = ""
    cpu: float | str | None = None
    mem: float | str | None = None
    gpu: str | int = ""
    time: float | str | None = None
    to: str = "auto"
    image: str = ""
    token: bool = False
    on_evict: str = "resume"
    drift: str = "warn"
    profile: str = ""


def options_of(options: Mapping[str, Any]) -> Options:
    """The options of a call, over those of its profile; `InvalidInput` for one that there is not, with the nearest."""
    known = [one.name for one in fields(Options)]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise InvalidInput(f"There is no option {name!r}.", hint=hint)
    named = load().options(str(options.get("profile", "")))
    return Options(**{**{name.lstrip("-").replace("-", "_"): value for name, value in named.items()}, **options})


def request_of(
    source: str, luggage: Luggage, context: Context, options: Mapping[str, Any]
) -> tuple[JobRequest, Mapping[str, bytes]]:
    """What a call becomes, with the values and the modules that travel with it."""
    wanted = options_of(options)
    request = JobRequest(
        name=wanted.name,
        source=source,
        context=context.source,
        inputs=luggage.inputs,
        outputs=["result"],
        resources=resources(cpu=wanted.cpu, mem=wanted.mem, gpu=wanted.gpu, time=wanted.time),
        target=wanted.to,
        image=wanted.image,
        token=wanted.token,
        on_evict=wanted.on_evict,
        drift=wanted.drift,
    )
    request, blobs, _ = with_modules(request, luggage.blobs)
    return request, blobs
