"""What would happen to a job: place, flavour, queue, cost, and why it could not be. Pure; nothing is submitted."""

from __future__ import annotations

from difflib import get_close_matches

from aiinfn_hub.catalogue import Activity, Flavour, Platform, Site
from aiinfn_hub.contract.jobs import JobRequest, Resources
from aiinfn_hub.contract.plans import Plan, Target
from aiinfn_hub.contract.quantities import format_bytes, format_cpu, format_duration
from aiinfn_hub.errors import Forbidden, InvalidInput
from aiinfn_hub.identity.person import Person
from aiinfn_hub.offload.gpu import allowed, choose_flavour
from aiinfn_hub.offload.session import Heritage, environment
from aiinfn_hub.pods.names import batch_queue

#: `--to` words that are no site.
AUTO, LOCAL = "auto", "local"


def make_plan(platform: Platform, person: Person, request: JobRequest, heritage: Heritage) -> Plan:
    """The plan of a request.

    Raises:
        InvalidInput: what was asked for does not exist; the hint has the nearest valid choice.
        Forbidden: it exists, and is not for this person or activity; the hint says whom to ask.
    """
    request.check()
    if heritage.activity not in person.activities:
        raise Forbidden(
            f"You are not in the activity {heritage.activity}.",
            hint=f"Yours: {', '.join(person.activities) or 'none'}.",
        )
    activity = platform.activity(heritage.activity)
    wanted = request.resources
    own, spoken_for = _own(platform, activity, request, heritage)
    flavour, units = choose_flavour(platform, activity, wanted.gpu, own)
    site = choose_site(platform, request.target, flavour)
    image, apptainer = environment(platform, heritage, request.image, flavour)
    return Plan(
        target=request.target,
        site=site.name,
        activity=activity.name,
        flavour=flavour.name,
        units=units,
        queue=batch_queue(activity.name),
        image=image,
        apptainer=apptainer,
        cpu_millis=wanted.cpu_millis,
        memory_bytes=wanted.memory_bytes,
        time_s=wanted.time_s,
        gpu_hours=round(flavour.weight * units * wanted.time_s / 3600, 3),
        warnings=[*spoken_for, *_warnings(platform, site, request)],
        refusals=[*_refusals(flavour, units, wanted, site, apptainer), *_token_refusals(platform, site, request)],
    )


def _own(
    platform: Platform, activity: Activity, request: JobRequest, heritage: Heritage
) -> tuple[Flavour | None, list[str]]:
    """The accelerator of the session, for a job that names none; or why it gets none, where that is to be said."""
    own = platform.known_flavour(heritage.flavour)
    if request.resources.gpu.strip() or own is None or not own.accelerator or not allowed(own, activity):
        return None, []
    if 1 in (own.max_per_user, own.units):
        # Its session holds it: the job would wait for its own session to end.
        return None, [f"No accelerator: the session has the only {own.title} that you may have. --gpu says which."]
    if request.target != AUTO and not carries(site_named(platform, request.target), own):
        return None, [f"No accelerator: {request.target} has no {own.title}. --gpu says which."]
    return own, []


def sites(platform: Platform) -> tuple[Site, ...]:
    """The places of the platform; one without any is itself a place."""
    if any(site.kind == "local" for site in platform.sites):
        return platform.sites
    return (Site(name=LOCAL, title=platform.name), *platform.sites)


def site_named(platform: Platform, name: str) -> Site:
    """The place of that name; `local` is the cluster itself, whatever it is called.

    Raises:
        InvalidInput: there is none; the hint has the nearest name.
    """
    places = sites(platform)
    found = next((site for site in places if site.name == name), None)
    if found is None and name == LOCAL:
        found = next(site for site in places if site.kind == "local")
    if found is None:
        names = [AUTO, LOCAL, *(site.name for site in places if site.name != LOCAL)]
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."
        raise InvalidInput(f"There is no place {name[:40]!r} to run on.", hint=hint)
    return found


def choose_site(platform: Platform, target: str, flavour: Flavour) -> Site:
    """Where a job of the flavour goes. `auto` prefers the cluster itself, and never a place that needs consent.

    Naming a place is the consent.

    Raises:
        InvalidInput: no such place, or none that `auto` may take.
    """
    if target != AUTO:
        return site_named(platform, target)
    able = [site for site in sites(platform) if carries(site, flavour)]
    free = sorted((site for site in able if not site.consent), key=lambda site: site.kind != "local")
    if not free:
        asking = ", ".join(site.name for site in able)
        hint = f"With your consent it can leave for: {asking} (--to NAME)." if asking else "Choose another flavour."
        raise InvalidInput(f"No place takes {flavour.name} by itself.", hint=hint)
    return free[0]


def carries(site: Site, flavour: Flavour) -> bool:
    """Whether a place has the flavour; a local one has all that it does not rule out."""
    return flavour.name in site.flavours or (site.kind == "local" and not site.flavours)


def targets(platform: Platform, person: Person) -> list[Target]:
    """Where this person can send jobs, with the flavours that one of the own activities may use there."""
    mine = [platform.activity(name) for name in person.activities]
    return [
        Target(
            name=site.name,
            kind=site.kind if site.kind == "local" else site.backend or site.kind,
            description=site.title + (" (asks for your consent: name it)" if site.consent else ""),
            flavours=[f.name for f in platform.flavours if carries(site, f) and _any_allowed(f, mine)],
        )
        for site in sites(platform)
    ]


def _any_allowed(flavour: Flavour, activities: list[Activity]) -> bool:
    return any(allowed(flavour, activity) for activity in activities)


def _warnings(platform: Platform, site: Site, request: JobRequest) -> list[str]:
    if site.kind == "local":
        return []
    found = []
    if platform.volumes and not site.carries_volumes:
        found.append(f"Your home and the shares are not on {site.name}: only --in and --out travel.")
    if not site.carries_logs:
        found.append(f"The log of {site.name} cannot be read; the output of the cell comes back all the same.")
    travelling = sum(value.size for value in request.sent.values())
    if travelling:
        found.append(f"{format_bytes(travelling)} will be sent to {site.name}.")
    return found


def _refusals(flavour: Flavour, units: int, wanted: Resources, site: Site, apptainer: str) -> list[str]:
    found = []
    most_cpu, most_memory = max(flavour.cpu.choices), max(flavour.memory.choices)
    if not 1 <= wanted.cpu_millis <= most_cpu:
        found.append(f"{format_cpu(wanted.cpu_millis)} CPU: {flavour.name} has at most {format_cpu(most_cpu)}.")
    if not 1 <= wanted.memory_bytes <= most_memory:
        found.append(
            f"{format_bytes(wanted.memory_bytes)} of memory: {flavour.name} has at most {format_bytes(most_memory)}."
        )
    if not 1 <= wanted.time_s <= flavour.max_lifetime_s:
        found.append(
            f"{wanted.time_s} s: a job on {flavour.name} runs for 1 s to {format_duration(flavour.max_lifetime_s)}."
        )
    if flavour.max_per_user is not None and units > flavour.max_per_user:
        found.append(f"{units} units: one person may have {flavour.max_per_user} of {flavour.name}.")
    if not carries(site, flavour):
        found.append(f"{site.name} has no {flavour.name}; it has: {', '.join(site.flavours) or 'nothing'}.")
    if apptainer and site.kind != "local":
        found.append(f"The Apptainer image {apptainer} is not on {site.name}; use an image of a registry there.")
    return found


def _token_refusals(platform: Platform, site: Site, request: JobRequest) -> list[str]:
    if request.token and platform.tokens is None:
        return ["This platform gives no tokens of the IAM: leave --token out."]
    if request.token and site.kind != "local":
        # A virtual kubelet copies a Secret once, to machines that are not ours, and never renews it.
        return [f"A token of the IAM does not leave for {site.name}: use --to local, or leave --token out."]
    return []
