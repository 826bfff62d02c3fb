"""What a job inherits from the session that sent it: the activity that pays, and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiinfn_hub.catalogue import Flavour, Platform
from aiinfn_hub.errors import Forbidden, InvalidInput
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.identity.person import Caller, Person
from aiinfn_hub.pods.apptainer import inside
from aiinfn_hub.pods.images import listed, recommended


@dataclass(frozen=True)
class Heritage:
    """What the session says of a job.

    Args:
        server: name of the JupyterHub server, "" for the default one or none.
        activity: who pays.
        activity_reason: how that was chosen; accounting shows it when somebody asks.
        environment: `image:NAME`, `registry:REF` or `apptainer:PATH`; "" when the session does not say.
        uid: the person's POSIX user; None where people have none of their own.
        flavour: that of the session; "" when it does not say.
    """

    server: str
    activity: str
    activity_reason: str
    environment: str = ""
    uid: int | None = None
    flavour: str = ""


class HubSessions:
    """Looks the caller's session up at the hub: what it was started with, not what it says of itself."""

    def __init__(self, platform: Platform, hub: HubApi) -> None:
        self.platform = platform
        self.hub = hub

    async def __call__(self, caller: Caller, server: str) -> Heritage:
        """The heritage of a job; `server` is one of the caller's own, used where the caller's token names none.

        Raises:
            Forbidden: somebody else may use the session, or the person has no POSIX user yet.
            Unavailable: the hub does not answer.
        """
        name = server if caller.server is None else caller.server
        if caller.server is not None and await self.hub.is_shared(caller.person.name, name):
            raise Forbidden(
                "This session is shared: whoever opens it could send jobs in your name.",
                hint="Send it from a session of your own, or end the sharing first.",
            )
        user = await self.hub.user(caller.person.name)
        found = user.servers.get(name)
        heritage = inherit(caller.person, name, found.user_options if found is not None else None)
        uid = await self.hub.uid(caller.person.name) if self.platform.posix else None
        return replace(heritage, uid=uid)


def inherit(person: Person, server: str, options: Mapping[str, Any] | None) -> Heritage:
    """The heritage of a job of `person`, sent from a server that was started with `options` (None: from no session).

    Raises:
        Forbidden: the person works in no activity.
        InvalidInput: the person works in several, and no session says which one pays.
    """
    server = server if options is not None else ""
    if not person.activities:
        raise Forbidden(
            "You are in no activity, so nobody could be charged.", hint="Ask the leader of yours to add you."
        )
    chosen = str((options or {}).get("activity", ""))
    environment, flavour = (str((options or {}).get(name) or "") for name in ("environment", "flavour"))
    if chosen in person.activities:
        return Heritage(server, chosen, "chosen with the session", environment, flavour=flavour)
    if len(person.activities) == 1:
        return Heritage(server, person.activities[0], "the only one", environment, flavour=flavour)
    if chosen:
        raise Forbidden(
            f"This session was started for {chosen}, and you are no longer in it.",
            hint=f"Start a session for one of: {', '.join(person.activities)}.",
        )
    raise InvalidInput(
        "It is not clear which activity pays.",
        hint=f"Send it from a session of one of: {', '.join(person.activities)}.",
    )


def environment(platform: Platform, heritage: Heritage, wanted: str, flavour: Flavour) -> tuple[str, str]:
    """The image reference and, if the code runs inside one, the path of an Apptainer image.

    `wanted` is what the request says: "", one of the three forms above, the name of an image of the platform, or a
    reference; without it, the environment of the session, or the platform's first image.

    Raises:
        InvalidInput: no such image, or not one that the policy allows, or not with this flavour.
    """
    text = wanted or heritage.environment
    kind, _, rest = text.partition(":")
    if kind == "apptainer":
        found = inside(platform, rest, flavour)
        return found.image, found.path
    if kind == "registry":
        return platform.image_policy.check(rest), ""
    if kind == "image":
        return listed(platform, rest), ""
    if not text:
        return recommended(platform).ref, ""
    if any(image.name == text for image in platform.images):
        return listed(platform, text), ""
    return platform.image_policy.check(text), ""
