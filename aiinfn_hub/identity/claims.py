"""From the claims of INDIGO IAM to groups by full path; pure.

The JWT profile of an IAM client decides where the groups are: `groups` without a leading slash (iam), `wlcg.groups`
with one (wlcg), URNs in an entitlement (aarc).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.identity.person import normal_group

Profile = Literal["iam", "wlcg", "aarc"]
PROFILES: dict[Profile, tuple[str, ...]] = {
    "iam": ("groups",),
    "wlcg": ("wlcg.groups",),
    "aarc": ("eduperson_entitlement", "entitlements"),
}
#: urn:<nid>:<namespace>[:<more>]:group:<group>[:<subgroup>][:role=<role>][#<authority>], AARC-G069
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]*(?::[^:#]+)+?:group:(?P<path>[^#]+)(?:#.*)?", re.IGNORECASE)


def groups_of(claims: Mapping[str, Any], profile: Profile | None = None) -> tuple[str, ...] | None:
    """The groups that the claims name, as "/parent/child", in their order; without a profile, of the first one there.

    Three different answers: groups; () where the claim says there are none; None where the claim is missing, which says
    nothing. A group whose name is no path is left out: it can grant nothing.

    Raises:
        InvalidInput: the claim is no list of texts. A text would come apart into its letters.
    """
    for name in [profile] if profile else PROFILES:
        found = [_texts(claims, claim) for claim in PROFILES[name] if claims.get(claim) is not None]
        if found:
            texts = [text for part in found for text in part]
            paths = _of_urns(texts) if name == "aarc" else iter(texts)
            return tuple(dict.fromkeys(_normal(paths)))
    return None


def _texts(claims: Mapping[str, Any], claim: str) -> list[str]:
    value = claims[claim]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(
            f"The claim {claim} is {type(value).__name__}, not a list of texts.",
            hint="The IAM client's JWT profile decides what it sends: iam, wlcg or aarc.",
        )
    return list(value)


def _of_urns(urns: list[str]) -> Iterator[str]:
    """The paths of the entitlements that are groups; there are others. A member with a role is a member."""
    for urn in urns:
        match = _URN.fullmatch(urn)
        if match is None:
            continue
        parts = [unquote(part) for part in match["path"].split(":") if not part.startswith("role=")]
        if not any("/" in part for part in parts):
            yield "/".join(parts)


def _normal(paths: Iterator[str]) -> Iterator[str]:
    for path in paths:
        try:
            yield normal_group(path)
        except InvalidInput:
            continue
