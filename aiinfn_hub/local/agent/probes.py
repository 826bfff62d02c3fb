"""Startup, readiness and liveness probes of a container: HTTP, TCP or a command."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

import aiohttp

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.local.agent.launch import Surroundings, prepare

Object = Mapping[str, Any]
Word = Literal["Startup", "Readiness", "Liveness"]


class Show(Protocol):
    """Told what the probes say now."""

    def __call__(self, *, ready: bool, started: bool) -> None:
        """Both as in `containerStatuses`."""


class Prober:
    """Runs the probes of one run of a container.

    Args:
        spec: the container's part of the manifest.
        around: its pod.
        restart: awaited when the startup or the liveness probe has failed too often.
        show: called when `ready` or `started` changes.
        say: writes an event.
    """

    def __init__(
        self,
        spec: Object,
        around: Surroundings,
        *,
        restart: Callable[[], Awaitable[None]],
        show: Show,
        say: Callable[[Literal["Normal", "Warning"], str, str], None],
    ) -> None:
        self._spec = spec
        self._around = around
        self._restart = restart
        self._show = show
        self._say = say
        self.started = not spec.get("startupProbe")
        self.ready = self.started and not spec.get("readinessProbe")

    async def run(self) -> None:
        """Probe until cancelled, or until the container is restarted."""
        if not self.started:
            if not await self._until_judged("Startup", self._spec["startupProbe"]):
                await self._restart()
                return
            self._now(started=True, ready=not self._spec.get("readinessProbe"))
        probes = [self._liveness(), self._readiness()]
        await asyncio.gather(*probes)

    async def _liveness(self) -> None:
        probe = self._spec.get("livenessProbe")
        await self._pause(probe or {}, "initialDelaySeconds", 0)
        while probe and await self._until_judged("Liveness", probe, delay=False):
            await self._pause(probe, "periodSeconds", 10)
        if probe:
            await self._restart()

    async def _readiness(self) -> None:
        probe = self._spec.get("readinessProbe")
        await self._pause(probe or {}, "initialDelaySeconds", 0)
        while probe:
            self._now(ready=await self._until_judged("Readiness", probe, delay=False), started=True)
            await self._pause(probe, "periodSeconds", 10)

    def _now(self, *, ready: bool, started: bool) -> None:
        if (ready, started) != (self.ready, self.started):
            self.ready, self.started = ready, started
            self._show(ready=ready, started=started)

    @staticmethod
    async def _pause(probe: Object, key: str, default: int) -> None:
        await asyncio.sleep(probe.get(key, default))

    async def _until_judged(self, word: Word, probe: Object, *, delay: bool = True) -> bool:
        """Probe until it has succeeded or failed as often in a row as it takes."""
        if delay:
            await self._pause(probe, "initialDelaySeconds", 0)
        good = bad = 0
        while True:
            trouble = await self._probe(probe)
            good, bad = (0, bad + 1) if trouble else (good + 1, 0)
            if trouble:
                self._say("Warning", "Unhealthy", f"{word} probe failed: {trouble}")
            if good >= probe.get("successThreshold", 1):
                return True
            if bad >= probe.get("failureThreshold", 3):
                return False
            await self._pause(probe, "periodSeconds", 10)

    async def _probe(self, probe: Object) -> str:
        """What is wrong, "" if nothing is; in the kubelet's words."""
        patience = probe.get("timeoutSeconds", 1)
        try:
            async with asyncio.timeout(patience):
                if "httpGet" in probe:
                    return await self._http(probe["httpGet"])
                if "tcpSocket" in probe:
                    return await self._tcp(probe["tcpSocket"])
                if "exec" in probe:
                    return await self._command(probe["exec"]["command"])
        except TimeoutError:
            return f"timeout: no answer within {patience} s"
        return ""  # gRPC and what else there may be: nothing to object

    async def _http(self, action: Object) -> str:
        host = action.get("host") or self._around.address.ip
        scheme = action.get("scheme", "HTTP").lower()
        url = f"{scheme}://{host}:{self._port(action['port'])}/{action.get('path', '/').lstrip('/')}"
        headers = {item["name"]: item["value"] for item in action.get("httpHeaders") or ()}
        try:
            # As the kubelet: certificates are not checked, redirects to the same host count as success.
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, headers=headers, ssl=False, allow_redirects=False) as response,
            ):
                failed = not 200 <= response.status < 400
                return f"HTTP probe failed with statuscode: {response.status}" if failed else ""
        except (aiohttp.ClientError, OSError) as error:
            return f'Get "{url}": {error}'

    async def _tcp(self, action: Object) -> str:
        host, port = action.get("host") or self._around.address.ip, self._port(action["port"])
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return f"dial tcp {host}:{port}: connect: connection refused"
        writer.close()
        return ""

    async def _command(self, command: list[str]) -> str:
        try:
            launch = await prepare({**self._spec, "command": command, "args": []}, self._around)
        except AiinfnError as error:
            return error.message
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/env",  # looks the command up in the container's PATH, and says 127 where there is none
            "--",
            *launch.argv,
            env=dict(launch.environment),
            cwd=launch.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return output.decode(errors="replace")[:1024].strip() or "command failed" if process.returncode else ""

    def _port(self, port: int | str) -> int:
        if isinstance(port, str) and not port.isdigit():
            named = {item.get("name"): item["containerPort"] for item in self._spec.get("ports") or ()}
            port = named.get(port, 0)
        return self._around.address.ports.get(int(port), int(port))
