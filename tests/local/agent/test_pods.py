"""Pods that run as processes: from the binding to the end, as a kubelet would report it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from support.nodeagent import (
    NAMESPACE,
    Cluster,
    alive,
    phase,
    pod,
    python,
    running_cluster,
    state,
    until_dead,
    waiting_for,
)

from aiinfn_hub.kube.client import CONFIGMAPS, PODS, SECRETS
from aiinfn_hub.kube.slim import decode_pod
from aiinfn_hub.local.agent import wording


def conditions(found: dict) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found["status"]["conditions"]}


@pytest.mark.asyncio
async def test_a_command_runs_to_its_end_and_the_api_serves_what_it_said(cluster: Cluster) -> None:
    await cluster.create(pod("hello", "sh", "-c", "echo hello; echo trouble >&2"))
    found = await cluster.until("hello", phase("Succeeded"))
    assert await cluster.log("hello") == "hello\ntrouble\n"
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert conditions(found)["Ready"] == ("False", "PodCompleted")
    assert conditions(found)["PodScheduled"] == ("True", "")


@pytest.mark.asyncio
async def test_a_running_pod_has_an_address_and_everything_that_clients_want(cluster: Cluster) -> None:
    await cluster.create(pod("session", "sleep", "60"))
    found = await cluster.until("session", phase("Running"))
    status = found["status"]
    assert status["podIP"].startswith("127.77.")
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"] == "127.0.0.1"
    (container,) = status["containerStatuses"]
    for needed in ("image", "imageID", "containerID", "name"):
        assert container[needed], needed
    assert container["ready"]
    assert container["started"]
    assert container["restartCount"] == 0
    assert conditions(found) == {
        "PodReadyToStartContainers": ("True", ""),
        "Initialized": ("True", ""),
        "Ready": ("True", ""),
        "ContainersReady": ("True", ""),
        "PodScheduled": ("True", ""),
    }


@pytest.mark.asyncio
async def test_our_own_reader_of_pods_understands_the_status(cluster: Cluster) -> None:
    await cluster.create(pod("failing", "sh", "-c", "exit 3"))
    await cluster.until("failing", phase("Failed"))
    (text,), _ = await cluster.client.list_raw(PODS, NAMESPACE)
    record = decode_pod(text)
    assert (record.phase, record.exit_code, record.exit_reason) == ("Failed", 3, "Error")
    assert record.started
    assert record.ran_from
    assert record.finished


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        pytest.param(("sh", "-c", "exit 7"), 7, "Error", id="an exit code is reported as it is"),
        pytest.param(("sh", "-c", "kill -TERM $$$$"), 143, "Error", id="a signal is 128 and its number"),
        pytest.param(("sh", "-c", "kill -KILL $$$$"), 137, "Error", id="a kill is 137, without a memory limit no OOM"),
        pytest.param(("no-such-program",), 128, "StartError", id="a program that is not there cannot start"),
        pytest.param(("/etc/hostname",), 128, "StartError", id="a file that is no program cannot start"),
        pytest.param(("/no/such",), 128, "StartError", id="a path that is not there cannot start"),
    ],
)
async def test_how_a_container_ended(cluster: Cluster, command: tuple[str, ...], code: int, reason: str) -> None:
    await cluster.create(pod("p", *command))
    found = await cluster.until("p", phase("Failed"))
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    assert conditions(found)["Ready"] == ("False", "PodFailed")
    if reason == "StartError":
        assert ended["message"].startswith("failed to create containerd task")
        assert command[0] in ended["message"]
        assert ended["startedAt"] == "1970-01-01T00:00:00Z"


@pytest.mark.asyncio
async def test_the_kubelets_events_are_written_in_its_words(cluster: Cluster) -> None:
    await cluster.create(pod("p", "sleep", "60"))
    await cluster.until("p", phase("Running"))
    await cluster.delete("p")
    await asyncio.sleep(0.2)
    assert await cluster.events("p") == [
        ("Pulled", 'Container image "example.org/image:1" already present on machine and can be accessed by the pod'),
        ("Created", "Container created"),
        ("Started", "Container started"),
        ("Killing", "Stopping container main"),
    ]


@pytest.mark.asyncio
async def test_a_bound_pod_starts_about_as_fast_as_its_process(cluster: Cluster) -> None:
    """About 0.06 s on a quiet machine, of which a Python alone takes 0.02 s; busy, both take longer."""
    source, delays, alone = "import time; print(time.time(), flush=True)", [], []
    for number in range(5):
        begun = time.time()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, stdout=PIPE)
        alone.append(float((await process.communicate())[0]) - begun)
        bound = time.time()
        await cluster.create(pod(f"p{number}", *python(source)))
        await cluster.until(f"p{number}", phase("Succeeded"))
        delays.append(float(await cluster.log(f"p{number}")) - bound)
    assert min(delays) < 8 * min(alone), (delays, alone)


@pytest.mark.asyncio
async def test_init_containers_run_one_after_the_other_before_the_others(cluster: Cluster) -> None:
    volume = {"volumes": [{"name": "shared", "emptyDir": {}}]}
    mount = [{"name": "shared", "mountPath": "/shared"}]
    init = [
        {"name": name, "image": "i", "command": ["sh", "-c", f"echo {name} >> /shared/order"], "volumeMounts": mount}
        for name in ("first", "second")
    ]
    said = await cluster.output(
        "p", "cat", "/shared/order", initContainers=init, container={"volumeMounts": mount}, **volume
    )
    assert said.split() == ["first", "second"]
    found = await cluster.get("p")
    assert [s["state"]["terminated"]["exitCode"] for s in found["status"]["initContainerStatuses"]] == [0, 0]


@pytest.mark.asyncio
async def test_while_an_init_container_runs_the_pod_is_pending_and_says_why(cluster: Cluster) -> None:
    init = [{"name": "prepare", "image": "i", "command": ["sleep", "60"]}]
    await cluster.create(pod("p", "true", initContainers=init))
    found = await cluster.until("p", lambda p: "running" in state(p, "initContainerStatuses"))
    assert found["status"]["phase"] == "Pending"
    assert state(found)["waiting"]["reason"] == "PodInitializing"
    assert conditions(found)["Initialized"] == ("False", "ContainersNotInitialized")


@pytest.mark.asyncio
async def test_a_failed_init_container_fails_the_pod_and_nothing_else_starts(cluster: Cluster) -> None:
    init = [{"name": "prepare", "image": "i", "command": ["sh", "-c", "exit 4"]}]
    await cluster.create(pod("p", "true", initContainers=init))
    found = await cluster.until("p", phase("Failed"))
    assert state(found, "initContainerStatuses")["terminated"]["exitCode"] == 4
    assert "waiting" in state(found)


@pytest.mark.asyncio
async def test_two_containers_run_side_by_side_and_share_the_address(cluster: Cluster) -> None:
    serve = "import os, socket; s = socket.create_server(('0.0.0.0', 8080)); print('up', flush=True); s.accept()"
    call = (
        "import socket, time\nfor _ in range(500):\n try:\n  socket.create_connection(('0.0.0.0', 8080)); break\n"
        " except OSError: time.sleep(0.01)\nelse: raise SystemExit(1)"
    )
    caller = {"name": "caller", "image": "i", "command": list(python(call))}
    body = pod("p", *python(serve))
    body["spec"]["containers"].append(caller)
    await cluster.create(body)
    found = await cluster.until("p", phase("Succeeded"))
    assert len(found["status"]["containerStatuses"]) == 2


@pytest.mark.asyncio
async def test_each_pod_binds_every_address_and_none_is_in_the_others_way(cluster: Cluster) -> None:
    serve = (
        "import os, socket, urllib.parse; u = urllib.parse.urlparse(os.environ['JUPYTERHUB_SERVICE_URL'])\n"
        "s = socket.create_server((u.hostname, u.port)); print(u.geturl(), flush=True); s.accept()"
    )
    env = [{"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/user/mock/"}]
    for name in ("one", "two"):
        await cluster.create(pod(name, *python(serve), container={"env": env}))
        found = await cluster.until(name, phase("Running"))
        ip = found["status"]["podIP"]
        await cluster.says(name, f"http://{ip}:8888/user/mock/")
    ips = {(await cluster.get(name))["status"]["podIP"] for name in ("one", "two")}
    assert len(ips) == 2
    for ip in ips:
        _, writer = await asyncio.open_connection(ip, 8888)
        writer.close()
    for name in ("one", "two"):
        await cluster.until(name, phase("Succeeded"))


@pytest.mark.asyncio
async def test_nothing_of_our_environment_reaches_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_TOKEN", "of-the-demo")
    async with running_cluster(tmp_path) as cluster:
        said = await cluster.output("p", "env", container={"env": [{"name": "MINE", "value": "1"}]})
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert names == {"PATH", "HOME", "LANG", "TMPDIR", "HOSTNAME", "MINE"}


@pytest.mark.asyncio
async def test_home_working_directory_and_temporary_files_are_the_pods_own(cluster: Cluster) -> None:
    said = await cluster.output("p", "sh", "-c", "pwd; echo $HOME; echo $TMPDIR; touch $TMPDIR/x $HOME/y")
    folder = cluster.folder(await cluster.get("p"))
    assert said.split() == [str(folder / "home"), str(folder / "home"), str(folder / "tmp")]


@pytest.mark.asyncio
async def test_python_is_the_one_of_this_installation(cluster: Cluster) -> None:
    said = await cluster.output(
        "p",
        "sh",
        "-c",
        "command -v python3 && command -v jupyterhub-singleuser",
        container={"env": [{"name": "PATH", "value": "/usr/bin:/bin"}]},
    )
    assert {Path(line).parent for line in said.split()} == {cluster.agent._host.programs}


@pytest.mark.asyncio
async def test_a_missing_secret_keeps_the_container_waiting_until_it_is_there(cluster: Cluster) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "token"}}}]
    await cluster.create(pod("p", "sh", "-c", "echo got $TOKEN", container={"env": env}))
    found = await cluster.until("p", waiting_for("CreateContainerConfigError"))
    assert state(found)["waiting"]["message"] == 'secret "mine" not found'
    assert found["status"]["phase"] == "Pending"
    assert ("Failed", 'Error: secret "mine" not found') in await cluster.events("p")
    await cluster.client.create(SECRETS, {"metadata": {"name": "mine"}, "stringData": {"other": "x"}}, NAMESPACE)
    await cluster.until("p", lambda p: "couldn't find key token in Secret" in str(state(p)))
    await cluster.client.patch(SECRETS, "mine", {"stringData": {"token": "s3cret"}}, NAMESPACE)
    await cluster.until("p", phase("Succeeded"))
    assert await cluster.log("p") == "got s3cret\n"


@pytest.mark.asyncio
async def test_a_volume_from_a_missing_config_map_is_an_event_until_it_is_there(cluster: Cluster) -> None:
    volumes = [{"name": "code", "configMap": {"name": "code"}}]
    mounts = [{"name": "code", "mountPath": "/offload"}]
    await cluster.create(pod("p", "sh", "/offload/run.sh", volumes=volumes, container={"volumeMounts": mounts}))
    found = await cluster.until("p", waiting_for("ContainerCreating"))
    async with asyncio.timeout(5):
        while not await cluster.events("p"):
            await asyncio.sleep(0.02)
    assert (await cluster.events("p"))[0] == (
        "FailedMount",
        'MountVolume.SetUp failed for volume "code" : configmap "code" not found',
    )
    await cluster.client.create(
        CONFIGMAPS, {"metadata": {"name": "code"}, "data": {"run.sh": "echo ran $0"}}, NAMESPACE
    )
    await cluster.until("p", phase("Succeeded"))
    assert await cluster.log("p") == f"ran {cluster.folder(found)}/volumes/code/run.sh\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("volume", "mount", "why"),
    [
        pytest.param({"hostPath": {"path": "/etc"}}, {}, "hostPath", id="a path of the host"),
        pytest.param({"nfs": {"server": "s", "path": "/x"}}, {}, "nfs", id="a kind that it does not carry"),
        pytest.param({"persistentVolumeClaim": {"claimName": "../../etc"}}, {}, "claimName", id="a claim outside"),
    ],
)
async def test_what_this_node_never_carries_is_refused_at_once(
    cluster: Cluster, volume: dict, mount: dict, why: str
) -> None:
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    body = pod("p", "true", volumes=[{"name": "v", **volume}], container={"volumeMounts": mounts})
    await cluster.create(body)
    found = await cluster.until("p", phase("Failed"))
    assert found["status"]["reason"] == "UnexpectedAdmissionError"
    assert why in found["status"]["message"]
    assert not (cluster.folder(found) / "containers").exists()


@pytest.mark.asyncio
async def test_a_pod_over_its_deadline_is_ended(cluster: Cluster) -> None:
    await cluster.create(pod("p", "sleep", "60", activeDeadlineSeconds=1))
    found = await cluster.until("p", phase("Failed"))
    assert (found["status"]["reason"], found["status"]["message"]) == ("DeadlineExceeded", wording.DEADLINE)
    assert state(found)["terminated"]["exitCode"] == 143
    assert ("DeadlineExceeded", wording.DEADLINE) in await cluster.events("p")


@pytest.mark.asyncio
async def test_more_memory_than_the_limit_is_oom_killed(cluster: Cluster) -> None:
    hungry = "x = bytearray(200 * 2**20); import time; time.sleep(60)"
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    await cluster.create(pod("p", *python(hungry), container=limits))
    found = await cluster.until("p", phase("Failed"))
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


@pytest.mark.asyncio
async def test_what_a_container_leaves_behind_ends_with_its_first_process(cluster: Cluster) -> None:
    leave = "import subprocess; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)"
    said = await cluster.output("p", *python(leave))
    await until_dead(int(said))


@pytest.mark.asyncio
async def test_a_killed_process_fails_its_pod(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python("import os, time; print(os.getpid(), flush=True); time.sleep(60)")))
    os.kill(int(await cluster.says("p", "\n")), signal.SIGKILL)
    found = await cluster.until("p", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] == 137


@pytest.mark.asyncio
async def test_a_killed_shim_takes_its_container_with_it(cluster: Cluster) -> None:
    code = "import os, time; print(os.getppid(), os.getpid(), flush=True); time.sleep(60)"
    await cluster.create(pod("p", *python(code)))
    shim, child = map(int, (await cluster.says("p", "\n")).split())
    os.kill(shim, signal.SIGKILL)
    found = await cluster.until("p", phase("Failed"))
    ended = state(found)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    assert not alive(child)


@pytest.mark.asyncio
async def test_pods_of_other_nodes_are_left_alone(cluster: Cluster) -> None:
    await cluster.create(pod("theirs", "true", node="elsewhere"))
    await cluster.create(pod("ours", "true"))
    await cluster.until("ours", phase("Succeeded"))
    assert (await cluster.get("theirs"))["status"]["phase"] == "Pending"


@pytest.mark.asyncio
async def test_an_absent_image_is_not_pulled(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, host={"absent_images": frozenset({"example.org/image:1"})}) as cluster:
        await cluster.create(pod("p", "true"))
        await cluster.until("p", waiting_for("ErrImagePull"))
        await cluster.until("p", waiting_for("ImagePullBackOff"))
        reasons = [message for _, message in await cluster.events("p")]
        assert "Error: ErrImagePull" in reasons


@pytest.mark.asyncio
async def test_an_image_without_a_command_cannot_be_run_here(cluster: Cluster) -> None:
    await cluster.create(pod("p"))
    found = await cluster.until("p", waiting_for("CreateContainerError"))
    assert state(found)["waiting"]["message"] == wording.NO_COMMAND
