"""Why somebody may do something here, or may not: one sentence for each rule that was looked at; pure.

`person.person_of` and `person.may_enter` decide; this says the same in words, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aiinfn_hub.catalogue import Activity, Flavour, Platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.identity.person import is_within, normal_group


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
    held, unreadable = _read(groups)
    found = [
        Ruling("group.unreadable", "", False, f"{text!r} is no path of a group: it grants nothing.")
        for text in unreadable
    ]
    found += _entry(platform, held)
    for activity in platform.activities:
        found += [_activity(activity, held), _leads(activity, held)]
    mine = {one.about for one in found if one.id == "activity.member"}
    found += [_flavour(platform, flavour, mine) for flavour in platform.flavours]
    return tuple(found)


def _read(groups: Iterable[str]) -> tuple[frozenset[str], list[str]]:
    held, unreadable = set(), []
    for text in groups:
        try:
            held.add(normal_group(text))
        except InvalidInput:
            unreadable.append(text)
    return frozenset(held), unreadable


def _entry(platform: Platform, held: frozenset[str]) -> Iterator[Ruling]:
    """Who may log in, and who operates."""
    access = platform.access
    operators = sorted(held.intersection(access.admin_groups))
    members = sorted((group, one) for group in held for one in access.allowed_groups if is_within(group, one))
    if members:
        group, allowed = members[0]
        how = f"is {allowed}" if group == allowed else f"is below {allowed}"
        yield Ruling("enter.member", "", True, f"May log in: {group} {how}.")
    elif operators:
        yield Ruling("enter.operator", "", True, f"May log in: {operators[0]} operates the platform.")
    else:
        needed = " or ".join(access.allowed_groups)
        yield Ruling("enter.missing", "", False, f"Cannot log in: needs {needed}, or a group below it.")
    if operators:
        yield Ruling("operator.member", "", True, f"Operates the platform: {operators[0]}.")
    elif access.admin_groups:
        needed = " or ".join(access.admin_groups)
        yield Ruling(
            "operator.missing", "", False, f"Operates nothing: needs {needed} itself; groups below do not count."
        )
    else:
        yield Ruling("operator.none", "", False, "Nobody operates by group: access.admin_groups is empty.")


def _activity(activity: Activity, held: frozenset[str]) -> Ruling:
    if activity.group in held:
        return Ruling("activity.member", activity.name, True, f"May charge {activity.name}: {activity.group}.")
    below = sorted(group for group in held if is_within(group, activity.group))
    why = f"; {below[0]} is below it, which does not count" if below else ""
    return Ruling(
        "activity.missing", activity.name, False, f"May not charge {activity.name}: needs {activity.group}{why}."
    )


def _leads(activity: Activity, held: frozenset[str]) -> Ruling:
    if not activity.pi_group:
        return Ruling("pi.none", activity.name, False, f"Nobody leads {activity.name}: it has no pi_group.")
    if activity.pi_group in held:
        return Ruling("pi.member", activity.name, True, f"Leads {activity.name}: {activity.pi_group}.")
    return Ruling("pi.missing", activity.name, False, f"Does not lead {activity.name}: needs {activity.pi_group}.")


def _flavour(platform: Platform, flavour: Flavour, mine: set[str]) -> Ruling:
    allowed = flavour.activities or tuple(activity.name for activity in platform.activities)
    through = [name for name in allowed if name in mine]
    if through:
        return Ruling(
            "flavour.activity", flavour.name, True, f"May have {flavour.name}, charged to {' or '.join(through)}."
        )
    if not flavour.activities:
        return Ruling(
            "flavour.nothing-to-charge", flavour.name, False, f"May not have {flavour.name}: charges no activity."
        )
    groups = " or ".join(platform.activity(name).group for name in flavour.activities)
    needed = f"it is for {' and '.join(flavour.activities)} only, and that needs {groups}"
    return Ruling("flavour.other-activity", flavour.name, False, f"May not have {flavour.name}: {needed}.")
