"""The values for zero-to-jupyterhub, held to the real classes that they configure."""

from __future__ import annotations

import gc
import warnings
from importlib.metadata import entry_points
from pathlib import PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from jupyterhub.app import JupyterHub
from jupyterhub.proxy import ConfigurableHTTPProxy
from jupyterhub.roles import _role_name_pattern
from jupyterhub.scopes import _check_scopes_exist
from jupyterhub.services.service import Service
from kubespawner import KubeSpawner
from oauthenticator.generic import GenericOAuthenticator
from support.values_files import keys, service_defaults, values
from traitlets import TraitError
from traitlets.config import Config, Configurable

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.hub import outbox
from aiinfn_hub.hub.admin_acts import log_and_audit
from aiinfn_hub.identity.roles import SCOPES
from aiinfn_hub.install import network, rbac
from aiinfn_hub.pods import names

PLATFORM = load_platform(example_path())
VALUES = values("zero-to-jupyterhub.yaml")
HUB = VALUES["hub"]
CONFIG: dict[str, dict[str, Any]] = HUB["config"]


def plugin(group: str, name: str) -> type[Configurable]:
    """The class behind an entry point of ours."""
    (point,) = entry_points(group=group, name=name)
    return cast("type[Configurable]", point.load())


AUTHENTICATOR = plugin("jupyterhub.authenticators", "aiinfn-iam")
SPAWNER = plugin("jupyterhub.spawners", "aiinfn")
CLASSES: dict[str, type[Configurable]] = {
    "JupyterHub": JupyterHub,
    "IamAuthenticator": AUTHENTICATOR,
    "AiinfnSpawner": SPAWNER,
    "ConfigurableHTTPProxy": ConfigurableHTTPProxy,
    "KubeSpawner": KubeSpawner,
}
SETTINGS = [(section, key) for section, settings in CONFIG.items() for key in settings]


def test_the_classes_are_the_ones_that_the_entry_points_name() -> None:
    assert CONFIG["JupyterHub"]["authenticator_class"] == "aiinfn-iam"
    assert CONFIG["JupyterHub"]["spawner_class"] == "aiinfn"
    assert (AUTHENTICATOR.__name__, SPAWNER.__name__) == ("IamAuthenticator", "AiinfnSpawner")
    assert issubclass(AUTHENTICATOR, GenericOAuthenticator)
    assert issubclass(SPAWNER, KubeSpawner)


@pytest.mark.parametrize(("section", "key"), SETTINGS)
def test_every_setting_is_a_trait_of_the_class_that_it_names(section: str, key: str) -> None:
    assert key in CLASSES[section].class_traits(config=True)


def check_value(section: str, key: str, value: object) -> None:
    """Raise `TraitError` if the trait would refuse the value, were the files of the cluster here."""
    value = str(example_path()) if value == "/etc/aiinfn/platform.yaml" else value
    kind = CLASSES[section]
    kind.class_traits(config=True)[key]._validate(kind.__new__(kind), value)


@pytest.mark.parametrize(("section", "key"), [setting for setting in SETTINGS if setting[0] != "JupyterHub"])
def test_every_value_is_accepted_by_its_trait(section: str, key: str) -> None:
    check_value(section, key, CONFIG[section][key])


def test_a_value_of_another_kind_would_be_noticed() -> None:
    with pytest.raises(TraitError):
        check_value("AiinfnSpawner", "platform_file", ["/etc/aiinfn/platform.yaml"])


def test_the_hub_takes_the_whole_of_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hub = JupyterHub(config=Config(CONFIG))
    assert hub.authenticator_class is AUTHENTICATOR
    assert hub.spawner_class is SPAWNER


def test_no_secret_stands_in_the_file() -> None:
    assert not {key for key in keys(VALUES) if "secret" in key.lower() and key not in {"secret", "secretName"}}
    assert not {key for key in keys(VALUES) if "token" in key.lower() or "password" in key.lower()}


def test_files_that_are_named_are_mounted_from_volumes_that_exist() -> None:
    volumes = {volume["name"] for volume in HUB["extraVolumes"]}
    mounts = {mount["mountPath"]: mount for mount in HUB["extraVolumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == volumes
    files = {key: value for settings in CONFIG.values() for key, value in settings.items() if key.endswith("_file")}
    assert set(files) == {"platform_file", "hub_key_file", "binding_file"}
    for key in ("platform_file", "hub_key_file"):
        mount = mounts[str(PurePosixPath(files[key]).parent)]
        assert mount["readOnly"] is True


def test_who_has_which_name_is_kept_on_the_volume_of_the_hubs_database() -> None:
    """The chart mounts it at /srv/jupyterhub, if the database is a file there."""
    assert HUB["db"]["type"] == "sqlite-pvc"
    assert str(PurePosixPath(CONFIG["IamAuthenticator"]["binding_file"]).parent) == "/srv/jupyterhub"


def test_both_classes_read_the_same_platform_file() -> None:
    assert CONFIG["IamAuthenticator"]["platform_file"] == CONFIG["AiinfnSpawner"]["platform_file"]


def test_the_key_is_not_for_everybody_in_the_pod() -> None:
    (secret,) = [volume["secret"] for volume in HUB["extraVolumes"] if "secret" in volume]
    assert secret["defaultMode"] == 0o440


def test_the_hub_and_the_proxy_reach_the_service_on_its_port() -> None:
    port = service_defaults()["port"]
    service = HUB["services"]["aiinfn"]["url"]
    assert urlsplit(service).port == port
    assert urlsplit(service).hostname == f"{network.NAME}.{PLATFORM.system_namespace}"
    assert CONFIG["AiinfnSpawner"]["service_url"].startswith(service)
    for policy in (HUB["networkPolicy"], VALUES["proxy"]["chp"]["networkPolicy"]):
        rule = policy["egress"][0]
        assert rule["ports"] == [{"port": port, "protocol": "TCP"}]
        assert rule["to"][0]["podSelector"]["matchLabels"]["app"] == network.NAME


def test_hub_and_proxy_reach_the_sessions_and_they_the_hub_from_the_other_namespace() -> None:
    sessions = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": PLATFORM.namespace}},
        "podSelector": {"matchLabels": {names.KIND: names.SESSION}},
    }
    for policy in (HUB["networkPolicy"], VALUES["proxy"]["chp"]["networkPolicy"]):
        assert {"to": [sessions], "ports": [{"port": network.SESSION_PORT, "protocol": "TCP"}]} in policy["egress"]
    ingress = HUB["networkPolicy"]["ingress"]
    assert {"from": [sessions], "ports": [{"port": network.HUB_PORT, "protocol": "TCP"}]} in ingress
    assert ingress[1]["from"][0]["namespaceSelector"]["matchLabels"].popitem()[1] == network.MONITORING


def test_sessions_have_a_namespace_of_their_own_and_reach_the_hub_by_its_full_name() -> None:
    assert CONFIG["AiinfnSpawner"]["namespace"] == PLATFORM.namespace
    url = urlsplit(CONFIG["JupyterHub"]["hub_connect_url"])
    assert (url.hostname, url.port) == (f"hub.{PLATFORM.system_namespace}", network.HUB_PORT)


def test_rights_are_ours_and_the_chart_makes_none() -> None:
    assert VALUES["rbac"] == {"create": False}
    assert HUB["serviceAccount"] == {"create": False, "name": rbac.HUB}
    assert CONFIG["AiinfnSpawner"]["delete_pvc"] is False


@pytest.mark.parametrize("name", HUB["services"])
def test_a_service_has_only_settings_that_jupyterhub_reads(name: str) -> None:
    assert set(HUB["services"][name]) <= set(Service.class_traits(input=True))


@pytest.fixture(scope="module")
def configured() -> Config:
    """`c` at the end of the chart's own configuration file, of which extraConfig is the last part."""
    c = Config(CONFIG)
    c.IamAuthenticator.platform_file = str(example_path())
    c.JupyterHub.load_roles = [{"name": name, **role} for name, role in HUB["loadRoles"].items()]
    (code,) = HUB["extraConfig"].values()
    exec(compile(code, "extraConfig", "exec"), {"c": c})
    gc.unfreeze()
    return c


@pytest.fixture
def roles(configured: Config) -> dict[str, dict[str, Any]]:
    return {role["name"]: role for role in configured.JupyterHub.load_roles}


def test_a_role_has_a_name_and_scopes_that_jupyterhub_knows(roles: dict[str, dict[str, Any]]) -> None:
    assert {"user", "server", "prometheus", "aiinfn-service", "aiinfn-operator", "aiinfn-pi-cms-ml"} <= set(roles)
    for name, role in roles.items():
        assert set(role) <= {"name", "description", "scopes", "users", "groups", "services"}
        assert _role_name_pattern.fullmatch(name)
        own = {scope.partition("!")[0] for scope in role["scopes"] if scope.startswith("custom:aiinfn:")}
        assert own <= {outbox.SCOPE, *SCOPES}
        _check_scopes_exist([one for one in role["scopes"] if not one.startswith("custom:")], who_for=name)
        assert set(role.get("services", [])) <= set(HUB["services"])


def test_a_session_may_use_the_service_and_so_may_its_owner(roles: dict[str, dict[str, Any]]) -> None:
    """Of a scope that the owner has not, the server's token is freed without a word."""
    for role in ("user", "server"):
        assert "access:services!service=aiinfn" in roles[role]["scopes"]


def test_our_service_may_read_and_start_and_stop_servers_and_nothing_else(roles: dict[str, dict[str, Any]]) -> None:
    scopes = roles["aiinfn-service"]["scopes"]
    more = {"start:servers", "delete:servers", outbox.SCOPE}
    assert all(scope.startswith(("read:", "list:")) for scope in scopes if scope not in more)
    assert not any("auth_state" in scope or "token" in scope for scope in scopes)


def test_the_stock_culler_is_off() -> None:
    assert VALUES["cull"]["enabled"] is False


def test_network_policies_are_on_and_no_container_is_privileged_for_them() -> None:
    # Ours: the chart's would be where no session is.
    assert VALUES["singleuser"]["networkPolicy"] == {"enabled": False}
    assert HUB["networkPolicy"]["enabled"] is True
    assert VALUES["proxy"]["chp"]["networkPolicy"]["enabled"] is True
    assert VALUES["singleuser"]["cloudMetadata"]["blockWithIptables"] is False


def test_the_chart_does_not_decide_what_the_platform_file_decides() -> None:
    single = VALUES["singleuser"]
    assert single["storage"]["type"] == "none"
    assert (single["uid"], single["fsGid"], single["memory"]["guarantee"]) == (None, None, None)
    assert not {"image", "profileList", "cpu", "extraResource", "nodeSelector"} & set(single)
    assert VALUES["scheduling"]["userScheduler"]["enabled"] is False


def test_starts_that_time_out_do_not_stop_the_hub() -> None:
    assert HUB["consecutiveFailureLimit"] == 0


def test_streams_are_not_collected_on_their_way() -> None:
    annotations = VALUES["ingress"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert all(isinstance(value, str) for value in annotations.values())


def test_the_address_is_the_same_everywhere() -> None:
    (host,) = VALUES["ingress"]["hosts"]
    assert urlsplit(CONFIG["IamAuthenticator"]["oauth_callback_url"]).hostname == host
    assert VALUES["ingress"]["tls"][0]["hosts"] == [host]


def test_the_issuer_ends_with_a_slash_as_indigo_iam_writes_it() -> None:
    assert CONFIG["IamAuthenticator"]["issuer"].endswith("/")


def test_the_lines_of_python_do_what_the_hub_needs(configured: Config) -> None:
    hub = JupyterHub(config=configured)
    assert hub.template_paths
    assert hub.tornado_settings["log_function"] is log_and_audit
    assert all(len(handler) >= 2 for handler in hub.extra_handlers)


#: The parts of the chart that we set, by its documentation.
CHART = {
    "": {"rbac", "hub", "proxy", "singleuser", "scheduling", "prePuller", "cull", "ingress"},
    "hub": {
        "image",
        "config",
        "db",
        "extraConfig",
        "services",
        "loadRoles",
        "allowNamedServers",
        "namedServerLimitPerUser",
        "consecutiveFailureLimit",
        "networkPolicy",
        "serviceAccount",
        "extraVolumes",
        "extraVolumeMounts",
    },
    "proxy": {"service", "chp"},
    "singleuser": {
        "uid",
        "fsGid",
        "storage",
        "memory",
        "defaultUrl",
        "startTimeout",
        "cloudMetadata",
        "networkPolicy",
    },
}


@pytest.mark.parametrize("section", CHART)
def test_no_key_is_there_that_the_chart_does_not_read(section: str) -> None:
    assert set(VALUES[section] if section else VALUES) <= CHART[section]
