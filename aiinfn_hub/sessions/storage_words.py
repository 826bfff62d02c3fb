"""Which volume of the platform a diagnosis is about, and whom to ask. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from aiinfn_hub.catalogue import Platform, Volume
from aiinfn_hub.pods.storage import object_name
from aiinfn_hub.sessions.symptoms import Diagnosis

#: Causes that a volume has; the others name none, or one by chance.
_OF_STORAGE = re.compile(r"volume-.*|volumes-full|mount|object-missing")


def with_volume(platform: Platform, found: Diagnosis) -> Diagnosis:
    """The same, in the platform's own words for its volumes.

    Kubernetes names the pod's volume, the claim or the Secret; the person knows the volume by the name that the form
    has for it.
    """
    volumes = [one for one in platform.volumes if _named(one, found.said)] if _OF_STORAGE.fullmatch(found.cause) else []
    if not volumes:
        return found
    names = " and ".join(f"{one.name} ({one.mount})" for one in volumes)
    which = f"It is the volume {names}." if len(volumes) == 1 else f"It is one of the volumes {names}."
    contacts = list(dict.fromkeys(one.contact for one in volumes if one.contact))
    ask = f"Ask {' or '.join(contacts)}: this sentence is all they need." if contacts else found.next_step
    return replace(found, sentence=f"{found.sentence} {which}", next_step=ask)


def _named(volume: Volume, text: str) -> bool:
    names = (re.escape(name) for name in (object_name(volume), volume.claim, volume.secret) if name)
    return re.search(rf"(?<![\w.-])(?:{'|'.join(names)})(?![\w.-])", text) is not None
