"""The token of the IAM in a running JupyterLab: it changes under a reader, and is not there while others may look."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml
from support.demo import Kernel, RunningDemo, Visitor
from support.people_at_work import job, session, stop

from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.kube.kinds import SECRETS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

#: Reads the file all the time, as a transfer of many files would, and remembers what was strange.
READER = """
import os, threading, time
PATH = os.environ["BEARER_TOKEN_FILE"]
seen, strange = [], []
def read():
    while True:
        try:
            text = open(PATH).read()
        except FileNotFoundError:
            text = ""
        if text.count(".") not in (0, 2) or text != text.strip():
            strange.append(text)
        if not seen or seen[-1] != text:
            seen.append(text)
        time.sleep(0.001)
threading.Thread(target=read, daemon=True).start()
time.sleep(0.1)
"""
CLAIMS = """
import base64, json
part = open(os.environ["BEARER_TOKEN_FILE"]).read().split(".")[1]
claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
print(json.dumps({name: claims.get(name) for name in ("aud", "sub", "scope", "wlcg.groups")}))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kernel(demo: RunningDemo) -> AsyncIterator[Kernel]:
    _, kernel = await session(demo, "scientist")
    assert (await kernel.run(READER)).status == "ok"
    yield kernel
    assert (await kernel.run("print(strange)")).text == "[]\n", "a reader has the old token or the new one"


async def seen(kernel: Kernel) -> list[str]:
    """A few letters of each token that the reader has seen; "" where there was no file."""
    found = await kernel.run("import json; print(json.dumps([text[-8:] for text in seen]))")
    return list(json.loads(found.text))


async def until(kernel: Kernel, length: int, timeout_s: float = 60) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while len(found := await seen(kernel)) < length:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    return found


async def test_it_is_there_when_the_first_cell_runs_and_tools_find_it(demo: RunningDemo, kernel: Kernel) -> None:
    claims = json.loads((await kernel.run(CLAIMS)).text)
    sub = claims.pop("sub")
    assert claims == {"aud": "https://storage.aiinfn.invalid", "scope": None, "wlcg.groups": None}
    about = json.loads((await kernel.run("print(open(os.path.dirname(PATH) + '/about.json').read())")).text)
    assert about["scopes"] == ["storage.read:/", "storage.modify:/"]
    assert about["missing"] == []
    asked = f'curl -s --oauth2-bearer "$(cat $BEARER_TOKEN_FILE)" {demo.info["iam_issuer"]}userinfo'
    answer = await kernel.run(f"import subprocess; print(subprocess.getoutput({asked!r}))")
    assert json.loads(answer.text)["sub"] == sub, "the token is alive at the IAM"


async def test_it_changes_under_a_reader(demo: RunningDemo, kernel: Kernel) -> None:
    path = Path(json.loads((demo.home / "settings.json").read_text())["platform_file"])
    platform = yaml.safe_load(path.read_text())
    platform["tokens"]["scopes"] = ["storage.read:/"]
    path.write_text(yaml.safe_dump(platform))
    first, second = await until(kernel, 2)
    assert first
    assert second


async def test_it_is_gone_while_the_server_is_shared(demo: RunningDemo, kernel: Kernel) -> None:
    before = await seen(kernel)
    operator = Visitor(demo, "operator")
    await operator.login()
    await Visitor(demo, "pi").login()
    shared = await operator.api("POST", "/shares/scientist/", json={"user": "pi"})
    assert shared.status_code == 200, shared.text
    assert (await until(kernel, len(before) + 1))[-1] == ""
    assert (await kernel.run("print(os.path.exists(PATH))")).text == "False\n"
    sent = await kernel.run("%%offload forbidden --cpu 1 --mem 512Mi --time 1m\nprint(1)")
    assert "This session is shared" in sent.shown + sent.error, "a guest would send it in the owner's name"
    ended = await operator.api("DELETE", "/shares/scientist/")
    assert ended.status_code == 204, ended.text
    assert (await until(kernel, len(before) + 2))[-1] not in ["", *before]


async def test_nothing_else_of_the_login_is_in_the_session(demo: RunningDemo, kernel: Kernel) -> None:
    """No refresh token, no client secret, nobody's access token: not in the environment, and not beside the file."""
    code = "print(json.dumps([dict(os.environ), sorted(os.listdir(os.path.dirname(PATH)))]))"
    environment, files = json.loads((await kernel.run(code)).text)
    assert [name for name in files if not name.startswith("..")] == ["about.json", "token"]
    secret = (demo.home / "secrets" / "iam-client-secret").read_text().strip()
    for name, value in environment.items():
        assert secret not in value, name
        assert value.count(".") != 2 or not value.startswith("ey"), name


async def test_the_operator_reads_who_had_a_token_and_why_it_went(demo: RunningDemo, kernel: Kernel) -> None:
    del kernel
    operator = Visitor(demo, "operator")
    await operator.login()
    acts: set[tuple[str, str, str]] = set()
    wanted = {
        ("login", "scientist", "scientist"),
        ("token-issued", "", "scientist"),
        ("token-taken", "", "scientist"),
        ("admin", "operator", "scientist"),  # who shared the server
    }
    deadline = time.monotonic() + 30
    while not wanted <= acts:
        assert time.monotonic() < deadline, acts
        answer = await operator.http.get(f"{demo.info['panel_url']}api/audit", params={"person": "scientist"})
        acts = {(act["what"], act["actor"], act["about"]) for act in answer.json()["acts"]}
        await asyncio.sleep(0.5)
    assert "." + "ey" not in answer.text


async def is_alive(demo: RunningDemo, token: str) -> bool:
    """What a storage that asks the IAM is told."""
    secret = (demo.home / "secrets" / "iam-client-secret").read_text().strip()
    async with httpx.AsyncClient(auth=("aiinfn-hub", secret), base_url=demo.info["iam_issuer"]) as http:
        answer = await http.post("introspect", data={"token": token})
    return bool(answer.json()["active"])


async def test_the_token_of_a_job_outlives_the_notebook_and_ends_with_the_job(demo: RunningDemo) -> None:
    visitor, kernel = await session(demo, "pi")
    # The job sleeps for longer than the session takes to stop, so that its token is looked at between the two ends.
    sent = await kernel.run(
        "%%offload copy --token --cpu 1 --mem 512Mi --time 5m --out end\n"
        "import os, time\n"
        "end = open(os.environ['BEARER_TOKEN_FILE']).read()[-8:]\n"
        "time.sleep(30)\n"
    )
    assert sent.status == "ok", sent
    run = (await job(visitor, "copy", "running"))["id"]
    client = await KubeClient.connect(Path(demo.info["kubeconfig"]))
    try:
        secret = await client.get(SECRETS, f"job-{run}-iam", "aiinfn")
    finally:
        await client.close()
    token = base64.b64decode(secret["data"]["token"]).decode()
    await stop(visitor)
    assert await is_alive(demo, token), "the session's has ended, the job's goes on"
    await job(visitor, "copy", "succeeded")
    end = await visitor.http.get(f"{demo.info['service_url']}/api/jobs/{run}/outputs/end")
    assert end.text == token[-8:]
    async with asyncio.timeout(90):
        while await is_alive(demo, token):
            await asyncio.sleep(1)
