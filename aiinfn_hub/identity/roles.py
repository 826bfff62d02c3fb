"""What PIs and operators may do, as roles and scopes of JupyterHub; pure.

Groups decide who somebody is (`person_of`); these scopes decide what a token may do of that. In the browser people are
there in person, and nothing is taken away. A token does what its scopes say: that of a session has neither, because
what runs in a notebook may be anybody's code, and a PI can make one for a monthly report that can do nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from aiinfn_hub.catalogue import Activity, Platform
from aiinfn_hub.identity.person import Person

OPERATE = "custom:aiinfn:operate"
#: With the filter "!group=G" for the activity whose members are in the group G.
LEAD = "custom:aiinfn:lead"
#: `c.JupyterHub.custom_scopes`. There are as many whatever the platform file says: a token that holds a scope which is
#: not defined any more is answered with an error 500 by JupyterHub 6.
SCOPES = {
    OPERATE: {"description": "Operate the platform: see all sessions, queues, records and the audit"},
    LEAD: {"description": "See what the activities that you lead used: sums, names and flavours"},
}


def roles(platform: Platform) -> list[dict[str, Any]]:
    """The roles of PIs and operators, for `c.JupyterHub.load_roles`: whoever is in the group has the role."""
    access = platform.access
    operators = {
        "name": "aiinfn-operator",
        "description": "Operates the platform",
        "groups": list(access.admin_groups),
        "scopes": [OPERATE],
    }
    return [operators] + [
        {
            "name": f"aiinfn-pi-{activity.name}",
            "description": f"Leads {activity.title}",
            "groups": [activity.pi_group],
            "scopes": [_lead(activity)],
        }
        for activity in platform.activities
        if activity.pi_group
    ]


def narrowed(platform: Platform, person: Person, scopes: Collection[str]) -> Person:
    """The person, with those rights of a PI and an operator only that a token with these (expanded) scopes has."""
    held = set(scopes)
    leads = (name for name in person.pi_of if held & {LEAD, _lead(platform.activity(name))})
    return replace(person, admin=person.admin and OPERATE in held, pi_of=tuple(leads))


def _lead(activity: Activity) -> str:
    return f"{LEAD}!group={activity.group}"
