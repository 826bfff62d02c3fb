"""The admission policies as objects: what they look at, and that every rule has an attack. `attacks.py` is tried on a
real API server, because nothing else evaluates CEL as it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from install.attacks import ATTACKS, WORK, Attack
from support.hubfakes import FakeUser, in_groups, make_spawner, manifest_of
from support.offload import order, request
from support.small_platform import small_platform

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.install import changes, pod_rules, policies, rbac
from aiinfn_hub.offload.manifest import GATED_BY, job_manifest
from aiinfn_hub.pods import names

SMALL, SHIPPED = small_platform(), load_platform(example_path())
#: With a flavour that has a capability, whose label and profile `attacks.py` tries on others.
EXAMPLE = SHIPPED.model_copy(
    update={
        "flavours": tuple(
            one.model_copy(update={"capabilities": ("user-namespaces",)} if one.name == "u55c" else {})
            for one in SHIPPED.flavours
        )
    }
)
Object = dict[str, Any]


def of_kind(kind: str, platform: Platform = EXAMPLE) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in policies.objects(platform) if one["kind"] == kind}


POLICIES = of_kind("ValidatingAdmissionPolicy")
RULES = [(name, validation) for name, one in POLICIES.items() for validation in one["spec"]["validations"]]


@pytest.mark.parametrize("platform", [SMALL, EXAMPLE, small_platform(sites=[], volumes=[])], ids=["s", "e", "bare"])
def test_the_objects_are_what_kubernetes_takes(platform: Platform) -> None:
    for one in policies.objects(platform):
        kubernetes_validate.validate(one, "1.36", strict=True)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_bound_to_the_namespace_and_refuses_when_it_fails(name: str) -> None:
    spec = of_kind("ValidatingAdmissionPolicyBinding")[name]["spec"]
    assert spec["policyName"] == name
    assert spec["validationActions"] == ["Deny"]
    selector = spec["matchResources"]["namespaceSelector"]["matchLabels"]
    assert selector == {"kubernetes.io/metadata.name": EXAMPLE.namespace}
    assert POLICIES[name]["spec"]["failurePolicy"] == "Fail"
    # For any requester: no condition lets anybody pass by.
    assert "matchConditions" not in POLICIES[name]["spec"]


@pytest.mark.parametrize(
    ("operation", "group", "resource"),
    [
        ("CREATE", "", "pods"),
        ("UPDATE", "", "pods"),
        ("UPDATE", "", "pods/status"),
        ("UPDATE", "", "pods/ephemeralcontainers"),
        ("UPDATE", "", "pods/resize"),
        ("DELETE", "", "pods"),
        ("CREATE", "batch", "jobs"),
        ("UPDATE", "batch", "jobs"),
        ("UPDATE", "batch", "jobs/status"),
    ],
)
def test_every_way_to_a_pod_is_looked_at(operation: str, group: str, resource: str) -> None:
    seen = [
        name
        for name, one in POLICIES.items()
        for rule in one["spec"]["matchConstraints"]["resourceRules"]
        if operation in rule["operations"] and group in rule["apiGroups"] and resource in rule["resources"]
    ]
    assert len(seen) == 1


@pytest.mark.parametrize(("name", "validation"), RULES, ids=[f"{n}-{v['message'][:30]}" for n, v in RULES])
def test_a_rule_says_what_is_wrong_and_names_it(name: str, validation: Object) -> None:
    assert validation["message"].endswith(".")
    (variable,) = set(re.findall(r"variables\.(\w+)", validation["messageExpression"]))
    assert f"size(variables.{variable}) == 0" == validation["expression"]


@pytest.mark.parametrize("name", POLICIES)
def test_a_variable_is_made_before_it_is_used_and_used_when_it_is_made(name: str) -> None:
    spec = POLICIES[name]["spec"]
    known: list[str] = []
    for variable in spec["variables"]:
        assert set(re.findall(r"variables\.(\w+)", variable["expression"])) <= set(known), variable["name"]
        known.append(variable["name"])
    assert len(set(known)) == len(known)
    text = str(spec)
    assert [one for one in known if f"variables.{one}" not in text] == []


#: Which policy judges an attack of a kind.
JUDGES = {
    "session": policies.PODS,
    "job": policies.JOBS,
    "job pod": policies.PODS,
    "session change": policies.POD_CHANGES,
    "session status": policies.POD_CHANGES,
    "session ephemeralcontainers": policies.DOORS,
    "session resize": policies.DOORS,
    "session delete": policies.POD_ENDS,
    "site pod status": policies.POD_CHANGES,
    "site pod delete": policies.POD_ENDS,
    "job change": policies.JOB_CHANGES,
}


def refuses(validation: Object, attack: Attack) -> bool:
    """Whether the words of the attack may be those of the rule: the text after ": " is what it found."""
    sentence = validation["message"][:-1] + ": "
    starts = (attack.words.find(": ") + 2, len(attack.words))
    return any(attack.words[:end] and attack.words[:end] in sentence for end in starts)


@pytest.mark.parametrize(("name", "validation"), RULES, ids=[f"{n}-{v['message'][:30]}" for n, v in RULES])
def test_every_rule_has_an_attack(name: str, validation: Object) -> None:
    variable = validation["expression"].split(".")[1].split(")")[0]
    made = next(one["expression"] for one in POLICIES[name]["spec"]["variables"] if one["name"] == variable)
    mine = [attack for attack in ATTACKS if JUDGES[attack.kind] == name]
    # Words that name what is wrong, and not the sentence, are in the rule itself.
    assert any(refuses(validation, attack) or attack.words.split(": ")[-1] in made for attack in mine)


def test_attacks_are_told_apart() -> None:
    ids = [attack.id for attack in (*ATTACKS, *WORK)]
    assert len(set(ids)) == len(ids)
    assert {attack.kind for attack in (*ATTACKS, *WORK)} == set(JUDGES)


async def good(folder: Path) -> dict[str, Object]:
    """A session and a job of the example platform, with everything that they can have."""
    (folder / "platform.yaml").write_text(example_path().read_text())
    user = FakeUser(groups=in_groups("/aiinfn", "/aiinfn/lhcb-flashsim"))
    session = await manifest_of(make_spawner(folder, user=user))
    return {"session": session, "job": job_manifest(EXAMPLE, order(request(token=True)))}


@pytest.mark.asyncio
@pytest.mark.usefixtures("nowhere")
async def test_an_attack_changes_a_good_manifest_and_leaves_that_alone(tmp_path: Path) -> None:
    manifests = await good(tmp_path)
    # As `attacks.py` wants a session that is there.
    manifests["session"]["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}, {"name": names.GATE}]
    manifests["session"]["metadata"]["labels"]["kueue.x-k8s.io/managed"] = "true"
    manifests["session"]["metadata"]["finalizers"] = ["kueue.x-k8s.io/managed"]
    for attack in ATTACKS:
        before = manifests["job" if attack.kind.startswith("job") else "session"]
        copy = str(before)
        same = attack.on(before) == before
        assert same == (attack.change.__name__ == "nothing"), attack.id
        assert str(before) == copy, attack.id


@pytest.mark.asyncio
@pytest.mark.usefixtures("nowhere")
async def test_every_annotation_that_our_manifests_have_is_on_the_list(tmp_path: Path) -> None:
    manifests = await good(tmp_path)
    job = manifests["job"]
    pods = [manifests["session"]["metadata"], job["spec"]["template"]["metadata"]]
    known = {*pod_rules.OURS, GATED_BY}
    for metadata in (*pods, job["metadata"]):
        for key in metadata["annotations"]:
            assert key in known or key.startswith(pod_rules.THEIRS), key
    ours = {key for metadata in pods for key in metadata["annotations"] if key.startswith(names.PREFIX)}
    assert ours == set(pod_rules.OURS)


@pytest.mark.asyncio
@pytest.mark.usefixtures("nowhere")
async def test_every_label_that_says_who_pays_is_fixed(tmp_path: Path) -> None:
    manifests = await good(tmp_path)
    found = {*manifests["session"]["metadata"]["labels"], *manifests["job"]["metadata"]["labels"]}
    ours = {key for key in found if key.startswith((names.PREFIX, pod_rules.KUEUE_PREFIX))}
    assert ours < set(changes.FIXED)
    assert set(changes.FIXED) - ours == {"kueue.x-k8s.io/managed"}


@pytest.mark.parametrize(
    ("key", "guarded"),
    [
        ("slurm-job.vk.io/flags", True),
        ("fuse.vk.io/home", True),
        ("job.vk.io/x", True),
        ("slurm-job.knoc.io/flags", True),
        ("htcondor-job.knoc.io/image-root", True),
        ("interlink.eu/wstunnel-client-commands", True),
        ("interlink.io/remote-pvc", True),
        ("interlink.virtual-kubelet.io/wstunnel-timeout", True),
        ("virtual-node.interlink/x", True),
        ("JobID", True),
        ("aiinfn.infn.it/person-name", True),
        ("kueue.x-k8s.io/workload", True),
        ("cni.projectcalico.org/podIP", False),
        ("k8s.ovn.org/pod-networks", False),
        ("kubectl.kubernetes.io/last-applied-configuration", False),
        ("notvk.io/x", False),
    ],
)
def test_what_sites_obey_is_guarded_and_what_networks_note_is_not(key: str, guarded: bool) -> None:
    assert bool(re.search(changes.GUARDED, key)) is guarded


def test_the_namespace_holds_pods_to_the_restricted_standard() -> None:
    namespaces = of_kind("Namespace")
    assert list(namespaces) == ["aiinfn-system", "aiinfn"]
    labels = namespaces["aiinfn"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_account_of_every_pod_has_no_token_and_no_role() -> None:
    account = of_kind("ServiceAccount")["default"]
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["namespace"] == "aiinfn"
    assert "default" not in [subject["name"] for one in rbac.objects(EXAMPLE) for subject in one.get("subjects", ())]


def test_the_lists_are_those_of_the_platform_file() -> None:
    text = str(of_kind("ValidatingAdmissionPolicy", SMALL)[policies.PODS])
    for image in SMALL.images:
        assert image.ref in text
    for claim in ("homes", "shares", "cvmfs"):
        assert f"|{claim}" in text
    assert "volume-home|home/" in text
    assert "s3-public" in text
    assert "quay.io" not in text
    assert policies.objects(SMALL) == policies.objects(SMALL)
