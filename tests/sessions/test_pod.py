from __future__ import annotations

from typing import Any

import pytest
from support.people import scientist
from support.small_platform import VOLUMES, small_platform

from aiinfn_hub.pods import names
from aiinfn_hub.sessions.options import validate
from aiinfn_hub.sessions.pod import DICTS, LISTS, REPLACED, both, session_traits

PLATFORM = small_platform()
CONFIGURED: dict[str, Any] = {
    **{name: [] for name in LISTS},
    **{name: {} for name in DICTS},
    **{name: [] for name in REPLACED},
    "cmd": ["jupyterhub-singleuser"],
}


def traits(options: dict[str, Any] | None = None, platform: Any = PLATFORM, **configured: Any) -> dict[str, Any]:
    person = scientist(platform)
    spec = validate(platform, person, options or {})
    return session_traits(platform, person, "", spec, CONFIGURED | configured, pod="jupyter-mrossi")


def term(*keys: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


def test_the_same_session_gives_the_same_traits() -> None:
    assert traits({"flavour": "t4"}) == traits({"flavour": "t4"})


def test_what_the_operator_configured_comes_first_and_is_not_changed() -> None:
    volumes = [{"name": "extra", "emptyDir": {}}]
    labels = {"network": "hub"}
    found = traits(volumes=volumes, extra_labels=labels)
    assert found["volumes"][0] == volumes[0]
    assert found["extra_labels"]["network"] == "hub"
    assert (volumes, labels) == ([{"name": "extra", "emptyDir": {}}], {"network": "hub"})


@pytest.mark.parametrize("key", [names.KIND, names.QUEUE, names.PRIORITY, names.PERSON, names.ACTIVITY])
def test_the_operator_cannot_undo_our_labels_by_mistake(key: str) -> None:
    assert traits(extra_labels={key: "other"})["extra_labels"][key] != "other"


def test_without_a_home_the_image_says_where_to_work() -> None:
    platform = small_platform(volumes=[volume for volume in VOLUMES if volume["kind"] != "home"])
    assert traits(platform=platform)["working_dir"] is None


def test_a_flavour_without_accelerator_requires_no_node() -> None:
    found = traits()
    assert found["node_affinity_required"] == []
    assert len(found["node_affinity_preferred"]) == 1
    assert set(found["extra_resource_limits"]) == {"cpu", "memory"}


def test_an_apptainer_session_sees_its_volumes_inside() -> None:
    found = traits({"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1", "volumes": ["cvmfs"]})
    command = found["cmd"]
    binds = {command[i + 1] for i, word in enumerate(command) if word == "-b"}
    assert binds == {mount["mountPath"] for mount in found["volume_mounts"]}
    assert command[-1] == "jupyterhub-singleuser"


def test_a_session_sees_the_token_of_its_own_secret_only_where_the_platform_has_tokens() -> None:
    bare, found = traits(), traits(platform=small_platform(tokens={"scopes": ["storage.read:/"]}))
    assert set(bare["environment"]) == {"AIINFN_VOLUMES"}
    [volume] = [one for one in found["volumes"] if one not in bare["volumes"]]
    assert volume["secret"]["secretName"] == "jupyter-mrossi-iam"
    assert volume["secret"]["optional"], "a session starts while the IAM is away"
    [mount] = [one for one in found["volume_mounts"] if one not in bare["volume_mounts"]]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"]
    assert "subPath" not in mount, "a kubelet does not renew those"
    assert found["environment"]["BEARER_TOKEN_FILE"] == f"{mount['mountPath']}/token"


def test_an_apptainer_session_sees_its_token_inside() -> None:
    platform = small_platform(tokens={"scopes": ["storage.read:/"]})
    command = traits({"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1", "volumes": ["cvmfs"]}, platform)["cmd"]
    assert "/run/aiinfn/iam" in command


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param([], [], [], id="none"),
        pytest.param([term("a")], [], [term("a")], id="only the operator's"),
        pytest.param([], [term("b")], [term("b")], id="only the flavour's"),
        pytest.param([term("a")], [term("b", "c")], [term("a", "b", "c")], id="one of each"),
        pytest.param([term("a"), term("b")], [term("c")], [term("a", "c"), term("b", "c")], id="two alternatives"),
    ],
)
def test_terms_are_combined_so_that_both_hold(
    one: list[dict[str, Any]], other: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert both(one, other) == expected


def test_terms_by_field_are_kept() -> None:
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]}
    assert both([field], [term("a")]) == [{**term("a"), **field}]


def test_a_rescue_start_writes_elsewhere_and_works_at_home() -> None:
    found = traits({"rescue": "1"})
    added = {name: value for name, value in found["environment"].items() if name != "AIINFN_VOLUMES"}
    assert added == {"HOME": "/rescue", "AIINFN_FULL_HOME": "/home/jovyan"}
    assert found["working_dir"] == "/home/jovyan"
    assert {"name": "rescue", "emptyDir": {"sizeLimit": "1Gi"}} in found["volumes"]
    assert {"name": "rescue", "mountPath": "/rescue"} in found["volume_mounts"]
    assert "HOME" not in traits()["environment"]
    assert not any(volume["name"] == "rescue" for volume in traits()["volumes"])


def test_an_apptainer_session_is_rescued_too() -> None:
    found = traits({"rescue": "1", "environment": "apptainer:/cvmfs/unpacked.infn.it/x:1", "volumes": ["cvmfs"]})
    assert "/rescue" in " ".join(found["cmd"])


def test_a_session_has_started_when_it_listens() -> None:
    found = traits()["extra_container_config"]
    assert found["startupProbe"]["tcpSocket"] == {"port": "notebook-port"}
    assert found["terminationMessagePolicy"] == "FallbackToLogsOnError", "its last words say why it ended"


def test_nodes_fetch_images_with_the_secrets_of_the_catalogue_beside_the_operators() -> None:
    policy = {"registries": ["registry.example.org/**"], "pull_secrets": ["robot"]}
    found = traits({}, small_platform(image_policy=policy), image_pull_secrets=["chart"])
    assert found["image_pull_secrets"] == ["chart", {"name": "robot"}]
    assert traits()["image_pull_secrets"] == []
