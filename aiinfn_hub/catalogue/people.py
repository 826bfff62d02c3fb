"""The part of the catalogue that is about people: who may come in, what they charge, and what token they carry."""

from __future__ import annotations

from pydantic import Field

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import Audience, GroupPath, ObjectName, OptionalGroupPath, Scope, Seconds, Title


class Access(Model):
    """Who may log in, and who operates the platform: groups of the IAM by full path."""

    allowed_groups: tuple[GroupPath, ...] = Field(min_length=1)
    """Whoever is in none of these groups, or below them, cannot log in."""
    admin_groups: tuple[GroupPath, ...] = ()
    """The operators."""
    optional_groups: tuple[GroupPath, ...] = ()
    """Groups that the IAM names only if it is asked for them (label wlcg.optional-group); asked for at each login."""

    notice_s: Seconds = Field(900, validation_alias="notice")
    """How long a session goes on whose person has lost the group of its activity; one that is blocked ends at once."""


class TokenPolicy(Model):
    """The token of the IAM that a session finds as a file: short, without a refresh token, for these uses only."""

    audiences: tuple[Audience, ...] = ()
    """Who may accept it; none leaves that to the IAM, which by the profile wlcg means everybody."""
    scopes: tuple[Scope, ...] = Field(min_length=1)
    """What it opens, such as storage.read:/; the IAM may grant less, and the person is told what is missing."""


class Activity(Model):
    """A project that is charged."""

    name: ObjectName
    title: Title
    group: GroupPath
    """Its members may charge it."""
    pi_group: OptionalGroupPath = ""
    """Its members lead it: they see what the activity used."""
    gid: int = Field(ge=1000, lt=2**31)
    """The POSIX group that owns the files of its share."""
    gpu_hours: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Hours of a whole A100 in every window; none for no limit."""
    window_days: int = Field(30, ge=1, le=366)
