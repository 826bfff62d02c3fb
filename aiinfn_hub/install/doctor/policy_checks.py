"""The walls of the namespace: admission policies, Pod Security, network policies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiinfn_hub.install import policies
from aiinfn_hub.install.doctor.compare import specs
from aiinfn_hub.install.doctor.facts import Facts, Named, Object, at, labels, named
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.install.doctor.queue_checks import mend

KINDS = {
    "policies": "ValidatingAdmissionPolicy",
    "policy bindings": "ValidatingAdmissionPolicyBinding",
    "network policies": "NetworkPolicy",
}
_ENFORCE = "pod-security.kubernetes.io/enforce"


def _pairs(facts: Facts, part: str) -> Iterator[tuple[Object, Object | None]]:
    def key(obj: Object) -> tuple[str, str]:
        return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]

    there = {key(one): one for one in facts.of(part)}
    for wanted in policies.objects(facts.platform) if facts.platform else ():
        if wanted["kind"] == KINDS[part]:
            yield wanted, there.get(key(wanted))


def _missing(part: str) -> Callable[[Facts], Iterator[Seen]]:
    def look(facts: Facts) -> Iterator[Seen]:
        for wanted, found in _pairs(facts, part):
            if found is None:
                yield Seen(f"{named(KINDS[part], wanted)}: is not there", facts.render("policies"))

    return look


def _differ(part: str) -> Callable[[Facts], Iterator[Seen]]:
    def look(facts: Facts) -> Iterator[Seen]:
        for wanted, found in _pairs(facts, part):
            who = named(KINDS[part], wanted)
            for one in specs(wanted, found) if found else ():
                if one.path[:2] != ("spec", "validationActions"):
                    yield Seen(f"{who}: {one}", mend(who, one, facts.render("policies")))

    return look


def _lenient(facts: Facts) -> Iterator[Seen]:
    for wanted, found in _pairs(facts, "policy bindings"):
        actions = at(found, "spec", "validationActions") or []
        if found and "Deny" not in actions:
            who = named(KINDS["policy bindings"], wanted)
            yield Seen(
                f"{who}: spec.validationActions is {actions}",
                who.kubectl("patch", "--type merge", '--patch \'{"spec": {"validationActions": ["Deny"]}}\''),
            )


def _no_namespace(facts: Facts) -> Iterator[Seen]:
    there = {one["metadata"]["name"] for one in facts.of("namespaces")}
    for name in (facts.namespace, facts.system_namespace):
        if name not in there:
            yield Seen(f"Namespace {name}: is not there", facts.render("policies"))


def _unrestricted(facts: Facts) -> Iterator[Seen]:
    for namespace in facts.of("namespaces"):
        level = labels(namespace).get(_ENFORCE, "absent")
        if namespace["metadata"]["name"] == facts.namespace and level != "restricted":
            yield Seen(
                f"Namespace {facts.namespace}: metadata.labels[{_ENFORCE}] is {level}",
                Named("Namespace", facts.namespace).kubectl("label", "--overwrite", f"{_ENFORCE}=restricted"),
            )


def _check(code: str, says: str, *reads: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Policies", says=says, reads=reads, look=look, **more)


CHECKS = (
    _check("namespace-missing", "Nothing can run: its namespace is not there.", "namespaces", look=_no_namespace),
    _check(
        "pod-security-missing",
        "A session may be made that is root on its node, and so reads what everybody else on it does.",
        "namespaces",
        look=_unrestricted,
    ),
    _check(
        "policies-missing",
        "Whoever gets hold of an account of the platform can run anything in the namespace, as anybody.",
        "policies",
        look=_missing("policies"),
        compares=True,
    ),
    _check(
        "policies-unbound",
        "The policy is there and nobody is held to it.",
        "policy bindings",
        look=_missing("policy bindings"),
        compares=True,
    ),
    _check(
        "policies-not-denying",
        "The policy complains and lets everything through.",
        "policy bindings",
        look=_lenient,
        compares=True,
    ),
    _check(
        "policies-differ",
        "The policy judges by other images, activities and flavours than the platform file has: what is new there is "
        "refused, and what has left it is allowed.",
        "policies",
        "policy bindings",
        look=lambda facts: [*_differ("policies")(facts), *_differ("policy bindings")(facts)],
        compares=True,
    ),
    _check(
        "network-policies-missing",
        "Sessions and jobs reach each other, the nodes and the private networks of the site.",
        "network policies",
        look=_missing("network policies"),
        compares=True,
    ),
    _check(
        "network-policies-differ",
        "Sessions and jobs reach more than they should, or not what they need.",
        "network policies",
        look=_differ("network policies"),
        compares=True,
    ),
)
