"""What the platform offers, as frozen models; `platform.yaml` is their only source.

Units in memory: CPU in millicores, memory and sizes in bytes, times in seconds, weights in whole A100 cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from aiinfn_hub.catalogue.fields import (
    AbsolutePath,
    Bytes,
    Cpu,
    ExistingName,
    GroupPath,
    LabelKey,
    LabelValue,
    MigProfile,
    Name,
    ObjectName,
    OptionalAbsolutePath,
    OptionalGroupPath,
    ResourceName,
    Seconds,
    SubPath,
    Title,
    Weight,
)
from aiinfn_hub.catalogue.policy import ImagePolicy
from aiinfn_hub.catalogue.references import parse_reference
from aiinfn_hub.errors import InvalidInput

SCHEMA_VERSION = 1


def _image_reference(value: str) -> str:
    try:
        reference = parse_reference(value)
    except InvalidInput as error:
        raise PydanticCustomError("image", "{sentence}", {"sentence": str(error)}) from error
    if not reference.pinned:
        raise PydanticCustomError("image", "{value} has neither tag nor digest.", {"value": repr(value)})
    return value


class Model(BaseModel):
    """Base of the catalogue: frozen, and a key that nobody reads is a mistake.

    A field with a unit in its name (`max_lifetime_s`) has a plain name in the file (`max_lifetime: 12h`); Python code
    may use either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class Access(Model):
    """Who may log in, and who operates the platform: groups of the IAM by full path."""

    allowed_groups: tuple[GroupPath, ...] = Field(min_length=1)
    admin_groups: tuple[GroupPath, ...] = ()


class Toleration(Model):
    """A taint of a node that pods of a flavour or a site accept, as in Kubernetes."""

    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""


class Steps(Model):
    """The amounts that a person can choose, and the one chosen at first."""

    choices: tuple[int, ...] = Field(min_length=1)
    default: int


class CpuSteps(Steps):
    """CPU in millicores; written in cores ("4", 0.5, "500m")."""

    choices: tuple[Cpu, ...] = Field(min_length=1)
    default: Cpu


class MemorySteps(Steps):
    """Memory in bytes; written as "16Gi"."""

    choices: tuple[Annotated[Bytes, Field(ge=1)], ...] = Field(min_length=1)
    default: Annotated[Bytes, Field(ge=1)]


class Flavour(Model):
    """A kind of machine that a person can ask for: an accelerator (or none) with CPU and memory beside it.

    A weight says how much of a whole A100 one unit is worth in the accounting; the larger of the two counts.
    """

    name: Name
    title: Title
    vendor: Literal["none", "nvidia", "amd", "intel", "xilinx"] = "none"
    model: str = ""
    mig: MigProfile = ""
    count: int = Field(1, ge=1, le=64)
    resource: ResourceName = ""
    device_memory_bytes: Annotated[Bytes, Field(ge=0)] = Field(0, validation_alias="device_memory")
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    cpu: CpuSteps
    memory: MemorySteps
    compute_weight: Weight = 0.0
    memory_weight: Weight = 0.0
    max_lifetime_s: Seconds = Field(validation_alias="max_lifetime")
    activities: tuple[ObjectName, ...] = ()
    max_per_user: int | None = Field(None, ge=1)

    @property
    def accelerator(self) -> bool:
        """Whether a unit of the flavour has a device."""
        return self.vendor != "none"

    @property
    def weight(self) -> float:
        """What one hour of one unit counts, in hours of a whole A100; 0 for CPU only."""
        return max(self.compute_weight, self.memory_weight) if self.accelerator else 0.0


class Image(Model):
    """An environment of the list: an OCI image, and where the same is unpacked for Apptainer."""

    name: Name
    title: Title
    ref: Annotated[str, AfterValidator(_image_reference)]
    apptainer: OptionalAbsolutePath = ""
    labels: dict[str, str] = {}
    hidden: bool = False
    redirect: str = ""
    description: str = ""


class Volume(Model):
    """Storage that sessions see; `sub_path` may contain {person} and {activity}. `size` is for scratch."""

    name: ObjectName
    kind: Literal["home", "activity", "public", "scratch", "cvmfs", "object-store"]
    mount: AbsolutePath
    claim: ExistingName = ""
    sub_path: SubPath = ""
    size: Annotated[Bytes, Field(ge=0)] = 0
    read_only: bool = False
    optional: bool = False
    default: bool = True
    secret: ExistingName = ""


class Site(Model):
    """A place where jobs run: this cluster, or a virtual node of interLink with a batch system behind it.

    `flavours` empty means every flavour (for the local site); `consent` asks the person before anything leaves for it.
    """

    name: Name
    kind: Literal["local", "interlink"] = "local"
    backend: Literal["", "htcondor", "slurm", "podman", "kubernetes"] = ""
    title: Title
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    carries_volumes: bool = False
    carries_logs: bool = False
    flavours: tuple[Name, ...] = ()
    consent: bool = False


class Activity(Model):
    """A project that is charged: the members of `group` work in it, those of `pi_group` lead it.

    `gpu_hours` (weighted, None is no limit) may be used in every window of `window_days`.
    """

    name: ObjectName
    title: Title
    group: GroupPath
    pi_group: OptionalGroupPath = ""
    gid: int = Field(ge=1000, lt=2**31)
    gpu_hours: float | None = Field(None, ge=0, allow_inf_nan=False)
    window_days: int = Field(30, ge=1, le=366)


Named = TypeVar("Named", Flavour, Image, Volume, Site, Activity)


def _find(items: Sequence[Named], name: str, what: str) -> Named:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        names = [item.name for item in items]
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names) or 'none'}."
        raise InvalidInput(f"There is no {what} {name!r}.", hint=hint)
    return found


class Platform(Model):
    """The whole catalogue. Its lookups raise `InvalidInput` with the nearest name."""

    version: Literal[1]
    name: Title
    namespace: ObjectName = "aiinfn"
    access: Access
    flavours: tuple[Flavour, ...] = Field(min_length=1)
    images: tuple[Image, ...] = Field(min_length=1)
    image_policy: ImagePolicy = ImagePolicy()
    volumes: tuple[Volume, ...] = ()
    sites: tuple[Site, ...] = ()
    activities: tuple[Activity, ...] = Field(min_length=1)

    def flavour(self, name: str) -> Flavour:
        """The flavour of that name."""
        return _find(self.flavours, name, "flavour")

    def image(self, name: str) -> Image:
        """The image of that name, not redirected."""
        return _find(self.images, name, "image")

    def volume(self, name: str) -> Volume:
        """The volume of that name."""
        return _find(self.volumes, name, "volume")

    def site(self, name: str) -> Site:
        """The site of that name."""
        return _find(self.sites, name, "site")

    def activity(self, name: str) -> Activity:
        """The activity of that name."""
        return _find(self.activities, name, "activity")

    @property
    def home(self) -> Volume | None:
        """Where a person's files are, if the platform keeps them."""
        return next((volume for volume in self.volumes if volume.kind == "home"), None)
