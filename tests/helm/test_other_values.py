"""The values for Kueue, interLink and monitoring, held to the code and to the example platform file."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from support.values_files import FOLDER, keys, service_defaults, values

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.catalogue.document import read_document
from aiinfn_hub.contract.quantities import parse_duration
from aiinfn_hub.pods import names
from aiinfn_hub.service.config import load_config

PLATFORM = load_platform(example_path())
KUEUE = values("kueue.yaml")
MANAGER: dict[str, Any] = yaml.safe_load(KUEUE["managerConfig"]["controllerManagerConfigYaml"])
INTERLINK = values("interlink.yaml")
MONITORING = values("monitoring.yaml")
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))


def test_the_readme_names_every_file_and_every_file_its_chart() -> None:
    readme = (FOLDER / "README.md").read_text()
    for name in FILES:
        assert f"`{name}`" in readme
        first = "# Settings of the service" if name == "service.yaml" else "# Values for the chart"
        assert (FOLDER / name).read_text().startswith(first)


@pytest.mark.parametrize("name", FILES)
def test_a_line_can_be_read_on_one_screen(name: str) -> None:
    assert max(map(len, (FOLDER / name).read_text().splitlines())) <= 120


@pytest.mark.parametrize("name", FILES)
def test_no_value_looks_like_a_secret(name: str) -> None:
    assert not re.search(
        r"(?i)(secret|token|password)\w*: +['\"]?[A-Za-z0-9+_-][A-Za-z0-9+/_-]{15,}", (FOLDER / name).read_text()
    )


def test_the_settings_of_kueue_have_no_key_twice() -> None:
    assert read_document(KUEUE["managerConfig"]["controllerManagerConfigYaml"]).findings == ()
    assert MANAGER["apiVersion"] == "config.kueue.x-k8s.io/v1beta2"


def test_kueue_does_not_evict_what_is_slow_to_start_or_waits_at_a_site() -> None:
    wait = MANAGER["waitForPodsReady"]
    assert parse_duration(wait["timeout"]) >= 7 * 86400
    assert wait["recoveryTimeout"] == "0s"
    assert wait["requeuingStrategy"]["timestamp"] == "Creation"


def test_kueue_waits_longer_than_any_session_may_last() -> None:
    assert parse_duration(MANAGER["waitForPodsReady"]["timeout"]) > max(f.max_lifetime_s for f in PLATFORM.flavours)


def test_kueue_handles_sessions_and_jobs_of_our_namespace_only() -> None:
    assert MANAGER["integrations"]["frameworks"] == ["batch/job", "pod"]
    assert MANAGER["managedJobsNamespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": PLATFORM.namespace}
    assert MANAGER["manageJobsWithoutQueueName"] is False


def test_one_kueue_may_fail() -> None:
    assert KUEUE["controllerManager"]["replicas"] == 2
    assert MANAGER["leaderElection"]["leaderElect"] is True


def test_the_virtual_node_is_the_one_that_the_example_looks_for() -> None:
    site = PLATFORM.site(INTERLINK["nodeName"])
    assert site.node_selector == {"kubernetes.io/hostname": INTERLINK["nodeName"]}
    assert "virtual-node.interlink/no-schedule" in [toleration.key for toleration in site.tolerations]


def test_the_virtual_node_offers_what_the_flavours_of_its_site_need() -> None:
    site = PLATFORM.site(INTERLINK["nodeName"])
    offered = {entry["resourceType"] for entry in INTERLINK["virtualNode"]["resources"]["accelerators"]}
    needed = {PLATFORM.flavour(name).resource for name in site.flavours} - {""}
    assert needed == offered


def test_nothing_of_the_site_is_reachable_from_outside_and_nothing_is_unverified() -> None:
    assert INTERLINK["virtualNode"]["network"] == {"enableTunnel": False, "fullMesh": False}
    assert INTERLINK["virtualNode"]["HTTP"]["insecure"] is False
    assert INTERLINK["interlink"]["address"].startswith("https://")
    assert not {"ClientSecret", "RefreshToken", "ClientID"} & set(keys(INTERLINK))


def test_prometheus_reads_the_service_and_the_hub_where_they_are() -> None:
    jobs = {job["job_name"]: job for job in MONITORING["prometheus"]["prometheusSpec"]["additionalScrapeConfigs"]}
    port = service_defaults()["metrics_port"]
    assert jobs["aiinfn"]["static_configs"][0]["targets"] == [f"aiinfn-service.{PLATFORM.system_namespace}.svc:{port}"]
    assert jobs["jupyterhub"]["static_configs"][0]["targets"] == [f"hub.{PLATFORM.system_namespace}.svc:8081"]
    assert jobs["jupyterhub"]["metrics_path"] == "/hub/metrics"


def test_the_token_of_prometheus_is_a_file_of_a_secret_that_it_mounts() -> None:
    spec = MONITORING["prometheus"]["prometheusSpec"]
    file = spec["additionalScrapeConfigs"][1]["authorization"]["credentials_file"]
    assert file.split("/")[-2] in spec["secrets"]
    hub = values("zero-to-jupyterhub.yaml")["hub"]
    assert hub["loadRoles"]["prometheus"] == {"services": ["prometheus"], "scopes": ["read:metrics"]}


def test_series_get_activity_and_flavour_and_never_a_person() -> None:
    pods = MONITORING["kube-state-metrics"]["metricLabelsAllowlist"][0]
    assert pods == f"pods=[{names.KIND},{names.ACTIVITY},{names.FLAVOUR}]"
    text = (FOLDER / "monitoring.yaml").read_text()
    assert names.PERSON not in text
    assert names.PERSON_NAME not in text


def test_the_settings_of_the_service_are_what_it_reads() -> None:
    settings = load_config(FOLDER / "service.yaml")
    defaults = service_defaults()
    assert (settings.port, settings.runs_port, settings.metrics_port) == tuple(
        defaults[key] for key in ("port", "runs_port", "metrics_port")
    )


def test_the_service_and_the_hub_share_their_files_and_know_each_other() -> None:
    settings = load_config(FOLDER / "service.yaml")
    hub = values("zero-to-jupyterhub.yaml")["hub"]
    spawner = hub["config"]["AiinfnSpawner"]
    assert str(settings.platform_file) == spawner["platform_file"]
    assert str(settings.hub_key_file) == spawner["hub_key_file"]
    assert spawner["service_url"] == f"{hub['services']['aiinfn']['url']}{settings.prefix}"
    assert settings.name in hub["services"]
    assert settings.api_token_file.name == f"hub.services.{settings.name}.apiToken"


def test_what_prometheus_saw_outlives_it() -> None:
    assert "volumeClaimTemplate" in MONITORING["prometheus"]["prometheusSpec"]["storageSpec"]
