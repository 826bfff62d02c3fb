"""The manifest that a session gets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes_validate
import pytest
from support.hubfakes import TOKEN, FakeUser, in_groups, make_spawner, manifest_of, write_platform
from support.small_platform import FLAVOURS, IMAGES, POSIX, VOLUMES
from traitlets import TraitError

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.hub.refusal import Refusal
from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.identity.uids import Uids
from aiinfn_hub.pods import names
from aiinfn_hub.pods.folders import COMMAND

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]

OPTIONS = [
    pytest.param({}, id="nothing chosen"),
    pytest.param({"flavour": "t4", "cpu": "4", "memory": "8Gi"}, id="a whole card"),
    pytest.param({"flavour": "a100-1g.5gb", "environment": "image:root"}, id="a slice"),
    pytest.param({"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1", "volumes": ["cvmfs", "s3"]}, id="Apptainer"),
]


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = manifest["spec"]["containers"]
    return dict(only)


def required(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    affinity = manifest["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    return [{expression["key"]: expression["values"] for expression in term["matchExpressions"]} for term in terms]


@pytest.mark.parametrize("options", OPTIONS)
async def test_the_manifest_is_what_kubernetes_takes(tmp_path: Path, options: dict[str, Any]) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, options=options))
    kubernetes_validate.validate(manifest, "1.34", strict=True)


@pytest.mark.parametrize("options", OPTIONS)
async def test_the_pod_meets_the_restricted_security_standard(tmp_path: Path, options: dict[str, Any]) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, options=options))
    spec, context = manifest["spec"], container(manifest)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsGroup"] == 20001
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "initContainers"))
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not context.get("privileged")
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} <= {
        "persistentVolumeClaim",
        "emptyDir",
        "secret",
    }


@pytest.mark.parametrize("options", OPTIONS)
async def test_nothing_secret_stands_in_the_manifest(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "hub-key").write_text("the-hubs-key")
    manifest = await manifest_of(make_spawner(tmp_path, options=options, service_url="http://svc:8001/services/aiinfn"))
    assert TOKEN not in str(manifest)
    assert "the-hubs-key" not in str(manifest)
    env = {variable["name"]: variable for variable in container(manifest)["env"]}
    assert env["JUPYTERHUB_API_TOKEN"]["valueFrom"] == {
        "secretKeyRef": {"name": "jupyter-mrossi-token", "key": "token"}
    }
    assert "JPY_API_TOKEN" not in env


async def test_the_session_knows_where_the_service_and_its_home_are(tmp_path: Path) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, service_url="http://svc:8001/services/aiinfn"))
    env = {variable["name"]: variable.get("value") for variable in container(manifest)["env"]}
    assert env["AIINFN_SERVICE_URL"] == "http://svc:8001/services/aiinfn"
    assert env["HOME"] == container(manifest)["workingDir"] == "/home/jovyan"
    assert (env["CPU_LIMIT"], env["MEM_LIMIT"]) == ("1.0", str(4 * 1024**3))


async def test_requests_equal_limits(tmp_path: Path) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, options={"flavour": "t4", "cpu": "4", "memory": "8Gi"}))
    expected = {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert container(manifest)["resources"] == {"requests": expected, "limits": expected}


async def test_the_chosen_accelerator_is_required(tmp_path: Path) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, options={"flavour": "a100-1g.5gb"}))
    assert required(manifest) == [{"nvidia.com/gpu.product": ["NVIDIA-A100-PCIE-40GB"], "zone": ["one"]}]
    assert manifest["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "aiinfn.infn.it/site", "operator": "Equal", "value": "local", "effect": "NoSchedule"},
        {"key": "reserved", "operator": "Equal", "value": "lhcb"},
    ]


async def test_a_session_is_labelled_for_queue_ledger_and_reflector(tmp_path: Path) -> None:
    user = FakeUser("M_Rossi", groups=in_groups("/aiinfn/cms"))
    manifest = await manifest_of(make_spawner(tmp_path, user=user, server="lab", options={"flavour": "t4"}))
    labels, annotations = manifest["metadata"]["labels"], manifest["metadata"]["annotations"]
    assert labels[names.KIND] == "session"
    assert (labels[names.ACTIVITY], labels[names.FLAVOUR]) == ("cms", "t4")
    assert labels[names.PERSON] == names.slug("M_Rossi")
    assert (labels[names.QUEUE], labels[names.PRIORITY]) == ("cms-interactive", "interactive")
    assert labels["component"] == "singleuser-server"
    assert (annotations[names.PERSON_NAME], annotations[names.SERVER]) == ("M_Rossi", "lab")
    assert (annotations[names.ACTIVITY_REASON], annotations[names.LIFETIME]) == ("the only one", "28800")


@pytest.mark.parametrize("name", ["{username}", "a{b", "{0}", "x}{pod_name}"])
async def test_a_name_with_braces_is_no_template(tmp_path: Path, name: str) -> None:
    user = FakeUser(name, groups=in_groups("/aiinfn/lhcb"))
    manifest = await manifest_of(make_spawner(tmp_path, user=user))
    assert manifest["metadata"]["annotations"][names.PERSON_NAME] == name


async def test_without_kueue_nothing_asks_for_a_queue_or_waits_in_one(tmp_path: Path) -> None:
    gate: dict[str, Any] = {"schedulingGates": [{"name": "example.org/theirs"}]}
    manifest = await manifest_of(make_spawner(tmp_path, queued=False, extra_pod_config=gate))
    assert not {names.QUEUE, names.PRIORITY} & set(manifest["metadata"]["labels"])
    assert manifest["spec"]["schedulingGates"] == gate["schedulingGates"], "what the operator configured stays"


async def test_storage_is_that_of_the_person_and_the_activity(tmp_path: Path) -> None:
    manifest = await manifest_of(make_spawner(tmp_path, options={"volumes": []}))
    mounts = {mount["mountPath"]: mount.get("subPath") for mount in container(manifest)["volumeMounts"]}
    assert mounts == {"/home/jovyan": "home/mrossi", "/shared": "shared/lhcb", "/scratch": None}


async def test_a_session_is_told_what_it_may_write_to_and_whom_to_ask(tmp_path: Path) -> None:
    volumes = [one | {"contact": "the {storage} team"} for one in VOLUMES]  # KubeSpawner fills braces in
    write_platform(tmp_path / "platform.yaml", volumes=volumes)
    manifest = await manifest_of(make_spawner(tmp_path, options={"volumes": []}))
    variables = {one["name"]: one.get("value") for one in container(manifest)["env"]}
    told = json.loads(variables["AIINFN_VOLUMES"])
    assert [(one["mount"], one["contact"]) for one in told] == [
        (path, "the {storage} team") for path in ("/home/jovyan", "/shared", "/scratch")
    ]


async def test_an_apptainer_session_runs_the_server_inside_the_image(tmp_path: Path) -> None:
    options = {"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1", "flavour": "t4"}
    manifest = await manifest_of(make_spawner(tmp_path, options=options))
    args = container(manifest)["args"]
    assert args[3:5] == ["unpacked", "/cvmfs/unpacked.infn.it/x:1"]
    assert args[args.index("inside") + 1] == "jupyterhub-singleuser"
    assert container(manifest)["image"] == "ghcr.io/infn/box:1"


async def test_a_flavour_with_the_capability_runs_apptainer_itself_and_says_so_to_the_second_wall(
    tmp_path: Path,
) -> None:
    flavours = [one | {"capabilities": ["user-namespaces"]} for one in FLAVOURS]
    carrier = {"name": "sif", "title": "Carrier", "ref": "ghcr.io/infn/sif:1", "labels": {"apptainer": "1.4"}}
    write_platform(tmp_path / "platform.yaml", flavours=flavours, images=[*IMAGES, carrier])
    options = {"environment": "apptainer:/cvmfs/unpacked.infn.it/x.sif", "flavour": "t4"}
    manifest = await manifest_of(make_spawner(tmp_path, options=options))
    args = container(manifest)["args"]
    assert (args[:2], "--nv" in args) == (["apptainer", "exec"], True)
    assert args[args.index("/cvmfs/unpacked.infn.it/x.sif") + 1] == "jupyterhub-singleuser"
    profile = {"type": "Localhost", "localhostProfile": "aiinfn/user-namespaces.json"}
    assert container(manifest)["securityContext"]["seccompProfile"] == profile
    assert manifest["metadata"]["labels"][names.CAPABILITY] == "user-namespaces"


async def test_the_next_start_keeps_nothing_of_the_last_one(tmp_path: Path) -> None:
    configured = {
        "volumes": [{"name": "extra", "emptyDir": {}}],
        "tolerations": [{"key": "hub.jupyter.org/dedicated", "operator": "Exists"}],
        "extra_labels": {"hub.jupyter.org/network-access-hub": "true"},
        "extra_pod_config": {"dnsPolicy": "Default"},
    }
    spawner = make_spawner(tmp_path, **configured)
    first = await manifest_of(spawner)
    spawner.user_options = {
        "flavour": "a100-1g.5gb",
        "volumes": ["cvmfs"],
        "environment": "apptainer:/cvmfs/unpacked.infn.it/x:1",
    }
    await manifest_of(spawner)
    spawner.user_options = {}
    again = await manifest_of(spawner)
    start = first["metadata"]["annotations"].pop("aiinfn.infn.it/start")
    assert again["metadata"]["annotations"].pop("aiinfn.infn.it/start") != start
    assert again == first
    assert again["spec"]["dnsPolicy"] == "Default"
    assert again["metadata"]["labels"]["hub.jupyter.org/network-access-hub"] == "true"
    assert again["spec"]["volumes"][0]["name"] == "extra"


async def test_terms_of_the_operator_hold_beside_those_of_the_flavour(tmp_path: Path) -> None:
    # Kubernetes takes terms as alternatives: appended, "any user node" would undo "only a T4".
    purpose = [{"matchExpressions": [{"key": "purpose", "operator": "In", "values": ["user"]}]}]
    spawner = make_spawner(tmp_path, options={"flavour": "t4"}, node_affinity_required=purpose)
    manifest = await manifest_of(spawner)
    assert required(manifest) == [{"purpose": ["user"], "nvidia.com/gpu.product": ["Tesla-T4"]}]


async def test_the_platforms_namespace_is_the_default(tmp_path: Path) -> None:
    assert make_spawner(tmp_path).namespace == "aiinfn"
    assert make_spawner(tmp_path, namespace="elsewhere").namespace == "elsewhere"


async def test_a_change_of_the_platform_file_counts_from_the_next_start(tmp_path: Path) -> None:
    spawner = make_spawner(tmp_path, options={"flavour": "u55c"})
    with pytest.raises(Refusal):
        await manifest_of(spawner)
    write_platform(tmp_path / "platform.yaml", flavours=[{**one, "activities": []} for one in FLAVOURS])
    spawner.user_options = {"flavour": "u55c"}
    assert (await manifest_of(spawner))["metadata"]["labels"][names.FLAVOUR] == "u55c"


# Refusals


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        pytest.param({"flavour": "t40"}, 400, "Did you mean 't4'", id="an unknown flavour, V9"),
        pytest.param({"flavour": "u55c"}, 403, "/aiinfn/fpga", id="a flavour of another group"),
        pytest.param({"profile": "gpu"}, 400, "There is no option 'profile'", id="KubeSpawner's own options"),
        pytest.param({"environment": "registry:ghcr.io/infn/x:1@evil.example/y --foo"}, 400, "", id="an image, V8"),
        pytest.param({"image": "evil.example/x"}, 400, "There is no option", id="a trait's name"),
    ],
)
async def test_rest_gets_a_sentence_and_no_server_error(
    tmp_path: Path, options: dict[str, Any], status: int, says: str
) -> None:
    with pytest.raises(Refusal) as refused:
        await manifest_of(make_spawner(tmp_path, options=options))
    assert refused.value.status_code == status
    assert says in refused.value.jupyterhub_message
    assert isinstance(refused.value.__cause__, AiinfnError)


async def test_somebody_without_any_activity_starts_nothing(tmp_path: Path) -> None:
    spawner = make_spawner(tmp_path, user=FakeUser(groups=in_groups("/aiinfn")))
    with pytest.raises(Refusal, match="in no activity") as refused:
        await manifest_of(spawner)
    assert refused.value.status_code == 403


async def test_groups_are_read_at_every_start(tmp_path: Path) -> None:
    user = FakeUser(groups=in_groups("aiinfn/fpga"))
    spawner = make_spawner(tmp_path, user=user, options={"flavour": "u55c"})
    assert (await manifest_of(spawner))["metadata"]["labels"][names.ACTIVITY] == "fpga"
    user.groups = in_groups("aiinfn/lhcb")
    spawner.user_options = {"flavour": "u55c"}
    with pytest.raises(Refusal, match="not open to you"):
        await manifest_of(spawner)


async def test_a_choice_that_cannot_be_used_does_not_come_back_by_itself(tmp_path: Path) -> None:
    spawner = make_spawner(tmp_path, options={"flavour": "v100", "cpu": "4", "odd": "x"})
    with pytest.raises(Refusal):
        await manifest_of(spawner)
    assert spawner.orm_spawner.user_options == {"cpu": "4"}


async def test_one_more_session_than_the_flavour_allows_is_refused(tmp_path: Path) -> None:
    user = FakeUser(groups=in_groups("/aiinfn/lhcb"))
    other = make_spawner(tmp_path, user=user, server="other", options={"flavour": "t4"})
    other._spawn_pending = True
    with pytest.raises(Refusal, match="1 of 1") as refused:
        await manifest_of(make_spawner(tmp_path, user=user, options={"flavour": "t4"}))
    assert refused.value.status_code == 429


async def test_a_server_that_does_not_run_holds_nothing(tmp_path: Path) -> None:
    user = FakeUser(groups=in_groups("/aiinfn/lhcb"))
    make_spawner(tmp_path, user=user, server="other", options={"flavour": "t4"})
    assert await manifest_of(make_spawner(tmp_path, user=user, options={"flavour": "t4"}))


# Configuration


async def test_a_profile_list_is_refused_when_the_hub_starts(tmp_path: Path) -> None:
    with pytest.raises(TraitError, match="platform file"):
        make_spawner(tmp_path, profile_list=[{"display_name": "x"}])


async def test_a_platform_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraitError, match=r"nowhere\.yaml"):
        make_spawner(tmp_path, platform_file=str(tmp_path / "nowhere.yaml"))


def own_traits() -> list[str]:
    return [name for name, trait in AiinfnSpawner.class_own_traits().items() if trait.metadata.get("config")]


async def test_there_are_few_traits_and_each_explains_itself() -> None:
    assert len(own_traits()) <= 10
    for name in own_traits():
        assert len(AiinfnSpawner.class_traits()[name].help) > 40, name


async def test_the_traps_of_the_defaults_are_avoided(tmp_path: Path) -> None:
    spawner = make_spawner(tmp_path)
    assert spawner.k8s_api_request_timeout >= 30  # 3 s: the retry deletes the pod that the first request made
    assert spawner.k8s_api_request_retry_timeout > spawner.k8s_api_request_timeout
    assert spawner.start_timeout >= 300
    assert spawner.events_enabled
    assert spawner.slug_scheme == "safe"


async def test_the_saved_state_holds_nothing_secret(tmp_path: Path) -> None:
    spawner = make_spawner(tmp_path)
    assert TOKEN not in str(spawner.get_state())


# ---- POSIX users


async def test_people_run_as_their_own_user_and_their_folders_are_made(tmp_path: Path) -> None:
    write_platform(tmp_path / "platform.yaml", posix=POSIX)
    spawner = make_spawner(tmp_path)
    spawner.authenticator = SimpleNamespace(uids=Uids(tmp_path / "bindings.sqlite"))
    spec = (await manifest_of(spawner))["spec"]
    uid = Uids(tmp_path / "bindings.sqlite").known("mrossi")
    assert spec["securityContext"]["runAsUser"] == uid
    assert [one["name"] for one in spec["initContainers"]] == ["make-volume-home", "make-volume-share"]
    assert spec["initContainers"][0]["command"] == COMMAND, "KubeSpawner has filled nothing in"
    assert [one["args"] for one in spec["initContainers"]] == [["/folders/mrossi", "home"], ["/folders/lhcb", "share"]]
    kubernetes_validate.validate(await manifest_of(spawner), "1.34", strict=True)
    assert len((await manifest_of(spawner))["spec"]["initContainers"]) == 2, "another start adds nothing"


async def test_the_user_number_does_not_come_from_what_was_asked(tmp_path: Path) -> None:
    write_platform(tmp_path / "platform.yaml", posix=POSIX)
    spawner = make_spawner(tmp_path, options={"uid": 0})
    spawner.authenticator = SimpleNamespace(uids=Uids(tmp_path / "bindings.sqlite"))
    with pytest.raises(Refusal, match="uid"):
        await manifest_of(spawner)


async def test_an_authenticator_without_user_numbers_is_said(tmp_path: Path) -> None:
    write_platform(tmp_path / "platform.yaml", posix=POSIX)
    spawner = make_spawner(tmp_path)
    spawner.authenticator = SimpleNamespace()
    with pytest.raises(Refusal, match="only IamAuthenticator knows"):
        await manifest_of(spawner)
