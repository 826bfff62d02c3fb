"""The object store: what a pod is told is enough for real libraries and a real JupyterLab, and holds no key."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.jupyter import JUPYTER_TOKEN, JupyterServer
from support.objectstore import running_store
from support.small_platform import small_platform

from aiinfn_hub.pods import iam_token
from aiinfn_labext.store import FILE, MARK, show

ROLE = "arn:aws:iam::123456789012:role/aiinfn"


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, Any]]:
    with running_store() as (url, client):
        client.create_bucket(Bucket="user-mrossi")
        client.put_object(Bucket="user-mrossi", Key="runs/loss.txt", Body=b"0.214")
        yield url, client


def variables(url: str, token: Path) -> dict[str, str]:
    """What a pod of mrossi has, with its folder of the token at `token`."""
    tokens = {
        "scopes": ["storage.read:/"],
        "object_store": {"endpoint": url, "role": ROLE, "region": "us-east-1", "buckets": ["user-{person}"]},
    }
    platform = small_platform(tokens=tokens)
    assert platform.tokens
    found = iam_token.environment(platform.tokens, "mrossi", platform.activity("lhcb"))
    # As the embedded platform does it: the token is a file of this machine.
    return {name: value.replace(f"{iam_token.FOLDER}/{iam_token.TOKEN}", str(token)) for name, value in found.items()}


def around(environ: dict[str, str]) -> dict[str, str]:
    """The environment of a process, with nothing of this machine's own for AWS."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER"))} | environ


def test_nothing_that_a_pod_is_told_is_a_key(store: tuple[str, Any], tmp_path: Path) -> None:
    found = variables(store[0], tmp_path / "token")
    assert not [name for name in found if "SECRET" in name or "ACCESS_KEY" in name or name.endswith("TOKEN")]
    assert found["AIINFN_BUCKETS"] == "user-mrossi"
    assert found["AWS_ROLE_SESSION_NAME"] == "mrossi"


def test_programs_read_and_write_with_the_token_alone(store: tuple[str, Any], tmp_path: Path) -> None:
    url, client = store
    (tmp_path / "token").write_text("header.payload.signature")
    program = """
import fsspec
print(fsspec.open("s3://user-mrossi/runs/loss.txt").open().read().decode())
with fsspec.open("s3://user-mrossi/out.txt", "w") as file:
    file.write("written")
"""
    environ = around(variables(url, tmp_path / "token"))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "0.214\n"), done.stderr
    assert client.get_object(Bucket="user-mrossi", Key="out.txt")["Body"].read() == b"written"


def test_without_the_token_there_is_no_way_in(store: tuple[str, Any], tmp_path: Path) -> None:
    environ = around(variables(store[0], tmp_path / "no-token"))
    program = 'import boto3; boto3.client("s3").list_objects_v2(Bucket="user-mrossi")'
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "no-token" in done.stderr, "the file is what is missing"


def test_jupyterlab_shows_the_buckets(store: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    (tmp_path / "token").write_text("header.payload.signature")
    ours = variables(store[0], tmp_path / "token") | {
        "AIINFN_SERVICE_URL": "http://127.0.0.1:1/services/aiinfn",
        "JUPYTERHUB_API_TOKEN": "x",
    }
    server = JupyterServer(tmp_path, ours)
    try:
        headers = {"Authorization": f"token {JUPYTER_TOKEN}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=20) as http:
            known = _answered(http, "jupyter_fsspec/config")
            assert [one["name"] for one in known] == ["user-mrossi"]
            query = f"jupyter_fsspec/files?key={known[0]['key']}&item_path=user-mrossi/runs"
            names = [one["name"].rpartition("/")[2] for one in _answered(http, query)]
            assert names == ["loss.txt"]
    finally:
        server.stop()
    assert JUPYTER_TOKEN not in (tmp_path / "jupyter.log").read_text()


def _answered(http: httpx.Client, path: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while True:
        answer = http.get(path)
        if answer.status_code == 200 or time.monotonic() > deadline:
            assert answer.status_code == 200, answer.text
            body: list[dict[str, Any]] = answer.json()["content"]
            return body
        time.sleep(0.2)


def test_who_has_a_file_of_their_own_keeps_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("sources: []\n")
    assert not show({"AIINFN_BUCKETS": "a"}, tmp_path)
    assert (tmp_path / FILE).read_text() == "sources: []\n"


def test_ours_follows_the_platform(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "config"
    assert show({"AIINFN_BUCKETS": "a"}, folder)
    assert show({"AIINFN_BUCKETS": "a,b"}, folder)
    text = (folder / FILE).read_text()
    assert text.startswith(MARK)
    assert yaml.safe_load(text) == {
        "sources": [{"name": "a", "path": "s3://a"}, {"name": "b", "path": "s3://b"}],
    }
    assert not show({}, folder)


def test_a_home_that_cannot_be_written_keeps_nobody_from_working(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert not show({"AIINFN_BUCKETS": "a"}, tmp_path / "file" / "config")
    assert "cannot be written" in caplog.text
