"""What the platform offers, read from one `platform.yaml`: flavours, images, volumes, sites, activities. Pure."""

from aiinfn_hub.catalogue.calendar import CalendarReservation
from aiinfn_hub.catalogue.loader import example_path, load_platform, parse_platform
from aiinfn_hub.catalogue.models import (
    Capacity,
    CpuSteps,
    Flavour,
    Idle,
    Image,
    MemorySteps,
    Platform,
    Site,
    SiteCapacity,
    Steps,
    Toleration,
    Volume,
)
from aiinfn_hub.catalogue.people import Access, Activity, TokenPolicy
from aiinfn_hub.catalogue.policy import ImagePolicy
from aiinfn_hub.catalogue.quotas import Quota, Quotas

__all__ = [
    "Access",
    "Activity",
    "CalendarReservation",
    "Capacity",
    "CpuSteps",
    "Flavour",
    "Idle",
    "Image",
    "ImagePolicy",
    "MemorySteps",
    "Platform",
    "Quota",
    "Quotas",
    "Site",
    "SiteCapacity",
    "Steps",
    "TokenPolicy",
    "Toleration",
    "Volume",
    "example_path",
    "load_platform",
    "parse_platform",
]
