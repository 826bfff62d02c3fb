"""Why somebody may do something here, or may not: one sentence for each rule that was looked at; pure.

`person` decides; this finds the words for it, with the group that made the difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiinfn_hub.catalogue import Activity, Flavour, Platform
from aiinfn_hub.identity.person import Person, is_path, is_within, may_enter, person_of


@dataclass(frozen=True)
class Ruling:
    """One rule, looked at for one person.

    Attributes:
        id: of the sentence, which never changes: `enter.member`, `activity.missing`.
        about: the activity or flavour that it is about; "" for the platform.
        granted: whether the rule gives something. `unreadable` and the `none` ones give nothing and take nothing.
        sentence: for people, with the group that decides.
    """

    id: str
    about: str
    granted: bool
    sentence: str


def rulings(platform: Platform, groups: Iterable[str]) -> tuple[Ruling, ...]:
    """Every rule of the platform file for somebody in these groups, as they are written at the IAM."""
    written = list(groups)
    person = person_of(platform, "", written)
    found = [
        Ruling("group.unreadable", "", False, f"{text!r} is no path of a group: it grants nothing.")
        for text in written
        if not is_path(text)
    ]
    found += [_entry(platform, person), _operates(platform, person)]
    for activity in platform.activities:
        found += [_activity(activity, person), _leads(activity, person)]
    found += [_flavour(platform, flavour, person) for flavour in platform.flavours]
    return tuple(found)


def _entry(platform: Platform, person: Person) -> Ruling:
    access = platform.access
    if not may_enter(platform, person.groups):
        needed = " or ".join(access.allowed_groups)
        return Ruling("enter.missing", "", False, f"Cannot log in: needs {needed}, or a group below it.")
    members = [
        (group, one) for group in sorted(person.groups) for one in access.allowed_groups if is_within(group, one)
    ]
    if not members:
        return Ruling("enter.operator", "", True, f"May log in: {_operator(platform, person)} operates the platform.")
    group, allowed = members[0]
    how = f"is {allowed}" if group == allowed else f"is below {allowed}"
    return Ruling("enter.member", "", True, f"May log in: {group} {how}.")


def _operates(platform: Platform, person: Person) -> Ruling:
    if person.admin:
        return Ruling("operator.member", "", True, f"Operates the platform: {_operator(platform, person)}.")
    if not platform.access.admin_groups:
        return Ruling("operator.none", "", False, "Nobody operates by group: access.admin_groups is empty.")
    needed = " or ".join(platform.access.admin_groups)
    return Ruling("operator.missing", "", False, f"Operates nothing: needs {needed} itself; groups below do not count.")


def _operator(platform: Platform, person: Person) -> str:
    return next(group for group in platform.access.admin_groups if group in person.groups)


def _activity(activity: Activity, person: Person) -> Ruling:
    name = activity.name
    if name in person.activities:
        return Ruling("activity.member", name, True, f"May charge {name}: {activity.group}.")
    below = sorted(group for group in person.groups if is_within(group, activity.group))
    why = f"; {below[0]} is below it, which does not count" if below else ""
    return Ruling("activity.missing", name, False, f"May not charge {name}: needs {activity.group}{why}.")


def _leads(activity: Activity, person: Person) -> Ruling:
    name = activity.name
    if name in person.pi_of:
        return Ruling("pi.member", name, True, f"Leads {name}: {activity.pi_group}.")
    if not activity.pi_group:
        return Ruling("pi.none", name, False, f"Nobody leads {name}: it has no pi_group.")
    return Ruling("pi.missing", name, False, f"Does not lead {name}: needs {activity.pi_group}.")


def _flavour(platform: Platform, flavour: Flavour, person: Person) -> Ruling:
    name, through = flavour.name, [a for a in person.activities if not flavour.activities or a in flavour.activities]
    if through:
        return Ruling("flavour.activity", name, True, f"May have {name}, charged to {' or '.join(through)}.")
    if not flavour.activities:
        return Ruling("flavour.nothing-to-charge", name, False, f"May not have {name}: charges no activity.")
    groups = " or ".join(platform.activity(one).group for one in flavour.activities)
    needed = f"it is for {' and '.join(flavour.activities)} only, and that needs {groups}"
    return Ruling("flavour.other-activity", name, False, f"May not have {name}: {needed}.")
