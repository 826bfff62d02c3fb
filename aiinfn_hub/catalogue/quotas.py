"""The part of the catalogue that limits use: what somebody may hold at once, and use in a window of time."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import Name, ObjectName, Title


class Quota(Model):
    """One limit. Sessions and jobs spend from the same."""

    name: Name
    title: Title
    """As in "GPU-hours of one participant in a week"; it is read after "2.0 of 10"."""
    per: Literal["person", "activity"] = "person"
    """Whose use is counted together."""
    activities: tuple[ObjectName, ...] = ()
    """Where it holds; empty for all. With `per: person`, these activities are counted together."""
    flavours: tuple[Name, ...] = ()
    """For which it holds; empty for all with an accelerator."""
    units: int | None = Field(None, ge=1)
    """Held at the same time, when a session is to start."""
    gpu_hours: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Hours of a whole A100 in any window."""
    window_days: int = Field(30, ge=1, le=366)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.units is None and self.gpu_hours is None:
            raise PydanticCustomError("quota", "it limits nothing: give units or gpu_hours")
        return self


class Quotas(Model):
    """Limits beside `gpu_hours` of activities and `max_per_user` of flavours, and what holds without the service."""

    unreachable: Literal["open", "closed"] = "open"
    """While the service cannot be asked: sessions start and are counted later, or they do not start."""
    rules: tuple[Quota, ...] = ()
