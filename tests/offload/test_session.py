from __future__ import annotations

import pytest
from support.offload import heritage, person, platform
from support.small_platform import POSIX, small_platform

from aiinfn_hub.errors import AiinfnError, Forbidden, InvalidInput
from aiinfn_hub.identity.hubapi import HubServer, HubUser
from aiinfn_hub.identity.person import Caller
from aiinfn_hub.offload.session import HubSessions, environment, inherit

CPU = platform().flavour("cpu")


@pytest.mark.parametrize(
    ("activities", "options", "expected"),
    [
        pytest.param(["cms-ml"], None, ("cms-ml", "the only one"), id="one activity needs no session"),
        pytest.param(["cms-ml"], {}, ("cms-ml", "the only one"), id="nor does it need an option"),
        pytest.param(
            ["cms-ml", "lhcb-flashsim"],
            {"activity": "lhcb-flashsim"},
            ("lhcb-flashsim", "chosen with the session"),
            id="the session says which of two",
        ),
        pytest.param(
            ["cms-ml"], {"activity": "lhcb-flashsim"}, ("cms-ml", "the only one"), id="a lost activity pays no more"
        ),
    ],
)
def test_the_session_decides_who_pays(
    activities: list[str], options: dict[str, str] | None, expected: tuple[str, str]
) -> None:
    found = inherit(person(*activities), "", options)
    assert (found.activity, found.activity_reason) == expected


def test_the_session_says_which_accelerator_it_has() -> None:
    assert inherit(person("cms-ml"), "", {"flavour": "t4"}).flavour == "t4"
    assert inherit(person("cms-ml"), "", {}).flavour == ""
    assert inherit(person("cms-ml"), "", None).flavour == ""


@pytest.mark.parametrize(
    ("activities", "options", "error", "words"),
    [
        pytest.param(["cms-ml", "fpga"], None, InvalidInput, "not clear which", id="two and no session"),
        pytest.param(["cms-ml", "fpga"], {"activity": "teaching"}, Forbidden, "no longer in it", id="thrown out since"),
        pytest.param(["nothing"], {"activity": "cms-ml"}, Forbidden, "in no activity", id="in none at all"),
    ],
)
def test_nobody_is_charged_by_guessing(
    activities: list[str], options: dict[str, str] | None, error: type[AiinfnError], words: str
) -> None:
    with pytest.raises(error, match=words):
        inherit(person(*activities), "", options)


@pytest.mark.parametrize(
    ("options", "expected"), [({"activity": "cms-ml"}, "gpu"), (None, "")], ids=["a session", "none of that name"]
)
def test_only_a_session_that_was_found_is_named(options: dict[str, str] | None, expected: str) -> None:
    assert inherit(person("cms-ml"), "gpu", options).server == expected


def test_an_image_of_the_list_is_its_reference() -> None:
    first = platform().images[0]
    assert environment(platform(), heritage(environment=f"image:{first.name}"), "", CPU) == (first.ref, "")


def test_the_request_may_name_an_image_without_its_kind() -> None:
    last = next(image for image in reversed(platform().images) if not image.redirect)
    assert environment(platform(), heritage(environment="image:other"), last.name, CPU) == (last.ref, "")


def test_a_replaced_image_becomes_its_successor() -> None:
    old = next(image for image in platform().images if image.redirect)
    reference, _ = environment(platform(), heritage(), f"image:{old.name}", CPU)
    assert reference == platform().image(old.redirect).ref


def test_without_any_word_it_is_the_first_image() -> None:
    assert environment(platform(), heritage(), "", CPU) == (platform().images[0].ref, "")


def test_an_unpacked_image_runs_inside_one_that_carries_it() -> None:
    folder = platform().image_policy.apptainer[0]
    reference, path = environment(platform(), heritage(), f"apptainer:{folder}/group/image", CPU)
    assert path == f"{folder}/group/image"
    assert reference == platform().image("carrier").ref


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param("image:nope", id="an image that is not in the list"),
        pytest.param("registry:evil.example.org/x:1", id="a registry that is not allowed"),
        pytest.param("evil.example.org/x:1", id="the same without its kind"),
        pytest.param("apptainer:/etc/passwd", id="a folder that is not allowed"),
        pytest.param("apptainer:/cvmfs/unpacked.infn.it/../../etc/x", id="a way out of the folder"),
        pytest.param("apptainer:/cvmfs/unpacked.infn.it/lab.sif", id="an image file without the capability"),
        pytest.param("registry:ghcr.io/a;rm -rf/b:1", id="a shell command"),
    ],
)
def test_the_image_policy_holds_for_jobs_too(wanted: str) -> None:
    with pytest.raises(InvalidInput):
        environment(platform(), heritage(), wanted, CPU)


class Hub:
    """A hub with one user."""

    def __init__(self, **servers: dict[str, str]) -> None:
        self.servers = servers
        self.shared: set[str] = set()

    async def is_shared(self, name: str, server: str) -> bool:
        assert name
        return server in self.shared

    async def uid(self, name: str) -> int:
        assert name
        return 200_123

    async def user(self, name: str) -> HubUser:
        found = {key: HubServer(name=key, user_options=options) for key, options in self.servers.items()}
        return HubUser(name=name, groups=(), servers=found)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("speaks", "asked", "expected"),
    [
        pytest.param("gpu", "", "lhcb-flashsim", id="the session that speaks counts"),
        pytest.param("gpu", "other", "lhcb-flashsim", id="whatever the request says"),
        pytest.param(None, "other", "cms-ml", id="a script names a session of its person"),
    ],
)
async def test_the_hub_says_what_a_session_was_started_with(speaks: str | None, asked: str, expected: str) -> None:
    hub = Hub(gpu={"activity": "lhcb-flashsim"}, other={"activity": "cms-ml"})
    sessions = HubSessions(small_platform(), hub)  # type: ignore[arg-type]  # as much of it as is used
    found = await sessions(Caller(person("lhcb-flashsim", "cms-ml"), speaks), asked)
    assert found.activity == expected


@pytest.mark.asyncio
async def test_a_shared_session_sends_no_jobs_and_the_others_do() -> None:
    """Security rule 3: a guest would send them in the owner's name, on the owner's budget."""
    hub = Hub(gpu={"activity": "lhcb-flashsim"}, other={"activity": "lhcb-flashsim"})
    hub.shared.add("gpu")
    sessions = HubSessions(small_platform(), hub)  # type: ignore[arg-type]  # as much of it as is used
    ada = person("lhcb-flashsim")
    with pytest.raises(Forbidden, match="shared"):
        await sessions(Caller(ada, "gpu"), "other")
    assert (await sessions(Caller(ada, "other"), "gpu")).server == "other"
    assert (await sessions(Caller(ada), "gpu")).server == "gpu", "a script of the person's own, outside of any session"


@pytest.mark.asyncio
async def test_a_job_has_the_posix_user_of_its_person_where_people_have_one() -> None:
    hub = Hub(gpu={"activity": "lhcb-flashsim"})
    ada = Caller(person("lhcb-flashsim"), "gpu")
    with_posix = HubSessions(small_platform(posix=POSIX), hub)  # type: ignore[arg-type]
    assert (await with_posix(ada, "")).uid == 200_123
    without = HubSessions(small_platform(), hub)  # type: ignore[arg-type]
    assert (await without(ada, "")).uid is None
