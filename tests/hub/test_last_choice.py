"""What a server was last started with: what worked is kept, what failed is not offered, a full home is remembered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.hubfakes import make_spawner
from support.small_platform import small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.hub.last_choice import LastChoice
from aiinfn_hub.identity.person import person_of
from aiinfn_hub.sessions.form import Attempt

GPU = {"activity": "lhcb", "flavour": "t4"}
CPU = {"activity": "lhcb", "flavour": "cpu"}


def start(outcome: str) -> asyncio.Future[None] | None:
    """A start that is under way, succeeded, failed, was cancelled, or was of an earlier hub."""
    if outcome == "of an earlier hub":
        return None
    found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if outcome == "succeeded":
        found.set_result(None)
    elif outcome == "failed":
        found.set_exception(RuntimeError("x"))
    elif outcome == "was cancelled":
        found.cancel()
    return found


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("outcome", "worked"),
    [
        ("succeeded", CPU),
        ("of an earlier hub", CPU),
        ("failed", GPU),
        ("was cancelled", GPU),
        ("is under way", GPU),
    ],
)
async def test_only_what_ran_has_worked(outcome: str, worked: dict[str, Any]) -> None:
    last = LastChoice()
    last.ran(GPU, None)
    last.ran(CPU, start(outcome))
    assert last.worked == worked


def test_a_link_or_a_mistake_is_shown_once() -> None:
    last = LastChoice()
    last.ran(CPU, None)
    last.attempt = Attempt(GPU, notice="A link.")
    assert last.take(None).options == GPU
    assert last.take(None).options == CPU


def test_what_waits_in_the_queue_is_shown_before_what_worked() -> None:
    last = LastChoice()
    last.ran(CPU, None)
    assert last.take(GPU).options == GPU


def test_a_full_home_is_remembered_by_the_next_spawner_until_a_session_runs() -> None:
    """JupyterHub replaces the spawner of a start that failed, and has its state only."""
    failed = LastChoice()
    failed.ran(CPU, None)
    failed.failed("home-full", GPU)
    after = LastChoice()
    after.load(failed.state())
    for _ in range(2):
        found = after.take(None)
        assert found.options == GPU | {"rescue": "1"}
        assert found.notice.startswith("Your home is full.")
    after.ran(found.options, None)
    assert after.take(None) == Attempt(GPU), "the next one is as ever"
    assert after.state() == {"aiinfn_worked": GPU}


def test_another_failure_has_nothing_to_be_rescued() -> None:
    last = LastChoice()
    last.failed("home-full", GPU)
    last.failed("image-missing", GPU)
    assert last.take(None) == Attempt({})


@pytest.mark.parametrize("state", [{}, {"pod_name": "x"}, {"aiinfn_worked": None}])
def test_a_state_of_before(state: dict[str, Any]) -> None:
    last = LastChoice()
    last.load(state)
    assert last.take(None) == Attempt({})


def test_a_button_that_has_nothing_to_start_is_a_mistake_of_the_form() -> None:
    platform = small_platform()
    person = person_of(platform, "ada", ["/aiinfn", "/aiinfn/lhcb"])
    options, mistake = LastChoice().read(platform, person, {"quick": ["again"]})
    assert options == {}
    assert isinstance(mistake, InvalidInput)


@pytest.mark.asyncio
@pytest.mark.usefixtures("fresh_kubeconfig")
async def test_jupyterhub_keeps_it_with_the_state_of_the_server(tmp_path: Path) -> None:
    one, other = make_spawner(tmp_path), make_spawner(tmp_path)
    one.last.ran(GPU, None)
    other.load_state(one.get_state())
    assert other.last.worked == GPU
    other.clear_state()
    assert other.get_state()["aiinfn_worked"] == GPU, "a server that has ended still has it"


def test_what_ran_is_a_record_that_outlives_the_hub() -> None:
    pod = {"spec": {"containers": [{"name": "notebook", "image": "ghcr.io/infn/pytorch:2.9"}]}}
    last, later = LastChoice(), LastChoice()
    last.ran(GPU | {"rescue": "1"}, None, pod)
    last.ran(CPU, None, None)
    later.load(last.state())
    [record] = later.records
    assert (record["options"], record["image"]) == (GPU, "ghcr.io/infn/pytorch:2.9")
    assert later.worked == CPU
