"""What goes wrong in the released KubeSpawner (7.1.0), and does not in ours: each attempt on both classes.

The stock class is expected to fail each of them, strictly: when a later release mends one, this says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from support.hubfakes import FakeUser, in_groups, make_spawner, write_platform
from support.small_platform import FLAVOURS, IMAGES
from traitlets.config import Config

from aiinfn_hub.sessions.diagnosis import diagnose

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("fresh_kubeconfig")]

#: What somebody types into the field for an image, which is to be of one repository.
FOREIGN = "ghcr.io/infn/x:1@evil.example/y --foo"
SCRIPT = "<script>alert(1)</script>"
Make = Callable[..., Any]
EVENT = {
    "type": "Warning",
    "reason": "FailedScheduling",
    "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available.",
    "metadata": {"uid": "e1", "name": "e", "namespace": "aiinfn"},
    "involvedObject": {"name": "jupyter-mrossi", "uid": "u1"},
    "lastTimestamp": "2026-11-30T12:00:00Z",
}


def profile(title: str = "GPU") -> dict[str, Any]:
    """What the documentation of the stock class has for an image that is typed."""
    unlisted = {
        "enabled": True,
        "display_name": "Image",
        "validation_regex": r"ghcr\.io/infn/[a-z]+:[0-9]+",
        "kubespawner_override": {"image": "{value}"},
    }
    choices = {"a": {"display_name": "a", "kubespawner_override": {"image": "ghcr.io/infn/a:1"}}}
    option = {"display_name": "Image", "choices": choices, "unlisted_choice": unlisted}
    return {"display_name": title, "slug": "gpu", "profile_options": {"image": option}}


def ours(folder: Path, options: dict[str, Any] | None = None, **more: Any) -> Any:
    title = more.get("title")
    if title:
        images = [IMAGES[0] | {"title": title}, *IMAGES[1:]]
        write_platform(
            folder / "platform.yaml", images=images, flavours=[FLAVOURS[0] | {"title": title}, *FLAVOURS[1:]]
        )
    groups = in_groups("/aiinfn", *(() if more.get("nothing") else ("/aiinfn/lhcb",)))
    return make_spawner(folder, user=FakeUser(groups=groups), options=options)


class Stock(KubeSpawner):  # type: ignore[misc]  # KubeSpawner has no types
    """The stock class, with an Event of Kubernetes that it has seen."""

    events = property(lambda _self: [EVENT])


def stock(_folder: Path, options: dict[str, Any] | None = None, **more: Any) -> Any:
    profiles: Any = [profile(more.get("title") or "GPU")]
    if more.get("nothing"):
        profiles = lambda _spawner: []  # noqa: E731  what a site writes that has nothing for somebody
    if more.get("asynchronous"):
        profiles[0]["kubespawner_override"] = {"cpu_limit": more["asynchronous"]}
        del profiles[0]["profile_options"]
    user = FakeUser(groups=in_groups("/aiinfn"))
    spawner = Stock(
        config=Config(KubeSpawner={"profile_list": profiles}),
        user=user,
        hub=SimpleNamespace(public_host="", url="http://h/", base_url="/hub/", api_url="http://h/hub/api"),
        orm_spawner=SimpleNamespace(name="", server=None, user_options={}),
        api_token="x",
        oauth_client_id="jupyterhub-user-mrossi",
    )
    spawner.user_options = options or {}
    return spawner


BOTH = pytest.mark.parametrize(
    "make",
    [
        pytest.param(ours, id="ours"),
        pytest.param(stock, id="stock", marks=pytest.mark.xfail(strict=True, reason="a defect of KubeSpawner 7.1.0")),
    ],
)


async def start(spawner: Any) -> dict[str, Any]:
    """The pod that a start would make."""
    await spawner.load_user_options()
    manifest: dict[str, Any] = ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest())
    return manifest


def typed(make: Make, image: str) -> dict[str, Any]:
    """The options of somebody who types an image."""
    if make is ours:
        return {"environment": f"registry:{image}"}
    return {"profile": "gpu", "image": "unlisted", "image--unlisted-choice": image}


@BOTH
async def test_v8_a_pattern_is_matched_to_its_end(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"not an image reference|not allowed|validate"):
        await start(make(tmp_path, typed(make, FOREIGN)))


@BOTH
async def test_v9_an_unknown_choice_is_no_error_of_the_server(make: Make, tmp_path: Path) -> None:
    options = {"environment": "image:b"} if make is ours else {"profile": "gpu", "image": "b"}
    with pytest.raises(Exception, match=r".") as refused:
        await start(make(tmp_path, options))
    assert getattr(refused.value, "status_code", 500) == 400


@BOTH
async def test_v10_who_may_use_nothing_starts_nothing(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no activity"):
        await start(make(tmp_path, nothing=True))


@BOTH
async def test_v11_saved_options_that_cannot_be_used_do_not_fill_in_the_form(make: Make, tmp_path: Path) -> None:
    spawner = make(tmp_path, {"profile": "gpu", "image": "unlisted", "image--unlisted-choice": "evil.example/stale:1"})
    spawner.last = getattr(spawner, "last", None)
    if make is ours:
        spawner.last.worked = {"environment": "registry:evil.example/stale:1"}
        page = await spawner.spawn_form()
    else:
        page = spawner._render_options_form(spawner.profile_list)
    assert "evil.example/stale:1" not in page


@BOTH
async def test_v12_what_a_title_holds_is_shown_and_not_run(make: Make, tmp_path: Path) -> None:
    spawner = make(tmp_path, title=SCRIPT)
    page = await spawner.spawn_form() if make is ours else spawner._render_options_form(spawner.profile_list)
    assert SCRIPT not in page
    assert "&lt;script&gt;" in page


@BOTH
async def test_v13_what_is_asked_for_is_awaited(make: Make, tmp_path: Path) -> None:
    """The documentation says that an override may be async. Ours awaits the service before it decides."""

    def half(_spawner: Any) -> asyncio.Future[float]:
        found: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        found.set_result(0.5)
        return found

    manifest = await start(make(tmp_path, {} if make is ours else {"profile": "gpu"}, asynchronous=half))
    assert manifest["spec"]["containers"][0]["resources"]["limits"]["cpu"] is not None


@BOTH
async def test_v15_a_link_takes_nothing_without_a_click(make: Make, tmp_path: Path) -> None:
    """JupyterHub starts with whatever options come from the query of a link; ours answers with the form."""
    spawner = make(tmp_path)
    query = {"flavour": ["t4"]} if make is ours else {"profile": ["gpu"]}
    convert = getattr(spawner, "options_from_query", None) or spawner.options_from_form
    with pytest.raises(Exception, match="Nothing is started before you press Start"):
        convert(query)


@BOTH
async def test_v16_a_wait_is_explained_with_a_next_step(make: Make, tmp_path: Path) -> None:
    """Of ours the sentence; the stock class shows the scheduler's own line."""
    if make is ours:
        condition = {"type": "PodScheduled", "status": "False", "message": EVENT["message"]}
        found = diagnose({"metadata": {}, "spec": {}, "status": {"conditions": [condition]}})
        said = f"{found.sentence} {found.next_step}"
    else:
        spawner = make(tmp_path)
        spawner._start_watching_events = _nothing
        spawner._start_future = _done()
        said = "".join([message["message"] async for message in spawner.progress()])
    assert "Every GPU of this kind is in use" in said
    assert "0/4 nodes" not in said


async def _nothing() -> None:
    """Watches nothing."""


def _done() -> Any:
    return SimpleNamespace(done=lambda: True)
