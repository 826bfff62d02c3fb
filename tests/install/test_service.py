"""The service's Deployment, held to its settings in helm-values/ and to the code that reads them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
from support.small_platform import small_platform
from support.values_files import FOLDER, values

from aiinfn_hub import __version__
from aiinfn_hub.cli import main
from aiinfn_hub.install import rbac, service
from aiinfn_hub.service.config import load_config

OBJECTS = {one["kind"]: one for one in service.objects(small_platform())}
DEPLOYMENT = OBJECTS["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
SETTINGS = load_config(FOLDER / "service.yaml")
MOUNTS = {PurePosixPath(mount["mountPath"]): mount for mount in CONTAINER["volumeMounts"]}
VOLUMES = {volume["name"]: volume for volume in POD["volumes"]}


def source_of(path: str) -> dict[str, Any]:
    """The volume that holds the file."""
    return VOLUMES[MOUNTS[PurePosixPath(path).parent]["name"]]


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_objects_are_what_kubernetes_takes(kind: str) -> None:
    kubernetes_validate.validate(OBJECTS[kind], "1.36", strict=True)
    assert OBJECTS[kind]["metadata"]["namespace"] == "aiinfn-system"


def test_one_copy_and_never_two_at_the_same_time() -> None:
    assert DEPLOYMENT["replicas"] == 1
    assert DEPLOYMENT["strategy"] == {"type": "Recreate"}
    assert OBJECTS["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]


@pytest.mark.parametrize("setting", ["hub_key_file", "api_token_file", "database_url_file"])
def test_a_secret_that_the_settings_name_is_mounted_for_the_service_alone(setting: str) -> None:
    source = source_of(str(getattr(SETTINGS, setting)))["secret"]
    assert source["defaultMode"] & 0o007 == 0
    assert source["secretName"]


def test_of_the_hubs_secret_one_key_is_mounted() -> None:
    source = source_of(str(SETTINGS.api_token_file))["secret"]
    assert [item["path"] for item in source["items"]] == [SETTINGS.api_token_file.name]
    assert source["secretName"] == "hub"


def test_the_key_is_the_one_that_the_hub_has() -> None:
    hub = values("zero-to-jupyterhub.yaml")["hub"]
    theirs = [volume["secret"]["secretName"] for volume in hub["extraVolumes"] if "secret" in volume]
    assert theirs == [source_of(str(SETTINGS.hub_key_file))["secret"]["secretName"]]


def test_the_platform_file_and_the_settings_are_the_operators_configmaps() -> None:
    assert source_of(str(SETTINGS.platform_file))["configMap"]["name"] == "aiinfn-platform"
    assert source_of(CONTAINER["command"][-1])["configMap"]["name"] == "aiinfn-service"


def test_blobs_are_on_the_volume_and_nothing_else_can_be_written() -> None:
    mount = MOUNTS[PurePosixPath(SETTINGS.blobs)]
    assert VOLUMES[mount["name"]]["persistentVolumeClaim"]["claimName"] == "aiinfn-blobs"
    assert {m["name"] for m in MOUNTS.values() if not m["readOnly"]} == {"blobs", "tmp"}
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_ports_are_those_of_the_settings() -> None:
    expected = {"people": SETTINGS.port, "runs": SETTINGS.runs_port, "metrics": SETTINGS.metrics_port}
    assert {port["name"]: port["containerPort"] for port in CONTAINER["ports"]} == expected
    ports = OBJECTS["Service"]["spec"]["ports"]
    assert {port["targetPort"]: port["port"] for port in ports} == expected
    assert OBJECTS["Service"]["spec"]["selector"] == {"app": "aiinfn-service"}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe"])
def test_it_is_asked_whether_it_is_ready(probe: str) -> None:
    assert CONTAINER[probe]["httpGet"]["path"] == f"{SETTINGS.prefix}/api/health"


def test_it_is_not_killed_while_the_api_server_is_silent() -> None:
    """Its health is 503 then, and a restart would not help."""
    assert "httpGet" not in CONTAINER["livenessProbe"]


def test_the_command_is_one_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert CONTAINER["command"][:-2] == ["aiinfn", "service", "run"]
    with pytest.raises(SystemExit):
        main([*CONTAINER["command"][1:-2], "--help"])
    assert CONTAINER["command"][-2] in capsys.readouterr().out


def test_it_meets_the_restricted_standard_and_acts_as_its_own_account() -> None:
    security = CONTAINER["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["serviceAccountName"] == rbac.SERVICE


def test_the_image_is_of_this_version() -> None:
    assert CONTAINER["image"] == f"ghcr.io/aiinfn/service:{__version__}"


def test_the_hubs_policy_lets_it_in() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert labels["hub.jupyter.org/network-access-hub"] == "true"
    assert DEPLOYMENT["selector"]["matchLabels"].items() <= labels.items()


def test_the_logins_of_registries_are_there_where_they_are_looked_up() -> None:
    policy = {"registries": ["registry.example.org/**"], "look_up": True, "pull_secrets": ["robot"]}
    (made,) = (one for one in service.objects(small_platform(image_policy=policy)) if one["kind"] == "Deployment")
    kubernetes_validate.validate(made, "1.36", strict=True)
    pod = made["spec"]["template"]["spec"]
    (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "registries")
    assert mount["readOnly"]
    (volume,) = (one for one in pod["volumes"] if one["name"] == "registries")
    assert volume["projected"]["sources"] == [
        {"secret": {"name": "robot", "items": [{"key": ".dockerconfigjson", "path": "robot.json"}]}}
    ]
    assert "registries" not in VOLUMES
    assert f"# registry_logins: {mount['mountPath']}" in (FOLDER / "service.yaml").read_text()
