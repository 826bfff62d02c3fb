"""Who may do what: the shipped accounts, roles and bindings, and what else is bound to those accounts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

from aiinfn_hub.install import rbac
from aiinfn_hub.install.doctor.compare import specs
from aiinfn_hub.install.doctor.facts import Facts, Named, Object, at, labels, named
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.install.doctor.queue_checks import mend

#: Part -> kind of its objects.
KINDS = {
    "accounts": "ServiceAccount",
    "roles": "Role",
    "role bindings": "RoleBinding",
    "cluster roles": "ClusterRole",
    "cluster role bindings": "ClusterRoleBinding",
}
_ROLES, _BINDINGS = ("roles", "cluster roles"), ("role bindings", "cluster role bindings")
#: Kubernetes' own: discovery, and what a controller of it may do.
_BUILT_IN = ("kubernetes.io/bootstrapping", "rbac-defaults")
#: What makes a role the key to everything: to read any Secret, and to act as any account.
_KEYS = (("secrets", ("get", "list", "watch", "*")), ("serviceaccounts/token", ("create", "*")))
#: Group of the API, resource, verb, and the object's name ("" for all).
Right = tuple[str, str, str, str]


def granted(role: Object) -> set[Right]:
    """The single rights of a role."""
    found: set[Right] = set()
    for rule in role.get("rules") or ():
        parts = (rule.get("apiGroups", ()), rule.get("resources", ()), rule.get("verbs", ()))
        found.update(product(*parts, rule.get("resourceNames") or ("",)))
    return found


def _allows(rights: Iterable[Right], right: Right) -> bool:
    group, resource, verb, name = right
    return any(
        one[0] in (group, "*") and one[1] in (resource, "*") and one[2] in (verb, "*") and one[3] in (name, "")
        for one in rights
    )


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _pairs(facts: Facts, part: str) -> Iterator[tuple[Object, Object | None]]:
    there = {_key(one): one for one in facts.of(part)}
    for wanted in rbac.objects(facts.platform) if facts.platform else ():
        if wanted["kind"] == KINDS[part]:
            yield wanted, there.get(_key(wanted))


def _missing(facts: Facts) -> Iterator[Seen]:
    for part, kind in KINDS.items():
        for wanted, found in _pairs(facts, part):
            if found is None:
                yield Seen(f"{named(kind, wanted)}: is not there", facts.render("rbac"))


def _words(rights: Iterable[Right]) -> str:
    texts = [
        f"{verb} {resource}{'.' + group if group else ''}{' ' + name if name else ''}"
        for group, resource, verb, name in sorted(rights)
    ]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")


def _narrower(facts: Facts) -> Iterator[Seen]:
    for part in _ROLES:
        for wanted, found in _pairs(facts, part):
            rights = granted(found) if found else set()
            lacking = [right for right in granted(wanted) if not _allows(rights, right)]
            if found and lacking:
                yield Seen(f"{named(KINDS[part], wanted)}: rules lack {_words(lacking)}", facts.render("rbac"))


def _wider(facts: Facts) -> Iterator[Seen]:
    for part in _ROLES:
        for wanted, found in _pairs(facts, part):
            shipped = granted(wanted)
            more = [right for right in granted(found or {}) if not _allows(shipped, right)]
            if more:
                yield Seen(f"{named(KINDS[part], wanted)}: rules also give {_words(more)}", facts.render("rbac"))


def _unbound(facts: Facts) -> Iterator[Seen]:
    for part in _BINDINGS:
        for wanted, found in _pairs(facts, part):
            who = named(KINDS[part], wanted)
            for one in specs(wanted, found, ("roleRef", "subjects")) if found else ():
                # What a binding refers to cannot be changed.
                again = f"{who.kubectl('delete')} && " if one.path[0] == "roleRef" else ""
                yield Seen(f"{who}: {one}", again + mend(who, one, facts.render("rbac")))


def _accounts(facts: Facts) -> set[tuple[str, str]]:
    """Namespace and name of the accounts that have the shipped rights, and of the one that pods get."""
    nodes = rbac.kubelet_nodes(facts.platform) if facts.platform else []
    return {
        (facts.system_namespace, rbac.HUB),
        (facts.system_namespace, rbac.SERVICE),
        (facts.namespace, "default"),
        *((rbac.SITES_NAMESPACE, node) for node in nodes),
    }


def _theirs(facts: Facts, subject: Object) -> bool:
    """Whether a subject is one of our accounts, or a group that all of a namespace are in."""
    accounts = _accounts(facts)
    kind, name = subject.get("kind"), str(subject.get("name", ""))
    if kind == "ServiceAccount":
        return (subject.get("namespace", ""), name) in accounts
    if kind == "User":
        return name in {f"system:serviceaccount:{namespace}:{one}" for namespace, one in accounts}
    return name in {"system:serviceaccounts", *(f"system:serviceaccounts:{namespace}" for namespace, _ in accounts)}


def _foreign(facts: Facts) -> Iterator[tuple[Named, Object]]:
    """Bindings that are neither shipped nor Kubernetes' own."""
    shipped = {(one["kind"], *_key(one)) for one in (rbac.objects(facts.platform) if facts.platform else ())}
    for part in _BINDINGS:
        for binding in facts.of(part):
            own = labels(binding).get(_BUILT_IN[0]) == _BUILT_IN[1]
            if not own and (KINDS[part], *_key(binding)) not in shipped:
                yield named(KINDS[part], binding), binding


def _elsewhere(facts: Facts) -> Iterator[Seen]:
    stock = {who for who, _ in _stock_bindings(facts)}
    for who, binding in _foreign(facts):
        for index, subject in enumerate(binding.get("subjects") or ()):
            if _theirs(facts, subject) and who not in stock:
                account = f"{subject['kind']} {subject.get('namespace', '')}/{subject['name']}".replace(" /", " ")
                role = f"{at(binding, 'roleRef', 'kind')} {at(binding, 'roleRef', 'name')}"
                yield Seen(f"{who}: subjects[{index}] is {account}, roleRef is {role}", who.kubectl("delete"))


def _stock_bindings(facts: Facts) -> Iterator[tuple[Named, str]]:
    """Bindings of accounts of the sites to a role that opens everything, and what it opens."""
    roles = {one["metadata"]["name"]: granted(one) for one in facts.of("cluster roles")}
    for who, binding in _foreign(facts):
        role = at(binding, "roleRef", "name")
        if who.kind != "ClusterRoleBinding" or not any(_of_a_site(one) for one in binding.get("subjects") or ()):
            continue
        opened = [
            f"{verb} {resource}"
            for resource, verbs in _KEYS
            for verb in verbs
            if verb != "*" and _allows(roles.get(role, ()), ("", resource, verb, ""))
        ]
        if opened:
            yield who, f"roleRef is ClusterRole {role}, which gives {', '.join(opened)} in every namespace"


def _of_a_site(subject: Object) -> bool:
    return subject.get("kind") == "ServiceAccount" and subject.get("namespace") == rbac.SITES_NAMESPACE


def _stock(facts: Facts) -> Iterator[Seen]:
    for who, what in _stock_bindings(facts):
        yield Seen(f"{who}: {what}", who.kubectl("delete"))


def _check(code: str, says: str, *reads: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Rights", says=says, reads=reads, look=look, **more)


CHECKS = (
    _check(
        "rights-missing",
        "The hub, the service or a site cannot do its work: sessions do not start, or jobs do not end.",
        *KINDS,
        look=_missing,
        compares=True,
    ),
    _check(
        "rights-narrower",
        "The hub, the service or a site is refused what it needs; people see it as an error of the platform.",
        *_ROLES,
        look=_narrower,
        compares=True,
    ),
    _check(
        "rights-wider",
        "Whoever gets hold of the account can do more to people than the platform itself does.",
        *_ROLES,
        look=_wider,
        compares=True,
    ),
    _check(
        "rights-unbound",
        "A binding is not as shipped: the account lacks its rights, or somebody else has them.",
        *_BINDINGS,
        look=_unbound,
        compares=True,
    ),
    _check(
        "rights-elsewhere",
        "Something beside the platform gives rights to its accounts, or to the one that every session has.",
        *_BINDINGS,
        "cluster roles",
        look=_elsewhere,
        compares=True,
    ),
    _check(
        "site-reads-secrets",
        "Whoever runs the site can read every Secret of the cluster or become any account: so interLink's chart.",
        *_BINDINGS,
        "cluster roles",
        look=_stock,
    ),
)
