"""Security rule 4: everything logs as much as it can, a journey is walked, and no secret is found anywhere."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet
from support.demo import RunningDemo, Visitor, running_demo
from support.people_at_work import A30, ask, job, session

from aiinfn_hub.kube.client import CONFIGMAPS, EVENTS, JOBS, NODES, PODS, SECRETS, WORKLOADS, KubeClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

#: Three parts of base64url, the first two of them JSON: a token, whoever signed it.
JWT = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
JOB = "%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --token --wait\ntotal = sum(x)\nprint(total)\n"
#: What a process may hold in its environment: the server's own token, which JupyterHub forces, and the proxy's.
ALLOWED = {"JUPYTERHUB_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("demo") / "home", "--debug") as running:
        yield running


async def walk(demo: RunningDemo) -> tuple[dict[str, bytes], dict[str, str]]:
    """The journey: pages that were seen, and the secrets that it brought about."""
    scientist, kernel = await session(demo, "scientist", **A30)
    await kernel.run("x = [1, 2, 3]")
    assert (await kernel.run(JOB)).status == "ok"
    await job(scientist, "fit", "succeeded")
    code = "import os\nprint(os.environ['JUPYTERHUB_API_TOKEN'], open(os.environ['BEARER_TOKEN_FILE']).read())"
    server_token, iam_token = (await kernel.run(code)).text.split()
    failed = await kernel.run("%%offload bad --cpu 10000\n1")
    pi = Visitor(demo, "pi")
    await pi.login()
    await pi.spawn(A30)  # waits in the queue
    outsider = await Visitor(demo, "outsider").login()
    operator = Visitor(demo, "operator")
    await operator.login()
    pages = {"refused": outsider.content, "failed": f"{failed.shown}{failed.error}".encode()}
    for visitor, path in (
        (scientist, "hub/home"),
        (scientist, "hub/token"),
        (pi, "hub/spawn"),
        (operator, "hub/admin"),
        *((operator, f"services/aiinfn/{path}") for path in ("", "operator", "audit", "api/audit", "api/tickets")),
    ):
        pages[path] = (await visitor.http.get(f"{demo.info['hub_url'].rstrip('/')}/{path}")).content
    await ask(scientist, "jobs")
    secrets = {"server token": server_token, "IAM token": iam_token} | cookies(scientist, operator)
    return pages, secrets


def cookies(*visitors: Visitor) -> dict[str, str]:
    """What a browser is known by. `_xsrf` is meant to be in pages; `jupyterhub-session-id` opens nothing.

    The last is how a logout finds the tokens of one login (https://jupyterhub.readthedocs.io, "Cookies").
    """
    return {
        f"cookie {cookie.name} of {visitor.name}": cookie.value or ""
        for visitor in visitors
        for cookie in visitor.http.cookies.jar
        if cookie.name not in ("_xsrf", "jupyterhub-session-id") and len(cookie.value or "") > 16
    }


def logins(home: Path) -> dict[str, str]:
    """Access and refresh tokens of everybody, out of the encrypted state of the hub."""
    key = bytes.fromhex((home / "secrets" / "auth-state-key").read_text().strip())
    fernet, found = Fernet(base64.urlsafe_b64encode(key)), {}
    with closing(sqlite3.connect(home / "hub" / "jupyterhub.sqlite")) as connection:
        rows = connection.execute("SELECT name, encrypted_auth_state FROM users WHERE encrypted_auth_state IS NOT NULL")
        for name, encrypted in rows:
            state = json.loads(fernet.decrypt(encrypted))
            found |= {f"{part} of {name}": state[part] for part in ("access_token", "refresh_token")}
    return found


def kept(home: Path) -> dict[str, str]:
    """The files of secrets, and the tokens of the kubeconfigs."""
    found = {
        path.name: path.read_text().strip() for path in (home / "secrets").iterdir() if path.name != "database-url"
    }
    found["switches"] = (home / "iam" / "switches.token").read_text().strip()
    for path in home.rglob("*kubeconfig*"):
        for user in (yaml.safe_load(path.read_text()) or {}).get("users", []) if path.is_file() else []:
            found |= {f"{path.name} {user['name']}": user["user"].get("token", "")}
    return found


async def cluster(kubeconfig: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """Every object but the Secrets, and what is in those."""
    client = await KubeClient.connect(Path(kubeconfig))
    try:
        objects = {
            kind.plural: json.dumps((await client.list(kind))[0]).encode()
            for kind in (PODS, JOBS, WORKLOADS, EVENTS, CONFIGMAPS, NODES)
        }
        found: dict[str, str] = {}
        for secret in (await client.list(SECRETS))[0]:
            for name, value in (secret.get("data") or {}).items():
                found[f"{secret['metadata']['name']} {name}"] = base64.b64decode(value).decode(errors="replace")
        return objects, {name: text for name, text in found.items() if not name.endswith("about.json")}
    finally:
        await client.close()


def environments(demo: RunningDemo) -> dict[str, bytes]:
    """Of every process of the demo, without the two variables that have to be there; and the command lines."""
    found = {}
    for pid in demo.children(""):
        process = Path(f"/proc/{pid}")
        try:
            lines = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        found[f"process {pid}"] = command + b"\n".join(
            line for line in lines if line.partition(b"=")[0].decode() not in ALLOWED
        )
    return found


def logs(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*.log") if path.is_file()}


@pytest.mark.asyncio
async def test_no_secret_is_in_a_log_a_manifest_an_event_an_environment_or_a_page(demo: RunningDemo) -> None:
    pages, secrets = await walk(demo)
    objects, more = await cluster(demo.info["kubeconfig"])
    secrets |= more | kept(demo.home) | logins(demo.home)
    secrets = {name: text for name, text in secrets.items() if len(text) >= 12}
    assert any(name.startswith("job-") and name.endswith("-iam token") for name in secrets)
    assert {"server token", "IAM token", "iam-client-secret", "hub-key", "refresh_token of scientist"} <= set(secrets)
    places = logs(demo.home) | objects | pages | environments(demo)
    assert {"logs/hub.log", "logs/service.log", "logs/demo.log", "pods", "events"} <= set(places)
    assert b" DEBUG " in places["logs/service.log"]
    assert b"[D " in places["logs/hub.log"]
    database = demo.home / "service" / "aiinfn.sqlite"
    places["the service's database"] = database.read_bytes() + database.with_name("aiinfn.sqlite-wal").read_bytes()
    found = [(name, where) for name, text in secrets.items() for where, data in places.items() if text.encode() in data]
    found += [("a JWT", where) for where, data in places.items() if JWT.search(data)]
    assert not found, "\n".join(f"{name} in {where}" for name, where in found)


@pytest.mark.asyncio
async def test_the_search_would_find_one(demo: RunningDemo) -> None:
    """A test that cannot fail is none: the same search, where there is something."""
    token = logins(demo.home)["access_token of scientist"]
    assert JWT.search(f"GET /x?token={token} HTTP/1.1".encode())
    processes = environments(demo)
    assert any(b"jupyterhub-singleuser" in data or b"AIINFN_SERVICE_URL" in data for data in processes.values())
