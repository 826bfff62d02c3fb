"""What the server serves: every resource with its names and its habits, builtin or from a CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.kube.kinds import Kind


@dataclass(frozen=True)
class Resource:
    """One resource in one version.

    Attributes:
        kind: its group, version, names and scope.
        stored: the version that its objects are kept in; other versions are converted on the way in and out.
        short: what kubectl also calls it.
        status: it has a `status` subresource.
        generation: `metadata.generation` counts the changes of its specification.
        custom: it comes from a CustomResourceDefinition: no strategic merge patch, no update without a version.
        unconditional: an update may leave `metadata.resourceVersion` out.
        columns: `additionalPrinterColumns` of a CustomResourceDefinition.
    """

    kind: Kind
    stored: Kind
    short: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    custom: bool = False
    unconditional: bool = True
    columns: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    @property
    def table(self) -> tuple[str, str]:
        """The key of its objects in the store: group and plural of the stored kind."""
        return self.stored.group, self.stored.plural

    @property
    def title(self) -> str:
        """How messages name it: `pods`, `jobs.batch`."""
        return f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural

    @property
    def kind_title(self) -> str:
        """How messages of validation name it: `Pod`, `Job.batch`."""
        return f"{self.kind.kind}.{self.kind.group}" if self.kind.group else self.kind.kind


#: apiVersion, kind, plural, short names, habits: n(amespaced) s(tatus) g(eneration) r(esourceVersion needed) c(ustom).
_BUILTIN = """
v1 Namespace namespaces ns s
v1 Node nodes no s
v1 Pod pods po nsg
v1 Service services svc ns
v1 Secret secrets - n
v1 ConfigMap configmaps cm n
v1 Event events ev n
v1 PersistentVolumeClaim persistentvolumeclaims pvc ns
v1 PersistentVolume persistentvolumes pv s
v1 ServiceAccount serviceaccounts sa n
v1 ResourceQuota resourcequotas quota ns
v1 LimitRange limitranges limits n
batch/v1 Job jobs - nsg
coordination.k8s.io/v1 Lease leases - nr
scheduling.k8s.io/v1 PriorityClass priorityclasses pc g
storage.k8s.io/v1 StorageClass storageclasses sc -
rbac.authorization.k8s.io/v1 Role roles - n
rbac.authorization.k8s.io/v1 RoleBinding rolebindings - n
rbac.authorization.k8s.io/v1 ClusterRole clusterroles - -
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings - -
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd,crds sgr
kueue.x-k8s.io/v1beta2 Workload workloads wl nsgrc
kueue.x-k8s.io/v1beta2 LocalQueue localqueues queue,queues,lq nsgrc
kueue.x-k8s.io/v1beta2 ClusterQueue clusterqueues cq sgrc
kueue.x-k8s.io/v1beta2 Cohort cohorts - sgrc
kueue.x-k8s.io/v1beta2 ResourceFlavor resourceflavors flavor,flavors,rf grc
kueue.x-k8s.io/v1beta2 WorkloadPriorityClass workloadpriorityclasses - grc
kueue.x-k8s.io/v1beta2 AdmissionCheck admissionchecks - sgrc
kueue.x-k8s.io/v1beta2 Topology topologies - grc
"""

#: Other versions of the same objects: plural, then what serves it, then what stores it.
_ALIASES = (("events", "events.k8s.io/v1", "v1"),)
_KUEUE_ALIAS = ("kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2")


class Resources:
    """Every resource that is served now, by group, version and plural."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, str, str], Resource] = {}
        for resource in _builtin():
            self.add(resource)

    def add(self, resource: Resource) -> None:
        """Serve it from now on."""
        kind = resource.kind
        self._served[kind.group, kind.version, kind.plural] = resource

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource that is served there, if any."""
        return self._served.get((group, version, plural))

    def stored(self, table: tuple[str, str]) -> Resource | None:
        """The resource in the version that a table is kept in."""
        return next((r for r in self if r.kind == r.stored and r.table == table), None)

    def builtin(self, table: tuple[str, str]) -> Resource:
        """A resource that is always there, in the version that it is kept in."""
        return next(r for r in _builtin() if r.kind == r.stored and r.table == table)

    def drop(self, group: str, plural: str) -> None:
        """Stop serving every version of it."""
        for key in [key for key in self._served if (key[0], key[2]) == (group, plural)]:
            del self._served[key]

    def restore(self, group: str, plural: str) -> None:
        """Serve the builtin kind again that a definition stood in front of, if there is one."""
        for resource in _builtin():
            if (resource.kind.group, resource.kind.plural) == (group, plural):
                self.add(resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._served.values()))


def from_definition(definition: dict[str, Any]) -> list[Resource]:
    """The resources that a CustomResourceDefinition asks for, one a served version."""
    spec = definition["spec"]
    names = spec["names"]
    versions = spec["versions"]
    namespaced = spec["scope"] == "Namespaced"

    def kind(version: str) -> Kind:
        return Kind(spec["group"], version, names["kind"], names["plural"], namespaced)

    stored = kind(next(v["name"] for v in versions if v.get("storage")))
    return [
        Resource(
            kind=kind(version["name"]),
            stored=stored,
            short=tuple(names.get("shortNames") or ()),
            status="status" in (version.get("subresources") or {}),
            generation=True,
            custom=True,
            unconditional=False,
            columns=tuple(version.get("additionalPrinterColumns") or ()),
        )
        for version in versions
        if version.get("served")
    ]


def _builtin() -> Iterator[Resource]:
    aliases = {(plural, stored): served for plural, served, stored in _ALIASES}
    for line in _BUILTIN.split("\n"):
        if not line:
            continue
        version, name, plural, short, habits = line.split()
        resource = _row(version, version, name, plural, short, habits)
        yield resource
        alias = aliases.get((plural, version), _KUEUE_ALIAS[0] if version == _KUEUE_ALIAS[1] else None)
        if alias:
            yield _row(alias, version, name, plural, short, habits)


def _row(served: str, stored: str, name: str, plural: str, short: str, habits: str) -> Resource:
    def kind(api: str) -> Kind:
        group, _, version = api.rpartition("/")
        return Kind(group, version, name, plural, "n" in habits)

    return Resource(
        kind=kind(served),
        stored=kind(stored),
        short=() if short == "-" else tuple(short.split(",")),
        status="s" in habits,
        generation="g" in habits,
        custom="c" in habits,
        unconditional="r" not in habits,
    )
