from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import kubernetes_validate
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.offload import RUN_ID, order, plan, platform, reference, request
from support.small_platform import POSIX, small_platform

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.errors import InvalidInput, TooLarge
from aiinfn_hub.offload.manifest import (
    GATED_BY,
    INPUTS_GATE,
    NEVER_AGAIN,
    Order,
    configmap_manifest,
    job_manifest,
    job_name,
    runner_manifest,
    secret_manifest,
)
from aiinfn_hub.offload.orders import runner_files

VERSION = "1.34"


def built(wanted: JobRequest | None = None, **changes: Any) -> dict[str, Any]:
    return job_manifest(platform(), order(wanted, **changes))


def pod_spec(wanted: JobRequest | None = None, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = built(wanted, **changes)["spec"]["template"]["spec"]
    return found


def container(wanted: JobRequest | None = None, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod_spec(wanted, **changes)["containers"][0]
    return found


WANTED = {
    "CPU only": request(),
    "a whole card": request(gpu="a100-40"),
    "two slices": request(gpu="1g.5gb:2"),
    "another place": request(target="leonardo", gpu="a100-40"),
    "with a token": request(token=True),
    "inside Apptainer": request(image="apptainer:/cvmfs/unpacked.infn.it/lab/image"),
}


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
def test_the_manifests_are_what_kubernetes_takes(wanted: JobRequest) -> None:
    made = order(wanted)
    for manifest in (
        job_manifest(platform(), made),
        configmap_manifest(platform(), made, "uid-1"),
        secret_manifest(platform(), made, "uid-1", "secret"),
        runner_manifest(platform(), "aiinfn-runner-1", runner_files()),
    ):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_nothing_starts_before_it_is_complete() -> None:
    found = built()
    assert found["spec"]["suspend"] is True
    assert found["metadata"]["annotations"][GATED_BY] == INPUTS_GATE
    assert GATED_BY not in found["spec"]["template"]["metadata"]["annotations"]


def test_the_job_waits_in_the_queue_of_its_activity() -> None:
    labels = built()["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "lhcb-flashsim-batch"
    assert labels["kueue.x-k8s.io/priority-class"] == "batch"


def test_kueue_does_not_queue_the_pod_a_second_time() -> None:
    assert not any("kueue" in key for key in built()["spec"]["template"]["metadata"]["labels"])


def test_job_and_pod_say_whose_they_are() -> None:
    found = built(owner="Alice Ä/../x")
    for metadata in (found["metadata"], found["spec"]["template"]["metadata"]):
        assert metadata["labels"]["aiinfn.infn.it/run"] == RUN_ID
        assert metadata["labels"]["aiinfn.infn.it/kind"] == "job"
        assert metadata["labels"]["aiinfn.infn.it/activity"] == "lhcb-flashsim"
        assert metadata["labels"]["aiinfn.infn.it/flavour"] == "cpu"
        assert metadata["labels"]["aiinfn.infn.it/person"].startswith("alice-x-")
        assert metadata["annotations"]["aiinfn.infn.it/person-name"] == "Alice Ä/../x"
        assert metadata["annotations"]["aiinfn.infn.it/activity-reason"] == "the only one"


def test_every_annotation_is_ours_or_kueues() -> None:
    found = built(request(origin={"slurm-job.vk.io/flags": "--evil"}))
    annotations = found["metadata"]["annotations"] | found["spec"]["template"]["metadata"]["annotations"]
    assert all(key.startswith(("aiinfn.infn.it/", "kueue.x-k8s.io/")) for key in annotations)


def test_the_pod_is_restricted_and_has_no_service_account_token() -> None:
    spec = pod_spec()
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsGroup"] == platform().activity("lhcb-flashsim").gid
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container()["securityContext"]["allowPrivilegeEscalation"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)


def test_requests_equal_limits() -> None:
    found = container(request(gpu="1g.5gb:2", cpu_millis=1500, memory_bytes=2 * 1024**3))["resources"]
    assert found["requests"] == found["limits"]
    assert found["limits"] == {"cpu": "1500m", "memory": "2Gi", "nvidia.com/mig-1g.5gb": "2"}


def test_the_accelerator_is_required_of_the_node() -> None:
    terms = pod_spec(request(gpu="t4"))["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["Tesla-T4"]} in terms["nodeSelectorTerms"][0][
        "matchExpressions"
    ]


def test_no_environment_variable_holds_a_secret() -> None:
    found = {entry["name"]: entry for entry in container()["env"]}
    assert set(found) == {"POD_UID", "AIINFN_JOB", "AIINFN_CREDENTIALS", "AIINFN_SCRATCH", "PYTHONUNBUFFERED"}
    assert found["POD_UID"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}
    assert found["AIINFN_CREDENTIALS"]["value"] == "/offload-cred"


def test_the_command_does_not_rely_on_the_image() -> None:
    assert container()["command"] == ["/bin/sh", "-c", "exec python3 /offload/boot.py"]


def test_apptainer_gets_the_folders_of_the_job() -> None:
    found = container(WANTED["inside Apptainer"])
    assert found["command"][3:5] == ["unpacked", "/cvmfs/unpacked.infn.it/lab/image"]
    assert found["command"][-4:] == [
        "inside",
        "/bin/sh",
        "-c",
        "exec python3 /offload/boot.py",
    ]
    bound = [found["command"][i + 1] for i, word in enumerate(found["command"]) if word == "-b"]
    assert {"/offload", "/offload-cred", "/scratch", "/cvmfs"} <= set(bound)


def mounts(wanted: JobRequest) -> dict[str, dict[str, Any]]:
    spec = pod_spec(wanted)
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert len(volumes) == len(spec["volumes"])
    return {mount["mountPath"]: volumes[mount["name"]] | mount for mount in spec["containers"][0]["volumeMounts"]}


def test_on_the_cluster_the_person_finds_the_own_files() -> None:
    found = mounts(request())
    assert found["/offload"]["configMap"]["name"] == "aiinfn-runner-1"
    assert found["/offload-job"]["configMap"]["name"] == f"job-{RUN_ID}"
    assert found["/offload-cred"]["secret"]["secretName"] == f"job-{RUN_ID}"
    assert found["/offload-cred"]["readOnly"] is True
    assert found["/home/jovyan"]["subPath"] == "user-alice"
    assert "/scratch" in found


def test_a_virtual_node_gets_only_kinds_of_volumes_that_it_carries() -> None:
    spec = pod_spec(WANTED["another place"])
    kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
    assert kinds == {"configMap", "secret", "emptyDir"}
    assert all("subPath" not in mount for mount in spec["containers"][0]["volumeMounts"])


def test_a_virtual_node_is_chosen_and_tolerated() -> None:
    spec = pod_spec(WANTED["another place"])
    assert any(t["key"] == "virtual-node.interlink/no-schedule" for t in spec["tolerations"])
    assert "leonardo" in json.dumps(spec["affinity"])


def test_the_cluster_itself_tolerates_no_virtual_node() -> None:
    assert not any("interlink" in t["key"] for t in pod_spec()["tolerations"])


def test_evictions_cost_nothing_and_a_persons_exception_is_not_tried_again() -> None:
    spec = built()["spec"]
    ignore, fail = spec["podFailurePolicy"]["rules"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (fail["action"], fail["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert {70, 71} <= set(fail["onExitCodes"]["values"]) == set(NEVER_AGAIN)
    assert not {72, 143} & set(NEVER_AGAIN)
    assert spec["backoffLimit"] > 0
    assert spec["ttlSecondsAfterFinished"] > 0


@pytest.mark.parametrize(
    ("target", "at_least"),
    [pytest.param("auto", 60, id="here"), pytest.param("leonardo", 7 * 86400, id="behind another queue")],
)
def test_the_pods_deadline_leaves_the_runner_to_say_it_first(target: str, at_least: int) -> None:
    assert pod_spec(request(target=target, time_s=60))["activeDeadlineSeconds"] >= 60 + at_least


def test_what_the_person_typed_travels_only_inside_the_payload() -> None:
    source = "print('$(rm -rf /)')"
    wanted = request(name="Fit-1", source=source, outputs=["total"], inputs={"x": reference(b"[1]")})
    made = order(wanted)
    assert source not in json.dumps(job_manifest(platform(), made))
    assert "Fit-1" not in json.dumps(job_manifest(platform(), made))
    spec = json.loads(configmap_manifest(platform(), made, "uid-1")["data"]["spec.json"])
    assert spec == {
        "run": RUN_ID,
        "name": "Fit-1",
        "url": "https://runs.example.org",
        "source": source,
        "context": "",
        "filename": "<offload Fit-1>",
        "inputs": {"x": {"codec": "json", "sha256": reference(b"[1]").sha256, "size": 3}},
        "outputs": ["total"],
        "time_s": 3600,
        "memory_bytes": 2**31,
        "modules": None,
        "packages": {},
        "drift": "warn",
        "credentials": "/offload-cred/capability",
        "scratch": "/scratch",
        "token": False,
    }


def test_configmap_and_secret_go_when_the_job_goes() -> None:
    for manifest in (
        configmap_manifest(platform(), order(), "uid-1"),
        secret_manifest(platform(), order(), "uid-1", "s"),
    ):
        owner = manifest["metadata"]["ownerReferences"][0]
        assert owner == {"apiVersion": "batch/v1", "kind": "Job", "name": f"job-{RUN_ID}", "uid": "uid-1"}


def test_the_secret_holds_the_capability_and_nothing_else() -> None:
    found = secret_manifest(platform(), order(), "uid-1", "the-capability")
    assert found["stringData"] == {"capability": "the-capability"}
    assert "the-capability" not in json.dumps(configmap_manifest(platform(), order(), "uid-1"))
    assert "the-capability" not in json.dumps(job_manifest(platform(), order()))


def test_the_runner_travels_whole() -> None:
    files = runner_files()
    assert sum(map(len, files.values())) < 128 * 1024, "a site's plug-in writes them into a script"
    assert {"boot.py", "__init__.py", "runner.py", "frames.py", "codecs.py"} <= set(files)
    for name, text in files.items():
        compile(text, name, "exec")


def test_a_source_as_large_as_a_request_may_have_still_fits() -> None:
    made = order(request(source="#" * (256 * 1024)))
    assert configmap_manifest(platform(), made, "uid-1")["data"]["spec.json"]


def test_what_does_not_fit_into_a_configmap_is_refused_here() -> None:
    made = order(request(source="\x00" * (256 * 1024)))  # six characters each as JSON
    with pytest.raises(TooLarge, match="too large for a job"):
        configmap_manifest(platform(), made, "uid-1")


HOSTILE = st.text(max_size=80).filter(lambda text: text.strip("abcdefghijklmnopqrstuvwxyz0123456789"))


@given(HOSTILE)
def test_no_text_becomes_part_of_a_name(text: str) -> None:
    with pytest.raises(InvalidInput):
        job_name(text)


@pytest.mark.parametrize("field", ["activity", "flavour", "queue", "image", "site"])
@pytest.mark.parametrize("text", ["a b", "x;reboot", "$(id)", "../..", "x\n", "-x", "{}"])
def test_nothing_that_a_shell_reads_gets_through_the_builder(field: str, text: str) -> None:
    fields = {name: getattr(plan(), name) for name in plan().__struct_fields__} | {field: text}
    hostile: Order = order(plan=type(plan())(**fields))
    with pytest.raises(InvalidInput):
        job_manifest(platform(), hostile)


def test_a_job_runs_as_its_person_and_makes_the_folders_that_it_mounts() -> None:
    small = small_platform(posix=POSIX)
    good = order(uid=200_123)
    here = replace(good, plan=msgspec.structs.replace(good.plan, activity="lhcb", image=small.images[0].ref))
    spec = job_manifest(small, here)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsUser"] == 200_123
    assert [one["args"] for one in spec["initContainers"]] == [["/folders/alice", "home"], ["/folders/lhcb", "share"]]
    site = next(one for one in small.sites if one.kind != "local")
    there = replace(here, plan=msgspec.structs.replace(here.plan, site=site.name))
    assert "initContainers" not in job_manifest(small, there)["spec"]["template"]["spec"], "no claims travel"


def test_without_posix_users_a_job_runs_as_the_user_of_the_image() -> None:
    assert pod_spec()["securityContext"]["runAsUser"] == 1000
    assert "initContainers" not in pod_spec()


def test_a_token_is_a_file_that_the_kubelet_renews_and_only_who_asked_has_one() -> None:
    """The Secret may come later, and is none of the one with the capability."""
    spec, main = pod_spec(request(token=True)), container(request(token=True))
    (volume,) = (one for one in spec["volumes"] if one["name"] == "iam-token")
    assert volume["secret"] == {"secretName": f"job-{RUN_ID}-iam", "optional": True, "defaultMode": 0o440}
    (mount,) = (one for one in main["volumeMounts"] if one["name"] == "iam-token")
    assert (mount["readOnly"], "subPath" in mount) == (True, False)
    env = {one["name"]: one.get("value") for one in main["env"]}
    assert env["BEARER_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    assert "iam" not in json.dumps(built())


@pytest.mark.parametrize(
    ("wanted", "secrets"),
    [
        pytest.param(request(), [{"name": "robot"}], id="here"),
        pytest.param(request(target="leonardo", gpu="a100-40"), None, id="a site has its own"),
    ],
)
def test_secrets_for_images_stay_on_the_cluster(wanted: JobRequest, secrets: list[dict[str, str]] | None) -> None:
    policy = platform().image_policy.model_copy(update={"pull_secrets": ("robot",)})
    made = job_manifest(platform().model_copy(update={"image_policy": policy}), order(wanted))
    assert made["spec"]["template"]["spec"].get("imagePullSecrets") == secrets
