"""The life of one attempt: exchange, inputs, the person's code, outputs, result, exit code."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from typing import Any, Dict, Optional, Tuple

from . import inside, modules, packages
from .capture import Capture
from .channel import Channel, Gone, HttpChannel, Refused, Unreachable, Welcome
from .checkpoints import Checkpoints
from .codecs import BadValue, NoCodec, decode, encode
from .courier import Courier
from .directory import DirectoryChannel
from .display import Display
from .execute import Cell
from .frames import FrameLog
from .memory import Memory
from .traces import error_frame
from .vitals import Vitals
from .watch import MISMATCH, NO_DELIVERY, NO_INPUTS, RAISED, STOPS, SUCCEEDED, TERMINATED, TIME_OVER, Ending, Watch

#: Seconds: how long a service may be away before inputs or results are given up, how long an interrupted cell may take.
PATIENCE_S = 300.0
GRACE_S = 5.0
LAST_WORDS_S = 3.0
#: Seconds for what is kept of the work, once the code has ended and before the last words.
KEEP_S = 20.0


def main(folder: str) -> int:
    """Run what `folder`/spec.json says; the exit code (see `watch`)."""
    with open(os.path.join(folder, "spec.json"), encoding="utf-8") as file:
        spec = json.load(file)
    run = Run(spec)
    code = run.go()
    run.tidy()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def open_channel(spec: Dict[str, Any]) -> Channel:
    """The service of the run: a directory for `--to here`, otherwise the runner listener."""
    return DirectoryChannel(spec["directory"]) if spec.get("directory") else HttpChannel(spec["url"], spec["run"])


class Run:
    """One attempt of one job, as `spec` describes it."""

    def __init__(self, spec: Dict[str, Any]) -> None:
        self._spec = spec
        self._patience_s = float(spec.get("patience_s", PATIENCE_S))
        self._log = FrameLog()
        self._capture = Capture(self._log)
        self._display = Display(self._capture.add)
        self._watch = Watch(float(spec.get("grace_s", GRACE_S)), self._abandon, self._warn)
        self._channel = open_channel(spec)
        self._courier: Optional[Courier] = None
        self._vitals = Vitals(Memory(int(spec.get("memory_bytes", 0))))
        self._checkpoints = Checkpoints(self._channel, self._patience_s)
        self._inside = inside.Inside(1, self._checkpoints, self._vitals)
        self._folder = ""

    def go(self) -> int:
        """From the first word to the service to the last one."""
        self._watch.install()
        try:
            welcome = self._introduce()
        except (Refused, Unreachable, OSError) as error:
            sys.stderr.write("aiinfn: this run could not introduce itself: %s\n" % error)
            return NO_INPUTS
        _enter_scratch(self._spec)
        self._capture.start()
        self._courier = Courier(
            self._log,
            self._channel,
            welcome.heartbeat_s,
            self._vitals,
            stop=lambda why: self._watch.stop(STOPS[why]),
            limit=self._watch.limit,
        )
        self._courier.start()
        ending, values = self._inputs()
        if ending is SUCCEEDED and welcome.restore:
            ending = self._restored()
        names: Dict[str, Any] = {}
        if ending is SUCCEEDED:
            drift = self._spec.get("drift", "warn")
            folder = self._room("packages") if drift == "install" else ""
            wrong = packages.check(self._spec.get("packages", {}), drift, folder)
            if wrong:
                return self._deliver(Ending(MISMATCH, "failed", wrong), names)
            if self._spec.get("token"):
                _say_what_the_token_lacks(os.environ.get("BEARER_TOKEN_FILE", ""))
            cell = Cell(self._spec["source"], self._spec["filename"], values, self._spec.get("context", ""))
            self._inside.attempt = welcome.attempt
            inside.install(self._inside)
            limit_s = float(self._spec["time_s"]) if welcome.limit_s is None else welcome.limit_s
            ending, names = self._execute(cell, limit_s), cell.names
        return self._deliver(ending, names)

    def tidy(self) -> None:
        """Leave nothing behind on a machine that is not a pod."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _room(self, name: str) -> str:
        """A folder of this run."""
        self._folder = self._folder or tempfile.mkdtemp(prefix="aiinfn-run-")
        return os.path.join(self._folder, name)

    def _introduce(self) -> Welcome:
        pod_uid = os.environ.get("POD_UID", "")
        if isinstance(self._channel, DirectoryChannel):
            return self._channel.exchange("", pod_uid, 0.0)
        folder = os.environ.get("AIINFN_CREDENTIALS")
        path = os.path.join(folder, "capability") if folder else self._spec["credentials"]
        with open(path, encoding="ascii") as file:
            capability = file.read().strip()
        try:
            return self._channel.exchange(capability, pod_uid, self._patience_s)
        except Refused:
            # interLink's HTCondor plug-in writes Secrets as they stand in the API: in base64.
            plain = _unwrapped(capability)
            if plain is None:
                raise
            return self._channel.exchange(plain, pod_uid, self._patience_s)

    def _inputs(self) -> Tuple[Ending, Dict[str, Any]]:
        values: Dict[str, Any] = {}
        what, code = "code of the session", self._spec.get("modules")
        try:
            if code:
                modules.install(self._channel.fetch(code["sha256"], self._patience_s), self._room("modules"))
            for what, about in self._spec["inputs"].items():
                data = self._channel.fetch(about["sha256"], self._patience_s)
                values[what] = decode(about["codec"], data, int(about["size"]))
        except BadValue as error:
            return Ending(MISMATCH, "failed", "The input %s cannot be read here: %s." % (what, error)), values
        except (Refused, Unreachable, OSError) as error:
            return Ending(NO_INPUTS, "", "The input %s could not be fetched: %s." % (what, error)), values
        return SUCCEEDED, values

    def _restored(self) -> Ending:
        try:
            self._checkpoints.restore()
        except (Refused, Unreachable) as error:
            return Ending(NO_INPUTS, "", "What an earlier attempt has kept could not be fetched: %s." % error)
        return SUCCEEDED

    def _warn(self, over: threading.Event) -> None:
        self._inside.warn(over)

    def _execute(self, cell: Cell, limit_s: float) -> Ending:
        self._display.install()
        ending = STOPS["terminated"]
        try:
            try:
                self._watch.begin(limit_s)
                cell.run(self._display.result)
                ending = SUCCEEDED
            except BaseException as error:  # noqa: BLE001  all that the person's code can raise, SystemExit included
                ending = self._raised(error)
            self._display.figures()
        except KeyboardInterrupt:
            pass  # the watch interrupted us on the way out: its reason is taken below
        finally:
            self._watch.end()
        return self._watch.ending or ending

    def _raised(self, error: BaseException) -> Ending:
        stopped, cell = self._watch.ending, self._spec["filename"]
        if stopped is not None and stopped.code == TIME_OVER:
            self._capture.add(error_frame(error, "TimeLimitExceeded", stopped.verdict, cell), keep=True)
            return stopped
        if stopped is not None:
            return stopped
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return SUCCEEDED
        frame = error_frame(error, cell=cell)
        self._capture.add(frame, keep=True)
        return Ending(RAISED, "failed", ("%s: %s" % (frame["ename"], frame["evalue"]))[:500])

    def _deliver(self, ending: Ending, names: Dict[str, Any]) -> int:
        self._leave(ending)
        try:
            missing = self._outputs(names) if ending is SUCCEEDED else {}
            if ending.verdict and ending.code != RAISED:
                sys.stderr.write("aiinfn: %s\n" % ending.verdict)
            self._capture.stop()
            self._report(ending, missing, self._patience_s if ending.state else LAST_WORDS_S)
        except Gone as error:
            self._capture.stop()
            sys.stderr.write("aiinfn: %s\n" % error)
            return TERMINATED
        except (Refused, Unreachable) as error:
            self._capture.stop()
            sys.stderr.write("aiinfn: the results could not be delivered: %s\n" % error)
            return NO_DELIVERY
        return ending.code

    def _leave(self, ending: Ending) -> None:
        """Send what is kept: nobody needs it of a job that has succeeded, or that was cancelled."""
        if ending is STOPS["terminated"]:
            self._inside.leave()
        if ending is STOPS["terminated"] or ending.state == "failed":
            self._checkpoints.flush(KEEP_S)

    def _outputs(self, names: Dict[str, Any]) -> Dict[str, str]:
        """Deliver what was asked for; by name, why something is missing: it never fails a job that has finished."""
        missing = {}
        deadline = time.monotonic() + self._patience_s
        for name in self._spec["outputs"]:
            try:
                self._channel.deliver(name, *_encoded(names, name), deadline - time.monotonic())
            except Gone:
                raise
            except (NoCodec, Refused, Unreachable) as error:
                missing[name] = str(error)
            except MemoryError:
                missing[name] = "there was not enough memory to send it"
        for name, reason in missing.items():
            sys.stderr.write("aiinfn: %s does not come back: %s\n" % (name, reason))
        return missing

    def _report(self, ending: Ending, missing: Dict[str, str], patience_s: float) -> None:
        assert self._courier is not None  # noqa: S101  started before anything could end
        delivered = self._courier.finish(patience_s)
        if not ending.state:
            return
        report = {
            "state": ending.state,
            "exit_code": ending.code,
            "verdict": ending.verdict,
            "missing": missing,
            **self._vitals.report(),
        }
        self._channel.result(report, patience_s)
        if not delivered:
            sys.stderr.write("aiinfn: some output did not reach the service\n")

    def _abandon(self, ending: Ending) -> None:
        """The main thread does not react: say what can be said, and leave with it."""
        threading.Timer(KEEP_S + 2 * LAST_WORDS_S, os._exit, [ending.code]).start()
        if ending is STOPS["terminated"] or ending.state == "failed":
            self._checkpoints.flush(KEEP_S)
        if ending.code == TIME_OVER:
            lines = ["TimeLimitExceeded: " + ending.verdict]
            frame = {"output_type": "error", "ename": "TimeLimitExceeded", "evalue": ending.verdict, "traceback": lines}
            self._capture.add(frame, keep=True)
        self._capture.stop()
        with contextlib.suppress(Refused, Unreachable):  # there is no time left to try again
            self._report(ending, {}, LAST_WORDS_S)
        os._exit(ending.code)


def _enter_scratch(spec: Dict[str, Any]) -> None:
    scratch = os.environ.get("AIINFN_SCRATCH") or spec.get("scratch")
    if scratch and os.access(scratch, os.W_OK):
        os.environ["TMPDIR"] = scratch
        if not os.access(os.path.expanduser("~"), os.W_OK):
            os.environ["HOME"] = scratch  # the uid may have no home there, and libraries keep caches in it
        os.chdir(scratch)


def _encoded(names: Dict[str, Any], name: str) -> Tuple[str, bytes, str]:
    if name not in names:
        raise NoCodec("the code did not assign it")
    return encode(names[name])


def _unwrapped(capability: str) -> Optional[str]:
    try:
        return base64.b64decode(capability, validate=True).decode("ascii").strip()
    except (binascii.Error, ValueError):
        return None


def _say_what_the_token_lacks(path: str) -> None:
    """Without it a transfer fails later, and says little; what the file is beside the token: `contract/token.py`."""
    try:
        with open(os.path.join(os.path.dirname(path), "about.json"), encoding="utf-8") as file:
            missing = json.load(file)["missing"]
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write("aiinfn: there is no token of the login provider: %s\n" % error)
        return
    if missing:
        sys.stderr.write("aiinfn: the token of the login provider lacks %s\n" % " and ".join(missing))
