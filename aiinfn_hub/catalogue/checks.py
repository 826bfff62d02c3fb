"""What must hold between the parts of a platform file; each rule speaks of whatever can be read, broken parts aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from aiinfn_hub.catalogue.calendar_checks import reservations
from aiinfn_hub.catalogue.document import Finding, Location
from aiinfn_hub.catalogue.models import LOCAL, Flavour, Image, Platform, Site, Steps, Toleration, Volume
from aiinfn_hub.catalogue.parts import items, names, parsed, repeats
from aiinfn_hub.catalogue.policy import ImagePolicy
from aiinfn_hub.catalogue.references import parse_reference

SECTIONS = ("flavours", "images", "volumes", "sites", "activities", "reservations", "presets")
#: What tells the folder of one from that of another, by kind of volume.
PLACEHOLDERS = {"home": "{person}", "activity": "{activity}"}
#: Section, key, and the section whose names the key's values are.
REFERENCES = (
    ("flavours", "activities", "activities"),
    ("sites", "flavours", "flavours"),
    ("images", "redirect", "images"),
    ("reservations", "activity", "activities"),
    ("reservations", "flavour", "flavours"),
    ("presets", "activity", "activities"),
    ("presets", "flavour", "flavours"),
    ("presets", "volumes", "volumes"),
)


def check(data: Any) -> Iterator[Finding]:
    """Every mistake between the parts of the data, and inside parts whose keys and values are right each by itself."""
    yield from _unique_names(data)
    yield from _former_names(data)
    yield from _known_references(data)
    yield from _quotas(data)
    yield from _redirects_end(data)
    yield from _images(data)
    yield from _one_of_a_kind(data)
    yield from _namespaces(data)
    yield from _site_units(data)
    yield from _made_folders(data)
    yield from reservations(data)
    for index, flavour in parsed(data, "flavours", Flavour):
        yield from _flavour(("flavours", index), flavour)
    for index, volume in parsed(data, "volumes", Volume):
        yield from _volume(("volumes", index), volume)
    for index, site in parsed(data, "sites", Site):
        yield from _site(("sites", index), site)


def _unique_names(data: Any) -> Iterator[Finding]:
    for section in SECTIONS:
        for index, name, _ in repeats(data, section, "name"):
            yield Finding((section, index, "name"), f"{name!r} is the name of another one of the {section}")
    for section, key in (("activities", "gid"), ("volumes", "mount")):
        for index, value, owner in repeats(data, section, key):
            yield Finding((section, index, key), f"{value} is taken by {owner!r}")


def _former_names(data: Any) -> Iterator[Finding]:
    """A name means one flavour, now and before."""
    taken = dict.fromkeys(names(data, "flavours"), "another flavour")
    for index, item in items(data, "flavours"):
        former = item.get("formerly")
        for position, name in enumerate(former if isinstance(former, list) else []):
            if isinstance(name, str) and name in taken:
                yield Finding(("flavours", index, "formerly", position), f"{name!r} is the name of {taken[name]}")
            elif isinstance(name, str):
                taken[name] = f"{item.get('name')!r} before"


def _known_references(data: Any) -> Iterator[Finding]:
    for section, key, target in REFERENCES:
        known = names(data, target)
        for index, item in items(data, section):
            yield from _unknown((section, index, key), item.get(key), known, target)


def _unknown(place: Location, value: Any, known: list[str], target: str) -> Iterator[Finding]:
    """The names of a value, one or a list of them, that are not among those of a section."""
    for position, name in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(name, str) and name and name not in known:
            near = get_close_matches(name, known, n=1)
            where = (*place, position) if isinstance(value, list) else place
            yield Finding(where, f"there is no {name!r} among the {target}", "".join(near))


def _quotas(data: Any) -> Iterator[Finding]:
    """A limit for something that does not exist would limit nothing, and nobody would know."""
    quotas = data.get("quotas") if isinstance(data, dict) else None
    for index, rule in items(quotas, "rules"):
        for key in ("activities", "flavours"):
            yield from _unknown(("quotas", "rules", index, key), rule.get(key), names(data, key), key)
    for index, name, _ in repeats(quotas, "rules", "name"):
        yield Finding(("quotas", "rules", index, "name"), f"{name!r} is the name of another one of the quotas")


def _redirects_end(data: Any) -> Iterator[Finding]:
    images = [(index, item.get("name"), item.get("redirect")) for index, item in items(data, "images")]
    redirects = {name: target for _, name, target in images if isinstance(name, str) and isinstance(target, str)}
    for index, start, _ in images:
        trail, name = [], start
        while isinstance(name, str) and name in redirects and name not in trail:
            trail.append(name)
            name = redirects[name]
        if trail and name == start:
            yield Finding(("images", index, "redirect"), f"redirects in a circle: {' -> '.join([*trail, trail[0]])}")


def _images(data: Any) -> Iterator[Finding]:
    images = dict(parsed(data, "images", Image))
    if images and len(images) == len(list(items(data, "images"))) and all(image.hidden for image in images.values()):
        yield Finding(("images",), "every image is hidden; nobody could choose one")
    try:
        policy = ImagePolicy.model_validate(data.get("image_policy", {}))
    except (ValidationError, AttributeError):
        return
    for index, image in images.items():
        if not parse_reference(image.ref).registry and not policy.docker_hub:
            message = "names no registry; write it out, or let image_policy.registries name docker.io"
            yield Finding(("images", index, "ref"), message, f"docker.io/{image.ref}")


def _one_of_a_kind(data: Any) -> Iterator[Finding]:
    for section, kind, message in (
        ("volumes", "home", "is another home; a person has one"),
        ("sites", "local", "is another local site; there is one cluster"),
    ):
        # Local is what a site is unless it says otherwise.
        default = "local" if section == "sites" else None
        found = [index for index, item in items(data, section) if item.get("kind", default) == kind]
        for index in found[1:]:
            yield Finding((section, index, "kind"), message)


def _namespaces(data: Any) -> Iterator[Finding]:
    """What runs in the one is closed by a policy that would keep out what runs in the other."""
    if not isinstance(data, dict):
        return
    defaults = {key: Platform.model_fields[key].default for key in ("namespace", "system_namespace")}
    own, system = (data.get(key, default) for key, default in defaults.items())
    if own == system:
        key = "system_namespace" if "system_namespace" in data else "namespace"
        nearest = f"{own}-system" if key == "system_namespace" else defaults[key]
        yield Finding((key,), f"{own!r} cannot be that of sessions and jobs and that of hub and service", nearest)


def _site_units(data: Any) -> Iterator[Finding]:
    """Units are counted of what the site can run, and of accelerators only."""
    flavours = {flavour.name: flavour for _, flavour in parsed(data, "flavours", Flavour)}
    for index, site in parsed(data, "sites", Site):
        for name in site.capacity.units if site.capacity else ():
            place = ("sites", index, "capacity", "units", name)
            if name not in site.flavours:
                near = get_close_matches(name, site.flavours, n=1)
                yield Finding(place, "is not among the flavours of the site", "".join(near))
            elif name in flavours and not flavours[name].accelerator:
                yield Finding(place, "has no accelerator to count; its measure is cpu and memory")


def _made_folders(data: Any) -> Iterator[Finding]:
    """What is made for one person or activity is one folder: those above it are everybody's."""
    for index, volume in parsed(data, "volumes", Volume) if isinstance(data, dict) and data.get("posix") else ():
        placeholder = PLACEHOLDERS.get(volume.kind, "")
        above, _, last = volume.sub_path.rpartition("/")
        if placeholder and (placeholder in above or placeholder not in last):
            message = f"must have {placeholder} in its last part only, because posix makes that folder"
            yield Finding(("volumes", index, "sub_path"), message, f"{volume.kind}/{placeholder}")


def _flavour(place: Location, flavour: Flavour) -> Iterator[Finding]:
    if flavour.accelerator and not flavour.resource:
        yield Finding(
            (*place, "resource"), "is missing: the resource that nodes offer for this accelerator", "nvidia.com/gpu"
        )
    if flavour.accelerator and not flavour.weight:
        yield Finding(
            (*place, "compute_weight"), "must be given (or memory_weight): otherwise its use is never charged"
        )
    if not flavour.accelerator and (flavour.resource or flavour.mig):
        yield Finding(
            (*place, "vendor"), f"is none, but the flavour asks for {flavour.resource or flavour.mig}", "nvidia"
        )
    if flavour.mig and flavour.accelerator and flavour.vendor != "nvidia":
        yield Finding((*place, "mig"), f"{flavour.vendor} cards have no MIG slices")
    if flavour.mig and "/mig-" in flavour.resource and not flavour.resource.endswith(f"/mig-{flavour.mig}"):
        yield Finding((*place, "mig"), f"{flavour.mig} is not the slice of {flavour.resource}")
    yield from _counted(place, flavour)
    yield from _steps((*place, "cpu"), flavour.cpu)
    yield from _steps((*place, "memory"), flavour.memory)
    yield from _tolerations(place, flavour.tolerations)


def _counted(place: Location, flavour: Flavour) -> Iterator[Finding]:
    """Only accelerators are counted; CPU and memory of the cluster are in `capacity`."""
    for key in ("units", "keep_free"):
        if getattr(flavour, key) and not flavour.accelerator:
            yield Finding((*place, key), "counts accelerators; the flavour has none")
    if flavour.units is not None and flavour.keep_free > flavour.units:
        yield Finding((*place, "keep_free"), f"is more than the {flavour.units} units that there are")


def _steps(place: Location, steps: Steps) -> Iterator[Finding]:
    if steps.default not in steps.choices:
        yield Finding((*place, "default"), "is not one of the choices")
    if any(count > 1 for count in Counter(steps.choices).values()):
        yield Finding((*place, "choices"), "has the same amount twice")


def _tolerations(place: Location, tolerations: tuple[Toleration, ...]) -> Iterator[Finding]:
    for index, toleration in enumerate(tolerations):
        if toleration.operator == "Exists" and toleration.value:
            yield Finding(
                (*place, "tolerations", index, "value"), "needs the operator Equal; Exists takes any value", "Equal"
            )


def _volume(place: Location, volume: Volume) -> Iterator[Finding]:
    holds_claim = volume.kind not in ("scratch", "shm", "object-store")
    if holds_claim and not volume.claim:
        yield Finding((*place, "claim"), f"is missing: the PersistentVolumeClaim that holds the {volume.kind} volume")
    if not holds_claim and volume.claim:
        yield Finding((*place, "claim"), f"is not for volumes of kind {volume.kind}")
    if volume.kind == "object-store" and not volume.secret:
        yield Finding((*place, "secret"), "is missing: the Secret with the credentials of the object store")
    if volume.kind != "object-store" and volume.secret:
        yield Finding((*place, "secret"), "is for volumes of kind object-store", "object-store")
    if volume.kind not in ("scratch", "shm") and volume.size:
        yield Finding((*place, "size"), "is for scratch and shm; the size of a claim is set where it is made")
    placeholder = PLACEHOLDERS.get(volume.kind, "")
    if placeholder not in volume.sub_path:
        message = f"must contain {placeholder}: otherwise everybody gets the same folder"
        yield Finding((*place, "sub_path"), message, placeholder)


def _site(place: Location, site: Site) -> Iterator[Finding]:
    if site.kind == "local" and site.backend:
        yield Finding((*place, "backend"), "is for sites of kind interlink")
    if site.kind == "local" and site.capacity:
        yield Finding((*place, "capacity"), "is for sites of kind interlink; that of the cluster is a key of the file")
    if site.kind == "interlink" and site.name == LOCAL:
        yield Finding((*place, "name"), f"{LOCAL!r} means the cluster itself")
    if site.kind == "interlink" and not site.backend:
        yield Finding((*place, "backend"), "is missing: htcondor, slurm, podman or kubernetes")
    if site.kind == "interlink" and not site.flavours:
        yield Finding((*place, "flavours"), "is missing: name the flavours that the site can run")
    if site.kind == "interlink" and not site.node_selector:
        yield Finding((*place, "node_selector"), "is missing: the label of its virtual node", "kubernetes.io/hostname")
    yield from _tolerations(place, site.tolerations)
