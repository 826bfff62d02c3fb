"""The part of the catalogue that is about time: units of a flavour that are an activity's alone for a while."""

from __future__ import annotations

from typing import Self

from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import Name, ObjectName, Title


class CalendarReservation(Model):
    """Units of a flavour that only one activity may hold between two times, as for a course."""

    name: Name
    title: Title
    """What the others read: "4 reserved for ..."."""
    activity: ObjectName
    """Whose they are."""
    flavour: Name
    units: int = Field(ge=1)
    begin: AwareDatetime
    """With the offset of its zone, as in 2026-12-07T09:00:00+01:00."""
    end: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.begin:
            raise PydanticCustomError("calendar", "end is not after begin")
        return self

    @property
    def begins(self) -> float:
        """Unix seconds."""
        return self.begin.timestamp()

    @property
    def ends(self) -> float:
        """Unix seconds."""
        return self.end.timestamp()

    def active(self, at: float) -> bool:
        """Whether it holds at a time (Unix seconds)."""
        return self.begins <= at < self.ends
