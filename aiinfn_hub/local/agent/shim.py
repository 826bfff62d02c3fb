"""The parent of one container's processes; what containerd's shim is to a container.

Run as a file by the node agent, `python -I -S shim.py CHANGED_FD FOLDER LOG CWD LIMIT ARGV...`, in the container's
environment, in a session of its own. It outlives the agent: whoever is the agent later reads `FOLDER/state.json` and
knows what runs, since when, and how it ended. Standard library only, few imports: it is part of the start latency.

- The container's processes are its descendants: it is their subreaper, so none escapes by a double fork, and when the
  first one ends the others are killed, as in a container.
- SIGTERM goes on to the first process's group; SIGUSR1 means SIGKILL for all of them.
- Above LIMIT bytes of memory (0 is none) all are killed, as a cgroup does. Linux only.
- CHANGED_FD is the write end of a FIFO: one byte after each change of the state; its end of file says that we are gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LINUX = sys.platform.startswith("linux")
SIGNALS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD}
#: Seconds between two looks at the memory.
MEMORY_S = 1.0


def identity(pid: int) -> str:
    """Tells a process from a later one with the same number; "" when there is none (or only its remains)."""
    try:
        if LINUX:
            with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  pathlib costs as much as the whole start
                fields = file.read().rpartition(")")[2].split()
            with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123  the same
                boot = file.read().strip()
            return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"
        os.kill(pid, 0)
        with os.popen(f"ps -o lstart= -p {int(pid)}") as answer:  # noqa: S605  the number is all that it gets
            return answer.read().strip()
    except (OSError, IndexError):
        return ""


def descendants(pid: int) -> list[int]:
    """Every process below this one (Linux; elsewhere none)."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  see above
            with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123  see above
                for child in map(int, file.read().split()):
                    found += [child, *descendants(child)]
    except OSError:
        return found  # it ended while we looked
    return found


def memory(pids: list[int]) -> int:
    """Bytes of their own that the processes hold; pages of shared libraries are not counted again and again."""
    pages = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123  see above
                _, resident, shared, *_ = map(int, file.read().split())
        except OSError:
            continue
        pages += resident - shared
    return pages * os.sysconf("SC_PAGE_SIZE")


class Shim:
    """One container from its start to its end."""

    def __init__(self, changed: int, folder: str, log: str, cwd: str, limit: int) -> None:
        self.changed, self.folder, self.log, self.cwd, self.limit = changed, folder, log, cwd, limit
        self.libc = ctypes.CDLL(None) if LINUX else None
        self.child = 0
        self.started = self.finished = 0.0
        self.killed_for_memory = False
        self.ended = False  # the first process, and its group with it

    def run(self, argv: list[str]) -> None:
        """Start the first process, wait for its end, end the others, and say how it went."""
        os.set_inheritable(self.changed, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if self.libc:
            self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        error = self._spawn(argv)
        if error:
            self._write(error=error)
            return
        self._write()
        status = self._supervise()
        while self._reap() is not None:
            self.kill()
            time.sleep(0.001)
        self.finished = time.time()
        self._write(status=os.waitstatus_to_exitcode(status))

    def _spawn(self, argv: list[str]) -> int:
        """Fork and exec; the errno of a failed exec, else 0."""
        failed, fail = os.pipe()  # closed by a successful exec
        self.started = time.time()
        self.child = os.fork()
        if self.child == 0:
            self._become(argv, fail)
        os.close(fail)
        answer = os.read(failed, 16)
        os.close(failed)
        return int(answer or b"0")

    def _become(self, argv: list[str], fail: int) -> None:
        try:
            os.setsid()
            if self.libc:
                self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # our own kill -9 leaves nothing behind
            output = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.cwd)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; other programs count on them
                signal.signal(ignored, signal.SIG_DFL)
            os.execvp(argv[0], argv)  # noqa: S606  running what the pod says is the purpose
        except OSError as error:
            os.write(fail, str(error.errno or 1).encode())
        finally:
            os._exit(127)

    def _supervise(self) -> int:
        """Wait for the first process; its wait status."""
        while True:
            number = self._next_signal()
            if number == signal.SIGTERM:
                self._signal_group(signal.SIGTERM)
            elif number == signal.SIGUSR1:
                self.kill()
            while (ended := self._reap()) not in (None, (0, 0)):
                if ended and ended[0] == self.child:
                    if not LINUX:
                        self.kill()
                    self.ended = True
                    return ended[1]
            if self.limit and LINUX and memory(descendants(os.getpid())) > self.limit:
                self.killed_for_memory = True
                self.kill()

    def _next_signal(self) -> int:
        if not (self.limit and LINUX):
            return signal.sigwait(SIGNALS)
        came = signal.sigtimedwait(SIGNALS, MEMORY_S)
        return came.si_signo if came else 0

    def _reap(self) -> tuple[int, int] | None:
        """(pid, wait status) of a child that ended, (0, 0) if none has, None if there is no child."""
        try:
            if LINUX:
                first = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if first and first.si_pid == self.child:
                    self._signal_group(signal.SIGKILL)  # before its number can become somebody else's
            return os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None

    def kill(self) -> None:
        """SIGKILL for every process of the container."""
        if not self.ended:
            self._signal_group(signal.SIGKILL)
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.child, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left in it (macOS says so with EPERM)

    def _write(self, *, status: int | None = None, error: int = 0) -> None:
        """Replace the state file in one step, and say so. JSON by hand: numbers and plain words only."""
        fields = {"shim": os.getpid(), "child": self.child, "started": self.started}
        names = {"shim_identity": identity(os.getpid()), "child_identity": identity(self.child)}
        if error:
            fields["error"] = error
        if status is not None:
            fields |= {"status": status, "finished": self.finished, "oom": int(self.killed_for_memory)}
        body = [f'"{key}": {value}' for key, value in fields.items()]
        body += [f'"{key}": "{value}"' for key, value in names.items()]
        with open(f"{self.folder}/state.new", "w") as file:  # noqa: PTH123  see above
            file.write("{" + ", ".join(body) + "}")
        os.replace(f"{self.folder}/state.new", f"{self.folder}/state.json")  # noqa: PTH105  see above
        try:
            os.write(self.changed, b".")
        except OSError:
            return  # no agent listens now; the next one reads the file


if __name__ == "__main__":
    Shim(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])).run(sys.argv[6:])
