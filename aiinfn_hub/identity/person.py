"""A person of the platform, and what the groups grant; pure.

Groups are compared by full normalised path, here and nowhere else: a missing slash makes an allow-list match nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import InvalidInput

#: One part of a group's path. Control characters and percent signs would change their meaning in logs and URLs.
_PART = re.compile(r"[^/%\x00-\x1f\x7f]+")
#: JupyterHub's column for the name of a group.
MAX_GROUP = 255


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in.

    `groups` are full paths with a leading slash. `activities` are the names that the person may charge, in the order of
    the platform file; `pi_of` those that the person leads. `uid` is the POSIX user of sessions and jobs; None
    is that of the images, or not looked up.
    """

    name: str
    groups: frozenset[str]
    activities: tuple[str, ...]
    admin: bool = False
    pi_of: tuple[str, ...] = ()
    uid: int | None = None


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    `server` is the name of the person's session that speaks, "" the default one, None where no session speaks. `hub`
    says that the hub speaks, on behalf of the person.
    """

    person: Person
    server: str | None = None
    hub: bool = False


def normal_group(text: str) -> str:
    """The full path "/a/b" of a group written "a/b", "/a/b" or "/a/b/".

    Raises:
        InvalidInput: the path has an empty, relative or unprintable part, or is too long.
    """
    parts = text.strip().strip("/").split("/")
    if not all(_PART.fullmatch(part) and part.strip() == part and part not in {".", ".."} for part in parts):
        raise InvalidInput(f"{text!r} is no path of a group.", hint='Write it as "/experiment/group".')
    path = "/" + "/".join(parts)
    if len(path) > MAX_GROUP:
        raise InvalidInput(f"The path of the group {path[:40]}... is longer than {MAX_GROUP} characters.")
    return path


def is_path(text: str) -> bool:
    """Whether it is a group's path; what is none grants nothing."""
    try:
        normal_group(text)
    except InvalidInput:
        return False
    return True


def is_within(group: str, ancestor: str) -> bool:
    """Whether a group is `ancestor` or below it, by whole parts: "/cms-private" is not within "/cms"."""
    return group == ancestor or group.startswith(ancestor + "/")


def may_enter(platform: Platform, groups: Iterable[str]) -> bool:
    """Whether somebody in these normalised groups may log in: in an allowed group, below one, or an operator."""
    access = platform.access
    allowed = access.allowed_groups
    return any(group in access.admin_groups or any(is_within(group, one) for one in allowed) for group in groups)


def person_of(platform: Platform, name: str, groups: Iterable[str], *, admin: bool = False) -> Person:
    """What the platform grants to a user of these groups.

    A group whose name is no path grants nothing. Members of an admin group are operators; so is whom the hub says
    (`admin`), because its own pages treat them as such.
    """
    held = frozenset(normal_group(group) for group in groups if is_path(group))
    return Person(
        name=name,
        groups=held,
        activities=tuple(a.name for a in platform.activities if a.group in held),
        admin=admin or not held.isdisjoint(platform.access.admin_groups),
        pi_of=tuple(a.name for a in platform.activities if a.pi_group and a.pi_group in held),
    )
