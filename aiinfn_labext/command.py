"""`aiinfn offload`: the verbs of `%offload`, on a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from aiinfn_hub.contract.jobs import DRIFT, ON_EVICT, JobState, JobView
from aiinfn_hub.contract.sweeps import AT_ONCE, SweepRequest
from aiinfn_labext.amounts import resources
from aiinfn_labext.jobs import Offload, make_offload
from aiinfn_labext.modules import with_modules
from aiinfn_labext.parsing import CellOptions
from aiinfn_labext.points import parse_points
from aiinfn_labext.profiles import OPTIONS, load
from aiinfn_labext.scripts import notebook_request, script_request
from aiinfn_labext.shown import JobTable, clean_text, frame_text, job_line
from aiinfn_labext.sweeps import Sweep

_Action = Callable[[Offload, argparse.Namespace], int]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `offload` to the command line."""
    parser = subparsers.add_parser("offload", help="run scripts elsewhere, and look after jobs")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = _add(actions, "list", "my jobs, newest first", _list)
    listing.add_argument("--state", default="", help="only jobs in this state")
    listing.add_argument("--name", default="", help="only jobs of this name")
    log = _add(actions, "log", "what a job has printed", _log, job=True)
    log.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    _add(actions, "get", "what a job gave back, as JSON where it can be", _get, job=True)
    _add(actions, "cancel", "ask a job to end", _cancel, job=True)
    _add(actions, "why", "why a job waits, or ended as it did", _why, job=True)
    retry = _add(actions, "retry", "the same again, with other amounts", _retry, job=True)
    for option in ("--cpu", "--mem", "--gpu", "--time", "--to"):
        retry.add_argument(option, default=None)
    retry.add_argument("--failed", action="store_true", help="those of a sweep that did not succeed")
    _add(actions, "table", "what the points of a sweep have measured", _table, job=True)
    extend = _add(actions, "extend", "more time for a job", _extend, job=True)
    extend.add_argument("time", metavar="TIME", help="as in 1h or 30m")
    evict = _add(actions, "evict", "rehearse an eviction of a job that runs", _evict, job=True)
    evict.add_argument("--test", action="store_true", required=True, help="a rehearsal: nothing else is to be had")
    run = _add(actions, "run", "run a Python script, or a notebook, elsewhere", _run)
    run.add_argument("script", type=Path, metavar="SCRIPT.py|FILE.ipynb")
    run.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the notebook")
    run.add_argument("--name", default="", help="name of the job; the script's when not given")
    for option in ("--cpu", "--mem", "--time", "--gpu", "--image"):
        run.add_argument(option)
    run.add_argument("--to", help="auto, here, local or a site")
    run.add_argument("--on-evict", choices=ON_EVICT, help="what an eviction means")
    run.add_argument("--drift", choices=DRIFT, help="what to do where the image has other packages")
    run.add_argument("--profile", default="", help="options that you have given a name")
    run.add_argument("--sweep", action="append", default=[], metavar="NAME=VALUES", help="a job for each: lr=0.1,0.01")
    run.add_argument("--at-once", type=int, default=AT_ONCE, help="jobs of a sweep that run at the same time")
    run.add_argument("--token", action="store_true", help="with a token of the login provider, as sessions have it")
    run.add_argument("--plan", action="store_true", help="say where it would run and what it would cost; send nothing")
    run.add_argument("--args", nargs=argparse.REMAINDER, default=[], help="all that follows is the script's")
    run.add_argument("--wait", action="store_true", help="show its output and end with its exit code")


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    action: _Action,
    *,
    job: bool = False,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text)
    if job:
        parser.add_argument("job", metavar="JOB", help="name (the latest of it) or identifier")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(func=partial(_call, action))
    return parser


def _call(action: _Action, args: argparse.Namespace) -> int:
    return action(make_offload(), args)


def _list(offload: Offload, args: argparse.Namespace) -> int:
    views = [job.view for job in offload.jobs(state=args.state, name=args.name)]
    if args.json:
        _print_json({"jobs": views})
    else:
        print(JobTable(views))
    return 0


def _log(offload: Offload, args: argparse.Namespace) -> int:
    job = offload.job(args.job)
    for frame in job.follow() if args.follow else job.frames():
        if frame and args.json:
            _print_json(frame)
        else:
            sys.stdout.write(frame_text(frame))
            sys.stdout.flush()
    return 0


def _get(offload: Offload, args: argparse.Namespace) -> int:
    job = offload.job(args.job)
    values, missing = job.values(), job.missing
    if args.json:
        _print_json({"values": values, "missing": missing, "verdict": job.view.verdict})
        return int(bool(job.view.verdict))
    for name, value in values.items():
        print(clean_text(f"{name} = {value!r}", colours=False))
    for name, reason in missing.items():
        print(clean_text(f"{name} did not come back: {reason}", colours=False), file=sys.stderr)
    if job.view.verdict:
        print(clean_text(job.view.verdict, colours=False), file=sys.stderr)
    return int(bool(missing or job.view.verdict))


def _cancel(offload: Offload, args: argparse.Namespace) -> int:
    sweep = offload.sweep_named(args.job)
    if sweep is None:
        return _shown(offload.job(args.job).end(), args)
    sweep.cancel()
    return _tabled(sweep, args)


def _retry(offload: Offload, args: argparse.Namespace) -> int:
    changes = {name: getattr(args, name) for name in ("cpu", "mem", "gpu", "time", "to")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if args.failed:
        sweep = offload.sweeps.find(args.job)
        sweep.retry(**changes)
        return _tabled(sweep, args)
    return _shown(offload.retry(offload.job(args.job), **changes).view, args)


def _table(offload: Offload, args: argparse.Namespace) -> int:
    return _tabled(offload.sweeps.find(args.job), args)


def _tabled(sweep: Sweep, args: argparse.Namespace) -> int:
    if args.json:
        _print_json(sweep.view)
    else:
        print(repr(sweep))
    return 0


def _extend(offload: Offload, args: argparse.Namespace) -> int:
    return _shown(offload.job(args.job).extend(args.time), args)


def _evict(offload: Offload, args: argparse.Namespace) -> int:
    return _shown(offload.job(args.job).evict(), args)


def _shown(view: JobView, args: argparse.Namespace) -> int:
    if args.json:
        _print_json(view)
    else:
        print(job_line(view))
    return 0


def _why(offload: Offload, args: argparse.Namespace) -> int:
    why = offload.job(args.job).why()
    if args.json:
        _print_json(why)
        return 0
    lines = [f"{why.state.value}: {why.sentence}", why.next_step, *(f"  {item}" for item in why.evidence)]
    print(clean_text("\n".join(line for line in lines if line), colours=False))
    return 0


def _run(offload: Offload, args: argparse.Namespace) -> int:
    options = _given(args)
    if args.script.suffix == ".ipynb":
        request = notebook_request(args.script, args.p, options)
    else:
        request = script_request(args.script, args.args, options)
    request, blobs, taken = with_modules(request, {}, [args.script.parent])
    if args.plan:
        table = offload.plan(request, taken, max(1, len(options.points)))
        if args.json:
            _print_json(table.plan)
        else:
            print(table)
        return int(bool(table.plan.refusals))
    if options.points:
        return _swept(offload, SweepRequest(request, [*options.points], args.at_once), blobs, args)
    job = offload.submit(request, blobs)
    print(job_line(job.view), file=sys.stderr)
    if args.wait:
        job.log(follow=True)
        print(job_line(job.view), file=sys.stderr)
    if args.json:
        _print_json(job.view)
    return (job.view.exit_code or int(job.view.state != "succeeded")) if args.wait else 0


def _swept(offload: Offload, asked: SweepRequest, blobs: Mapping[str, bytes], args: argparse.Namespace) -> int:
    sweep = offload.sweeps.submit(asked, blobs)
    if args.wait:
        sweep.wait()
    _tabled(sweep, args)
    return int(args.wait and set(sweep.view.counts) != {JobState.SUCCEEDED})


def _given(args: argparse.Namespace) -> CellOptions:
    """What was typed, over what the profile says."""
    found = load().options(args.profile)
    typed = {f"--{option}": getattr(args, option.replace("-", "_")) for option in OPTIONS}
    found |= {option: value for option, value in typed.items() if value is not None}
    amounts = {name: found.get(f"--{name}") for name in ("cpu", "mem", "time")}
    return CellOptions(
        name=args.name,
        target=found.get("--to", "auto"),
        resources=resources(gpu=found.get("--gpu", ""), **amounts),
        image=found.get("--image", ""),
        token=args.token,
        on_evict=found.get("--on-evict", "resume"),
        drift=found.get("--drift", "warn"),
        points=tuple(parse_points(args.sweep)) if args.sweep else (),
    )


def _print_json(value: object) -> None:
    # An array has no JSON: its repr says what it is.
    print(msgspec.json.encode(value, enc_hook=repr).decode())
