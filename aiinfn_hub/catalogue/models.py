"""What the platform offers, as frozen models; `platform.yaml` is their only source.

Units in memory: CPU in millicores, memory and sizes in bytes, times in seconds, weights in whole A100 cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.calendar import CalendarReservation
from aiinfn_hub.catalogue.fields import (
    AbsolutePath,
    Bytes,
    Cpu,
    CudaVersion,
    ExistingName,
    LabelKey,
    LabelValue,
    MigProfile,
    Name,
    ObjectName,
    OptionalAbsolutePath,
    PinnedImage,
    ResourceName,
    Seconds,
    SubPath,
    Title,
    Weight,
)
from aiinfn_hub.catalogue.mail import Mail
from aiinfn_hub.catalogue.people import Access, Activity, Posix, TokenPolicy
from aiinfn_hub.catalogue.policy import ImagePolicy
from aiinfn_hub.catalogue.presets import Preset
from aiinfn_hub.catalogue.quotas import Quotas
from aiinfn_hub.errors import InvalidInput

#: The place that is the cluster itself, whatever a site of kind local is called.
LOCAL = "local"


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


class Capacity(Model):
    """What the nodes of a place have together: CPU in millicores, memory in bytes; the quota of its queues."""

    cpu: Cpu
    memory: Annotated[Bytes, Field(ge=1)]


class SiteCapacity(Capacity):
    """What all jobs together may use at a site."""

    units: dict[Name, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Units of each flavour with an accelerator that the site has."""


class Idle(Model):
    """When a session counts as not used: nothing in it did anything for so long, and everything was measured."""

    after_s: Seconds = Field(validation_alias="after")
    """Without any use; then it gets notice."""
    cpu_below: Cpu = Field(default=100)
    """Cores that all its processes together may use, and still be idle."""
    accelerator_below: float = Field(0.02, ge=0, le=1)
    """The share of time in which the accelerator may do something; asked of Prometheus where the service knows one."""


class Flavour(Model):
    """A kind of machine that a person can ask for: an accelerator (or none) with CPU and memory beside it.

    A weight says how much of a whole A100 one unit is worth in the accounting; the larger of the two counts.
    """

    name: Name
    title: Title
    vendor: Literal["none", "nvidia", "amd", "intel", "xilinx"] = "none"
    """Of the accelerator; none for CPU only."""
    model: str = ""
    mig: MigProfile = ""
    """The slice, where a unit is not a whole card."""
    count: int = Field(1, ge=1, le=64)
    """Devices in one unit of the flavour."""
    resource: ResourceName = ""
    """What the device plugin of the nodes offers."""
    device_memory_bytes: Annotated[Bytes, Field(ge=0)] = Field(0, validation_alias="device_memory")
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels that the node must have."""
    formerly: tuple[Name, ...] = ()
    """Names that it had before: links, saved choices and cells that still say one of them get it."""
    hidden: bool = False
    """Not in the form; links, presets and saved choices still get it."""
    cuda: CudaVersion = ""
    """The highest version of CUDA that the driver of its nodes runs; images for a later one are refused."""
    tolerations: tuple[Toleration, ...] = ()
    cpu: CpuSteps
    memory: MemorySteps
    compute_weight: Weight = 0.0
    """Share of a whole A100 in cores."""
    memory_weight: Weight = 0.0
    """Share of a whole A100 in memory."""
    max_lifetime_s: Seconds = Field(validation_alias="max_lifetime")
    """How long one session may last; beyond that it must be extended."""
    idle: Idle | None = None
    """When a session that nobody uses is stopped; left out: never."""
    capabilities: tuple[Literal["user-namespaces"], ...] = ()
    """What its pods may do beyond the restricted Pod Security Standard; open it to those who need it."""
    activities: tuple[ObjectName, ...] = ()
    """Who may use it; empty for everybody."""
    max_per_user: int | None = Field(None, ge=1)
    """Units that one person may hold at the same time."""
    units: int | None = Field(None, ge=0)
    """Units that the cluster has: the quota of the queues."""
    keep_free: int = Field(0, ge=0)
    """Units that jobs never borrow, so that a session can always start at once."""

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
    ref: PinnedImage
    """With a tag or a digest."""
    apptainer: OptionalAbsolutePath = ""
    """Where the same image is unpacked, for sites without a container runtime."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What a person wants to know before choosing; `cuda` is the version that it needs."""
    hidden: bool = False
    redirect: str = ""
    """Whoever asks for this image gets the one named."""
    description: str = ""


class Volume(Model):
    """Storage that sessions see."""

    name: ObjectName
    kind: Literal["home", "activity", "public", "scratch", "shm", "cvmfs", "object-store"]
    """Scratch is on the node's disk, shm in its memory; both end with the pod."""
    mount: AbsolutePath
    claim: ExistingName = ""
    """The PersistentVolumeClaim that holds it."""
    sub_path: SubPath = ""
    """The folder of the claim that is mounted; {person} and {activity} are filled in."""
    size: Annotated[Bytes, Field(ge=0)] = 0
    """The limit of a scratch volume, 0 for none, or of shm, 0 for the memory of the session."""
    read_only: bool = False
    optional: bool = False
    """A person chooses whether to have it."""
    default: bool = False
    """An optional volume is chosen at first."""
    secret: ExistingName = ""
    """The Secret with the credentials of an object store, mounted as files."""
    contact: Annotated[str, Field(max_length=200)] = ""
    """Whom to ask when it is missing or full."""


class Site(Model):
    """A place where jobs run: this cluster, or a virtual node of interLink with a batch system behind it."""

    name: Name
    kind: Literal["local", "interlink"] = "local"
    backend: Literal["", "htcondor", "slurm", "podman", "kubernetes"] = ""
    title: Title
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    carries_volumes: bool = False
    """Whether claims are mounted there; virtual nodes leave them out."""
    carries_logs: bool = False
    """Whether the output of a running pod can be read."""
    flavours: tuple[Name, ...] = ()
    """What it can run; for the local site, empty means all."""
    consent: bool = False
    """Whether a person is asked before anything leaves for it."""
    capacity: SiteCapacity | None = None
    """The quota of jobs there; for sites of kind interlink."""


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
    """Of sessions and jobs, and of nothing else: an admission policy closes it for everything that is neither."""
    system_namespace: ObjectName = "aiinfn-system"
    """Of the hub, its proxy and the service."""
    access: Access
    tokens: TokenPolicy | None = None
    """Sessions find no token of the IAM where this is left out."""
    posix: Posix | None = None
    """Everybody runs as the user of the images where this is left out."""
    flavours: tuple[Flavour, ...] = Field(min_length=1)
    images: tuple[Image, ...] = Field(min_length=1)
    image_policy: ImagePolicy = ImagePolicy()
    capacity: Capacity | None = None
    """Of all nodes of the cluster together, virtual ones aside: the quota of the queues."""
    volumes: tuple[Volume, ...] = ()
    sites: tuple[Site, ...] = ()
    activities: tuple[Activity, ...] = Field(min_length=1)
    mail: Mail | None = None
    """Nobody is written to where this is left out."""
    quotas: Quotas = Quotas()
    reservations: tuple[CalendarReservation, ...] = ()
    """Units that are one activity's for some time."""
    presets: tuple[Preset, ...] = ()
    """Choices that start with one click."""

    def flavour(self, name: str) -> Flavour:
        """The flavour of that name, or that had it before."""
        return self.known_flavour(name) or _find(self.flavours, name, "flavour")

    def known_flavour(self, name: str) -> Flavour | None:
        """The same, or None: what runs may be of a flavour that the file has no more."""
        return next((one for one in self.flavours if name == one.name or name in one.formerly), None)

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
