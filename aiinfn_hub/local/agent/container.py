"""One container of a pod over its runs: started, followed, probed, started again or not, stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound, Unavailable
from aiinfn_hub.local.agent import wording
from aiinfn_hub.local.agent.launch import Surroundings, prepare
from aiinfn_hub.local.agent.probes import Prober
from aiinfn_hub.local.agent.process import ContainerProcess, Ended, Launch
from aiinfn_hub.local.agent.status import ContainerView, Running, Terminated, Waiting, container_id

#: Seconds that a run must last for the next failure to be the first one again.
GOOD_RUN_S = 600.0
#: Where an error says which reason a waiting container has.
_REASON = "waiting"

Say = Callable[[Literal["Normal", "Warning"], str, str], None]


class Container:
    """A container; `view` is what the pod's status says of it.

    Args:
        spec: its part of the manifest.
        around: what it shares with the pod's others.
        init: it runs once, before the others.
        changed: called after every change of `view`.
        say: writes an event about the pod.
    """

    def __init__(
        self, spec: Mapping[str, Any], around: Surroundings, *, init: bool, changed: Callable[[], None], say: Say
    ) -> None:
        self.spec = spec
        self.around = around
        self.name: str = spec["name"]
        self._init = init
        self._changed = changed
        self._say = say
        self._words = [*(spec.get("command") or ()), *(spec.get("args") or ())]
        self._stop = asyncio.Event()
        self._process: ContainerProcess | None = None
        self._folder = around.folder / "containers" / self.name
        found = [int(path.name) for path in self._folder.glob("*")]
        self._attempt = max(found, default=-1)
        self._failures = max(0, self._attempt)
        waiting = Waiting("PodInitializing" if around.pod["spec"].get("initContainers") else "ContainerCreating")
        self.view = ContainerView(self.name, spec.get("image", ""), waiting)

    async def run(self) -> None:
        """Run it as often as the pod's `restartPolicy` says; returns after the last time."""
        process = await self._found()
        while not self._stop.is_set():
            if process is None:
                process = await self._start()
            if process is None:
                return
            ended = await self._follow(process)
            if not self._again(ended):
                return
            await self._back_off(ended)
            process = None

    async def stop(self, grace_s: float, hurry: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL after the grace or when `hurry` is set; returns when nothing of it is left."""
        self._stop.set()
        process = self._process
        if process is None and self._attempt >= 0:
            process = ContainerProcess.find(self._folder / str(self._attempt))  # an earlier agent's
        if process is None:
            return
        if not process.alive:
            if not isinstance(self.view.state, Terminated):
                self._ended(await process.wait())
            return
        self._say("Normal", "Killing", f"Stopping container {self.name}")
        self._ended(await self._end(process, grace_s, hurry))

    def leave(self) -> None:
        """Stop following; what runs goes on, for a later agent."""
        if self._process is not None:
            self._process.close()

    async def _end(self, process: ContainerProcess, grace_s: float, hurry: asyncio.Event) -> Ended:
        waits = {asyncio.create_task(process.wait()), asyncio.create_task(hurry.wait())}
        if grace_s > 0:
            process.terminate()
            await asyncio.wait(waits, timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        process.kill()
        for wait in waits:
            wait.cancel()
        return await process.wait()

    async def _found(self) -> ContainerProcess | None:
        """The run that an earlier agent left, and what became of the one before it."""
        if self._attempt < 0:
            return None
        if self._attempt > 0:
            before = await ContainerProcess.find(self._folder / str(self._attempt - 1)).wait()
            self.view = replace(self.view, last=self._terminated(before, self._attempt - 1))
        return ContainerProcess.find(self._folder / str(self._attempt))

    async def _start(self) -> ContainerProcess | None:
        """Start the next run, trying until what it needs is there; None if it is to stop."""
        pause, longest = self.around.host.retry_s
        await self.around.volumes.ready.wait()
        while not self._stop.is_set():
            try:
                self._pull()
                launch = await prepare(self.spec, self.around)
                if self._stop.is_set():
                    return None
                return self._launch(launch)
            except (NotFound, InvalidInput) as error:
                reason = error.details.get(_REASON, "CreateContainerConfigError")
                self._wait_for(str(reason), error)
            except Unavailable as error:
                self._wait_for("CreateContainerError", error)
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)
        return None

    def _pull(self) -> None:
        image = self.view.image
        if image in self.around.host.absent_images:
            said = wording.pull_failed(image)
            self._say("Warning", "Failed", f'Failed to pull image "{image}": {said}')
            again = isinstance(self.view.state, Waiting) and self.view.state.reason.startswith("ErrImage")
            reason = "ImagePullBackOff" if again else "ErrImagePull"
            raise NotFound(f'Back-off pulling image "{image}": {said}' if again else said, details={_REASON: reason})
        if not self._words:  # what the image would run is not known here
            raise InvalidInput(wording.NO_COMMAND, details={_REASON: "CreateContainerError"})

    def _wait_for(self, reason: str, error: AiinfnError) -> None:
        self._say("Warning", "Failed", f"Error: {reason if reason.startswith('ErrImage') else error.message}")
        self._show(state=Waiting(reason, error.message))

    def _launch(self, launch: Launch) -> ContainerProcess:
        if launch.log.exists():
            launch.log.replace(launch.log.with_suffix(".previous.log"))
        launch.log.touch(0o600)
        process = ContainerProcess.start(self._folder / str(self._attempt + 1), launch)
        self._attempt += 1
        self._say("Normal", "Pulled", wording.pulled(self.view.image))
        self._say("Normal", "Created", wording.CREATED)
        self._say("Normal", "Started", wording.STARTED)
        return process

    async def _follow(self, process: ContainerProcess) -> Terminated:
        self._process = process
        name = container_id(self.around.facts.field("metadata.uid"), self.name, self._attempt)
        self._show(container_id=name, restarts=self._attempt)
        try:
            started = await process.started()
        except InvalidInput as error:
            await process.wait()
            return self._not_started(int(error.details["errno"]))
        if not process.alive:
            return self._ended(await process.wait())
        prober = Prober(
            self.spec, self.around, restart=lambda: self._unhealthy(process), show=self._probed, say=self._say
        )
        self._show(state=Running(started), ready=prober.ready, started=prober.started)
        probing = asyncio.create_task(prober.run())
        try:
            return self._ended(await process.wait())
        finally:
            probing.cancel()

    def _probed(self, *, ready: bool, started: bool) -> None:
        if isinstance(self.view.state, Running):
            self._show(ready=ready, started=started)

    async def _unhealthy(self, process: ContainerProcess) -> None:
        self._say("Normal", "Killing", f"Container {self.name} failed liveness probe, will be restarted")
        grace = self.around.pod["spec"].get("terminationGracePeriodSeconds", 30)
        await self._end(process, grace, asyncio.Event())

    def _ended(self, ended: Ended) -> Terminated:
        state = self._terminated(ended, self._attempt)
        self._show(state=state, ready=False, started=False)
        return state

    def _terminated(self, ended: Ended, attempt: int) -> Terminated:
        name = container_id(self.around.facts.field("metadata.uid"), self.name, attempt)
        return Terminated(ended.code, ended.reason, ended.started, ended.finished, self._last_words(ended), name)

    def _last_words(self, ended: Ended) -> str:
        """The message of the end; a container may say that a failure's is the end of its log (2048 bytes, 80 lines)."""
        wanted = self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if ended.message or not ended.code or not wanted:
            return ended.message
        log = self.around.folder / "logs" / f"{self.name}.log"
        lines = log.read_bytes()[-2048:].decode(errors="replace").splitlines(keepends=True) if log.exists() else []
        return "".join(lines[-80:])

    def _not_started(self, number: int) -> Terminated:
        message = wording.cannot_exec(self._words[0], number)
        self._say("Warning", "Failed", f"Error: {message}")
        state = Terminated(128, "StartError", 0.0, time.time(), message, self.view.container_id)
        self._show(state=state, ready=False, started=False)
        return state

    def _again(self, ended: Terminated) -> bool:
        policy = self.around.pod["spec"].get("restartPolicy", "Always")
        if self._stop.is_set() or policy == "Never":
            return False
        return ended.exit_code != 0 or (policy == "Always" and not self._init)

    async def _back_off(self, ended: Terminated) -> None:
        """The first time at once, then 10 s, 20 s, ... 5 min; a long good run makes the next failure a first one."""
        if ended.started and ended.finished - ended.started >= GOOD_RUN_S:
            self._failures = 0
        first, longest = self.around.host.back_off_s
        pause = min(longest, first * 2 ** (self._failures - 1)) if self._failures else 0.0
        self._failures += 1
        self._show(last=ended)
        if pause:
            pod = self.around.pod
            self._show(state=Waiting("CrashLoopBackOff", wording.backing_off(self.name, pod, pause)))
            self._say("Warning", "BackOff", wording.back_off_event(self.name, pod))
            await asyncio.sleep(pause)

    def _show(self, **changes: Any) -> None:
        self.view = replace(self.view, **changes)
        self._changed()
