"""One run of a container under its shim."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.nodeagent import alive, until_dead

from aiinfn_hub.errors import InvalidInput, Unavailable
from aiinfn_hub.local.agent.process import ContainerProcess, Launch
from aiinfn_hub.local.agent.shim import descendants, identity, memory

# Without a locale, Python adds one (PEP 538).
PATH = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def launch(folder: Path, *argv: str, **more: object) -> Launch:
    return Launch(argv, {**PATH, "COLOUR": "red"}, folder, folder / "log", **more)


async def ran(folder: Path, *argv: str, **more: object) -> tuple[int, str, str]:
    process = ContainerProcess.start(folder / "run", launch(folder, *argv, **more))
    ended = await process.wait()
    return ended.code, ended.reason, (folder / "log").read_text()


@pytest.mark.asyncio
async def test_it_runs_in_its_folder_with_its_environment_and_no_other(tmp_path: Path) -> None:
    code, reason, said = await ran(tmp_path, "sh", "-c", "pwd; env | grep -v -e ^PWD -e ^_ -e ^SHLVL | sort")
    assert (code, reason) == (0, "Completed")
    assert said.split() == [str(tmp_path), "COLOUR=red", "LANG=C.UTF-8", "PATH=/usr/bin:/bin"]


@pytest.mark.asyncio
async def test_its_input_is_empty_and_it_leads_a_session_of_its_own(tmp_path: Path) -> None:
    code, _, said = await ran(tmp_path, "sh", "-c", "cat; ps -o sid= -p $$; echo $$")
    sid, pid = said.split()
    assert (code, sid) == (0, pid)
    assert os.getsid(0) != int(sid)


@pytest.mark.asyncio
async def test_no_file_of_ours_is_open_in_it(tmp_path: Path) -> None:
    _, _, said = await ran(tmp_path, sys.executable, "-I", "-S", "-c", "import os; print(os.listdir('/proc/self/fd'))")
    assert said.strip() == "['0', '1', '2', '3']"  # the last one is the listing itself


@pytest.mark.asyncio
async def test_signals_have_their_usual_effect_in_it(tmp_path: Path) -> None:
    # Python ignores SIGPIPE; `yes` must die of it, not complain.
    code, _, said = await ran(tmp_path, "sh", "-c", "yes | head -1; grep SigBlk /proc/self/status")
    assert code == 0
    assert said.split() == ["y", "SigBlk:", "0000000000000000"]


@pytest.mark.asyncio
async def test_times_and_the_moment_of_the_start_are_told(tmp_path: Path) -> None:
    before = time.time()
    process = ContainerProcess.start(tmp_path / "run", launch(tmp_path, "sleep", "0.1"))
    started = await process.started()
    assert process.alive
    ended = await process.wait()
    assert before <= started == ended.started < ended.finished <= time.time()
    assert not process.alive


@pytest.mark.asyncio
async def test_a_program_that_cannot_be_started_is_known_at_once(tmp_path: Path) -> None:
    process = ContainerProcess.start(tmp_path / "run", launch(tmp_path, "no-such-program"))
    with pytest.raises(InvalidInput) as caught:
        await process.started()
    assert caught.value.details == {"errno": 2}
    await process.wait()


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there_is_known_at_once(tmp_path: Path) -> None:
    process = ContainerProcess.start(tmp_path / "run", Launch(["true"], PATH, tmp_path / "none", tmp_path / "log"))
    with pytest.raises(InvalidInput):
        await process.started()
    await process.wait()


@pytest.mark.asyncio
async def test_sigterm_reaches_what_a_shell_started(tmp_path: Path) -> None:
    process = ContainerProcess.start(tmp_path / "run", launch(tmp_path, "sh", "-c", "sleep 600; echo not this"))
    await process.started()
    await asyncio.sleep(0.1)
    process.terminate()
    assert (await process.wait()).code == 143
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.asyncio
async def test_a_kill_reaches_every_descendant_in_whatever_session(tmp_path: Path) -> None:
    code = (
        "import subprocess, time\n"
        "shell = ['sh', '-c', 'setsid sleep 600 & echo $!; wait']\n"
        "subprocess.Popen(shell, start_new_session=True)\n"
        "time.sleep(600)"
    )
    process = ContainerProcess.start(tmp_path / "run", launch(tmp_path, sys.executable, "-I", "-S", "-c", code))
    log = tmp_path / "log"
    async with asyncio.timeout(10):
        while not log.exists() or not log.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
    process.kill()
    assert (await process.wait()).code == 137
    await until_dead(int(log.read_text()))


@pytest.mark.asyncio
async def test_the_limit_of_memory_counts_all_processes_of_the_container(tmp_path: Path) -> None:
    hungry = f"{sys.executable} -I -S -c 'x = bytearray(48 * 2**20); import time; time.sleep(60)'"
    code, reason, _ = await ran(tmp_path, "sh", "-c", f"{hungry} & {hungry} & wait", memory_limit=80 * 2**20)
    assert (code, reason) == (137, "OOMKilled")


@pytest.mark.asyncio
async def test_within_its_limit_it_is_left_alone(tmp_path: Path) -> None:
    code, reason, _ = await ran(tmp_path, "sleep", "1.5", memory_limit=80 * 2**20)
    assert (code, reason) == (0, "Completed")


@pytest.mark.asyncio
async def test_a_run_that_ended_is_found_again(tmp_path: Path) -> None:
    await ran(tmp_path, "sh", "-c", "exit 9")
    found = ContainerProcess.find(tmp_path / "run")
    assert (await found.wait()).code == 9
    assert not found.alive


@pytest.mark.asyncio
async def test_a_run_that_goes_on_is_found_and_ended(tmp_path: Path) -> None:
    first = ContainerProcess.start(tmp_path / "run", launch(tmp_path, "sleep", "600"))
    since = await first.started()
    first.close()
    found = ContainerProcess.find(tmp_path / "run")
    assert found.alive
    assert await found.started() == since
    found.terminate()
    assert (await found.wait()).code == 143


@pytest.mark.asyncio
async def test_a_folder_of_a_run_that_never_was_is_a_lost_one(tmp_path: Path) -> None:
    found = ContainerProcess.find(tmp_path)
    ended = await found.wait()
    assert (ended.code, ended.reason) == (137, "ContainerStatusUnknown")
    found.kill()  # does nothing


@pytest.mark.asyncio
async def test_several_may_wait_for_the_same_end(tmp_path: Path) -> None:
    process = ContainerProcess.start(tmp_path / "run", launch(tmp_path, "sh", "-c", "exit 2"))
    ends = await asyncio.gather(process.wait(), process.wait(), process.wait())
    assert {end.code for end in ends} == {2}


@pytest.mark.asyncio
async def test_output_without_end_does_not_hold_anything_up(tmp_path: Path) -> None:
    code, _, said = await ran(tmp_path, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end >&2")
    assert code == 0
    assert len(said) == 3_000_005


def test_an_identity_is_that_of_one_process_only() -> None:
    first = subprocess.Popen(["sleep", "60"])
    try:
        name = identity(first.pid)
        assert name == identity(first.pid) != identity(os.getpid())
    finally:
        first.kill()
        first.wait()
    assert identity(first.pid) == ""
    assert identity(2**22 + 1) == ""


def test_descendants_and_their_memory() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        deadline = time.monotonic() + 5
        while len(descendants(child.pid)) < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        (grandchild,) = descendants(child.pid)
        assert grandchild in descendants(os.getpid())
        assert 0 < memory([grandchild]) < 10 * 2**20
        assert memory([2**22 + 1]) == 0
    finally:
        subprocess.run(["kill", str(grandchild)], check=False)
        child.wait()
    assert not alive(grandchild)


@pytest.mark.asyncio
async def test_what_the_machine_cannot_start_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be started"):
        ContainerProcess.start(tmp_path / "run", launch(tmp_path, "echo", "x" * 200_000))
    assert not (tmp_path / "run").exists()
