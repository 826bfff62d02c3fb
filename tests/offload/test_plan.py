from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from support.offload import heritage, person, plan, platform, reference, request

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.plans import Plan
from aiinfn_hub.errors import Forbidden, InvalidInput
from aiinfn_hub.offload.plan import carries, choose_site, make_plan, site_named, sites, targets


def test_a_plain_cell_runs_on_the_cluster_without_an_accelerator() -> None:
    found = plan()
    assert (found.target, found.site, found.flavour, found.units) == ("auto", "local", "cpu", 1)
    assert found.queue == "lhcb-flashsim-batch"
    assert found.image == platform().images[0].ref
    assert found.gpu_hours == 0
    assert (found.warnings, found.refusals) == ([], [])


def test_gpu_hours_are_weighted_by_the_slice() -> None:
    found = plan(request(gpu="1g.5gb:2", time_s=7200))
    weight = platform().flavour("a100-40-1g.5gb").weight
    assert found.gpu_hours == pytest.approx(4 * weight, abs=0.001)


def test_the_amounts_are_those_of_the_request() -> None:
    found = plan(request(cpu_millis=2500, memory_bytes=3 * 1024**3, time_s=90))
    assert (found.cpu_millis, found.memory_bytes, found.time_s) == (2500, 3 * 1024**3, 90)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param({"cpu_millis": 0}, "0 CPU", id="no CPU"),
        pytest.param({"cpu_millis": 1_000_000}, "at most 16", id="more CPU than a node has"),
        pytest.param({"memory_bytes": 0}, "of memory", id="no memory"),
        pytest.param({"memory_bytes": 2**50}, "at most 32Gi", id="more memory than a node has"),
        pytest.param({"time_s": 0}, "runs for 1 s", id="no time"),
        pytest.param({"time_s": 10**7}, "3 d", id="longer than the flavour allows"),
        pytest.param({"target": "leonardo", "gpu": "t4"}, "leonardo has no t4", id="a place without the card"),
        pytest.param(
            {"target": "leonardo", "image": "apptainer:/cvmfs/unpacked.infn.it/x"},
            "not on leonardo",
            id="an image that lies on a volume",
        ),
        pytest.param({"target": "leonardo", "token": True}, "does not leave for leonardo", id="a token for strangers"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_submitted(wanted: dict[str, object], words: str) -> None:
    found = plan(request(**wanted))
    assert any(words in sentence for sentence in found.refusals), found.refusals
    with pytest.raises(InvalidInput, match=r".+") as refused:
        found.check()
    assert refused.value.details["refusals"] == found.refusals


def test_a_platform_without_tokens_has_none_for_jobs() -> None:
    wanted = request(token=True)
    assert plan(wanted).refusals == []
    bare = platform().model_copy(update={"tokens": None})
    assert "--token" in make_plan(bare, person(), wanted, heritage()).refusals[0]


def test_all_refusals_are_told_at_once() -> None:
    assert len(plan(request(cpu_millis=0, memory_bytes=0, time_s=0)).refusals) == 3


def test_more_units_than_one_person_may_have_are_refused() -> None:
    limited = next(f for f in platform().flavours if f.max_per_user is not None and not f.activities)
    found = plan(request(gpu=f"{limited.name}:{limited.max_per_user + 1}"))  # type: ignore[operator]  # it is a number
    assert any("one person may have" in sentence for sentence in found.refusals)


def test_a_remote_place_says_what_does_not_travel() -> None:
    found = plan(request(target="recas-bari", inputs={"x": reference(b"12345")}))
    assert found.site == "recas-bari"
    assert "Your home and the shares are not on recas-bari" in found.warnings[0]
    assert any("log of recas-bari" in sentence for sentence in found.warnings)
    assert any("5 will be sent to recas-bari" in sentence for sentence in found.warnings)


def test_somebody_elses_activity_cannot_be_charged() -> None:
    with pytest.raises(Forbidden, match="not in the activity cms-ml"):
        make_plan(platform(), person("lhcb-flashsim"), request(), heritage("cms-ml"))


def test_a_request_that_no_target_could_run_has_no_plan() -> None:
    with pytest.raises(InvalidInput, match="not a Python name"):
        plan(request(outputs=["a b"]))


@pytest.mark.parametrize(
    ("target", "flavour", "expected"),
    [
        pytest.param("auto", "cpu", "local", id="auto prefers the cluster"),
        pytest.param("local", "cpu", "local", id="the cluster by its name"),
        pytest.param("leonardo", "cpu", "leonardo", id="naming a place is the consent"),
    ],
)
def test_the_target_means_a_place(target: str, flavour: str, expected: str) -> None:
    assert choose_site(platform(), target, platform().flavour(flavour)).name == expected


def elsewhere(*, consent: bool) -> Platform:
    """A platform whose cluster has no CPU flavour, while one site has."""
    document = platform().model_dump()
    document["sites"] = [
        {"name": "here", "title": "This cluster", "flavours": ["t4"]},
        {"name": "far", "kind": "interlink", "title": "Far", "flavours": ["cpu"], "consent": consent},
    ]
    return Platform.model_validate(document)


def test_auto_goes_elsewhere_when_only_that_place_has_it() -> None:
    assert choose_site(elsewhere(consent=False), "auto", platform().flavour("cpu")).name == "far"


def test_auto_never_takes_data_where_it_needs_consent() -> None:
    with pytest.raises(InvalidInput, match=r"With your consent it can leave for: far \(--to NAME\)"):
        choose_site(elsewhere(consent=True), "auto", platform().flavour("cpu"))


def test_local_is_the_cluster_whatever_it_is_called() -> None:
    assert site_named(elsewhere(consent=True), "local").name == "here"


def test_a_platform_without_places_is_one() -> None:
    bare = Platform.model_validate(platform().model_dump() | {"sites": []})
    assert [site.name for site in sites(bare)] == ["local"]
    assert all(carries(sites(bare)[0], flavour) for flavour in bare.flavours)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("leonarda", "Did you mean 'leonardo'", id="a typing mistake"),
        pytest.param("moon", "There are: auto, local, cnaf-tier1", id="no such place"),
    ],
)
def test_an_unknown_place_gets_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        plan(request(target=name))


def test_targets_list_places_with_the_flavours_of_the_persons_activities() -> None:
    found = {target.name: target for target in targets(platform(), person("cms-ml"))}
    assert found["local"].kind == "local"
    assert "u55c" not in found["local"].flavours
    assert "t4" in found["local"].flavours
    assert found["leonardo"].kind == "slurm"
    assert found["leonardo"].flavours == ["cpu", "a100-40"]
    assert "consent" in found["leonardo"].description
    assert "u55c" in targets(platform(), person("fpga"))[0].flavours


def test_a_plan_travels_as_json() -> None:
    found = plan()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found


@pytest.mark.parametrize(
    ("session", "changes", "flavour", "said"),
    [
        pytest.param("t4", {}, "t4", "", id="the session's own"),
        pytest.param("t4", {"gpu": "none"}, "cpu", "", id="none, if that is said"),
        pytest.param("t4", {"gpu": "a100-40"}, "a100-40", "", id="another one"),
        pytest.param("cpu", {}, "cpu", "", id="a session without"),
        pytest.param("", {}, "cpu", "", id="no session"),
        pytest.param("gone", {}, "cpu", "", id="a flavour that is no more"),
        pytest.param("u55c", {}, "cpu", "", id="one of another activity"),
        pytest.param("a30", {}, "cpu", "the session has the only", id="the only one that a person may have"),
        pytest.param("t4", {"target": "leonardo"}, "cpu", "leonardo has no NVIDIA T4", id="a place without it"),
        pytest.param("t4", {"target": "local"}, "t4", "", id="this place"),
    ],
)
def test_a_job_that_names_no_accelerator_gets_that_of_its_session(
    session: str, changes: dict[str, Any], flavour: str, said: str
) -> None:
    from_session = replace(heritage(), flavour=session)
    found = make_plan(platform(), person("lhcb-flashsim"), request(**changes), from_session)
    assert (found.flavour, found.units) == (flavour, 1)
    assert any(said in warning for warning in found.warnings) if said else not found.warnings
