"""The part of the catalogue that is about people: who may come in, what they charge, and what token they carry."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import (
    Audience,
    Bucket,
    ClaimPath,
    GroupPath,
    LabelValue,
    ObjectName,
    OptionalGroupPath,
    OptionalUrl,
    PinnedImage,
    RoleArn,
    Scope,
    Seconds,
    Title,
    Uid,
    Url,
)


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


class ObjectStore(Model):
    """An object store that takes the token of the IAM for keys of its own, which are short too (AWS's STS).

    AssumeRoleWithWebIdentity, as Ceph's RADOS Gateway and MinIO have it. The programs of the session ask for the keys
    themselves, again and again: there is none in a pod, and nobody keeps any.
    """

    endpoint: Url
    """Of its S3."""
    sts: OptionalUrl = ""
    """Of its STS; left out: the same."""
    role: RoleArn
    """What a person becomes there; its policy says what that opens, to whom."""
    region: LabelValue = "default"
    buckets: tuple[Bucket, ...] = ()
    """What sessions are shown; {person} and {activity} are filled in."""


class TokenPolicy(Model):
    """The token of the IAM that a session finds as a file: short, without a refresh token, for these uses only."""

    audiences: tuple[Audience, ...] = ()
    """Who may accept it; none leaves that to the IAM, which by the profile wlcg means everybody."""
    scopes: tuple[Scope, ...] = Field(min_length=1)
    """What it opens, such as storage.read:/; the IAM may grant less, and the person is told what is missing."""
    object_store: ObjectStore | None = None
    """A store of S3 that sessions, and jobs with the token, reach with it."""


class Posix(Model):
    """POSIX users: each person has a number of their own, for ever, and homes and shares are made for them.

    The numbers are allocated, or the IAM has them. Without this everybody runs as the user of the images.
    """

    first_uid: Uid = 200_000
    """The lowest number of a person."""
    last_uid: Uid = 999_999
    """The highest one."""
    claim: ClaimPath = ""
    """The claim of the IAM with the number, a nested one as attr.uidNumber; empty for numbers that we allocate."""
    keeper_uid: Uid = 1001
    """Owns the folders of the shares, so that no member does; outside of the range of people."""
    image: PinnedImage
    """Has a shell and mkdir, and makes the folders; nothing that a person chose runs where all homes are seen."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_uid < self.first_uid:
            raise PydanticCustomError("range", "last_uid comes before first_uid")
        if self.first_uid <= self.keeper_uid <= self.last_uid:
            raise PydanticCustomError("keeper", "keeper_uid lies among the numbers of people")
        return self


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
    max_extension_s: Seconds | None = Field(None, validation_alias="max_extension")
    """By how much a session may be extended beyond its flavour's max_lifetime; left out: not at all."""
