"""The words of `%%offload` and `%offload`. Pure: text in, frozen dataclasses out."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from aiinfn_hub.contract.jobs import JOB_NAME, Resources, Retry
from aiinfn_hub.contract.sweeps import AT_ONCE, Point
from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.amounts import change_of, resources
from aiinfn_labext.points import parse_points
from aiinfn_labext.profiles import Profiles

#: Options of `%%offload` that take a value, as the usage shows them.
VALUES = {
    "--to": "auto|here|local|SITE",
    "--gpu": "none|1|FLAVOUR|FLAVOUR:COUNT|24GB",
    "--cpu": "N",
    "--mem": "512Mi",
    "--time": "5m",
    "--in": "a,b",
    "--out": "c,d",
    "--image": "REF",
    "--on-evict": "resume|restart|stop",
    "--with": "TAG,TAG",
    "--drift": "warn|refuse|install",
    "--profile": "NAME",
    "--sweep-from": "LIST",
    "--at-once": "8",
    "-o": "job",
}
#: Takes all words behind it that are names with values.
SWEEP = "--sweep"
FLAGS = ("--token", "--wait", "--plan", "--again")
#: Verbs of `%offload`, and whether they take the name of a job.
VERBS = {
    "list": False,
    "log": True,
    "get": True,
    "cancel": True,
    "why": True,
    "retry": True,
    "table": True,
    "extend": True,
    "evict": True,
    "run": True,
    "nb": True,
    "targets": False,
    "profiles": False,
}
#: Flags of verbs, and what stands behind the name.
VERB_FLAGS = {"log": ("-f", "--follow"), "evict": ("--test",), "retry": ("--failed",)}
BEHIND = {"extend": ("1h",)}
#: What `%offload retry` may change.
CHANGES = ("--to", "--gpu", "--cpu", "--mem", "--time")
USAGE = "%%offload [NAME] " + " ".join(
    [
        *(f"[{name} {value}]" for name, value in VALUES.items()),
        f"[{SWEEP} lr=0.1,0.01 seed=0:10]",
        *(f"[{name}]" for name in FLAGS),
    ]
)


@dataclass(frozen=True)
class CellOptions:
    """One `%%offload` line; `name` is empty when none was given, `timed` says whether `--time` was.

    `tags` are those of `--with`, `points` those of `--sweep`, `points_from` a variable that has them.
    """

    name: str = ""
    target: str = "auto"
    resources: Resources = field(default_factory=Resources)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    image: str = ""
    token: bool = False
    on_evict: str = "resume"
    tags: tuple[str, ...] = ()
    drift: str = "warn"
    wait: bool = False
    plan: bool = False
    again: bool = False
    timed: bool = False
    points: tuple[Point, ...] = ()
    points_from: str = ""
    at_once: int = AT_ONCE
    variable: str = ""


@dataclass(frozen=True)
class LineCommand:
    """One `%offload` line: what to do, with which job; `run` has a script, its arguments, and how it is sent.

    `extend` has the time as its argument; `failed` is for what failed of a sweep.
    """

    verb: str
    reference: str = ""
    follow: bool = False
    failed: bool = False
    change: Retry = field(default_factory=Retry)
    arguments: tuple[str, ...] = ()
    options: CellOptions = field(default_factory=CellOptions)


def parse_cell(line: str, profiles: Callable[[], Profiles] = Profiles) -> CellOptions:
    """Read what stands behind `%%offload`; what is not there is taken from a profile.

    Raises:
        InvalidInput: an unknown or unfinished option, with the nearest one; a bad name or amount.
        NotFound: there is no such profile.
    """
    words = _words(line)
    found: dict[str, str] = {}
    names: list[str] = []
    flags: set[str] = set()
    points: list[Point] = []
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if not word.startswith("-"):
            names.append(word)
        elif word in FLAGS:
            flags.add(word)
        elif word == SWEEP:
            points = parse_points(_taken(words))
        elif option not in VALUES:
            raise _unknown("option", option, [*VALUES, SWEEP, *FLAGS], USAGE)
        else:
            found[option] = value if equals else _value_of(option, words)
    if len(names) > 1:
        raise InvalidInput(
            f"{names[1]!r} is one word too many.",
            hint="A job has one name; lists are written without spaces, as in --in a,b.",
        )
    name = _job_name(names[0]) if names else ""
    token, wait, plan, again = (flag in flags for flag in FLAGS)
    found = {**profiles().options(found.pop("--profile", "")), **found}
    options = replace(_cell_options(found), name=name, token=token, wait=wait, plan=plan, again=again)
    if points and options.points_from:
        raise InvalidInput("The points come from --sweep and from --sweep-from.", hint="Use one of them.")
    if "--at-once" in found and not points and not options.points_from:
        raise InvalidInput("--at-once is for a sweep.", hint="Write --sweep lr=0.1,0.01 too.")
    return replace(options, points=tuple(points))


def parse_line(line: str, profiles: Callable[[], Profiles] = Profiles) -> LineCommand:
    """Read what stands behind `%offload`; nothing lists the jobs.

    Raises:
        InvalidInput: an unknown verb, with the nearest one; a missing or superfluous word.
    """
    words = _words(line)
    verb = words.pop(0) if words else "list"
    if verb not in VERBS:
        raise _unknown("verb", verb, VERBS, "%offload [" + "|".join(VERBS) + "] [NAME]")
    if verb in ("run", "nb"):
        return _file(verb, words, profiles)
    flags = VERB_FLAGS.get(verb, ())
    given = [word for word in words if word in flags]
    words = [word for word in words if word not in flags]
    change = _change(words) if verb == "retry" else Retry()
    behind = BEHIND.get(verb, ())
    usage = " ".join([f"Write %offload {verb}{' NAME' * VERBS[verb]}", *behind])
    if VERBS[verb] and not words:
        raise InvalidInput(f"%offload {verb} needs the name of a job.", hint="%offload lists your jobs.")
    extra = words[1 + len(behind) :] if VERBS[verb] else words
    if extra:
        raise InvalidInput(f"{extra[0]!r} is one word too many.", hint=f"{usage}.")
    if VERBS[verb] and len(words) <= len(behind):
        raise InvalidInput(f"%offload {verb} needs more than the name.", hint=f"{usage}.")
    if verb == "evict" and not given:
        raise InvalidInput("Nothing but a rehearsal is to be had.", hint=f"{usage} --test.")
    reference = words[0] if words else ""
    return LineCommand(
        verb,
        reference,
        follow=verb == "log" and bool(given),
        failed=verb == "retry" and bool(given),
        change=change,
        arguments=tuple(words[1:]),
    )


def _file(verb: str, words: list[str], profiles: Callable[[], Profiles]) -> LineCommand:
    """Options come before the file; what is behind it is a script's own, or the parameters of a notebook."""
    options: list[str] = []
    while words and words[0].startswith("-"):
        word = words.pop(0)
        options.append(word)
        if word == SWEEP:
            options += _taken(words)
        if word in VALUES:
            options.append(_value_of(word, words))
    if not words:
        usage = "script.py [ARGUMENTS]" if verb == "run" else "file.ipynb [-p NAME=VALUE ...]"
        raise InvalidInput(f"%offload {verb} needs a file.", hint=f"Write %offload {verb} [--gpu SPEC ...] {usage}.")
    file, *rest = words
    if verb == "nb":
        if rest[::2] != ["-p"] * len(rest[1::2]):
            raise InvalidInput("Behind the notebook stand parameters only.", hint="Write each as -p NAME=VALUE.")
        rest = rest[1::2]
    return LineCommand(verb, file, arguments=tuple(rest), options=parse_cell(shlex.join(options), profiles))


def _change(words: list[str]) -> Retry:
    """Take the options out of the words of `%offload retry`."""
    found: dict[str, str] = {}
    for word in [word for word in words if word.startswith("-")]:
        option, equals, value = word.partition("=")
        if option not in CHANGES:
            raise _unknown("option", option, CHANGES, "%offload retry NAME [" + "] [".join(CHANGES) + "]")
        place = words.index(word)
        words.pop(place)
        found[option] = value if equals else (words.pop(place) if place < len(words) else "")
        if not found[option]:
            raise InvalidInput(f"{option} needs a value.", hint=f"Write {option} {VALUES[option]}.")
    return change_of(**{option.lstrip("-"): value for option, value in found.items()})


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=False)
    except ValueError as error:
        raise InvalidInput(f"A quotation mark is not closed: {line.strip()}") from error


def _taken(words: list[str]) -> list[str]:
    """Take the names with values from the front of the words."""
    count = next((place for place, word in enumerate(words) if word.startswith("-") or "=" not in word), len(words))
    taken, words[:] = words[:count], words[count:]
    return taken


def _value_of(option: str, words: list[str]) -> str:
    if not words or words[0].startswith("-"):
        raise InvalidInput(f"{option} needs a value.", hint=f"Write {option} {VALUES[option]}.")
    return words.pop(0)


def _unknown(kind: str, word: str, known: Iterable[str], usage: str) -> InvalidInput:
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    nearest = f"Did you mean {near[0]}? " if near else ""
    return InvalidInput(
        f"There is no {kind} {word!r}.",
        hint=f"{nearest}Known: {', '.join(known)}. Usage: {usage}",
        details={"nearest": near[0] if near else "", "known": known},
    )


def _job_name(name: str) -> str:
    if JOB_NAME.fullmatch(name) is None:
        raise InvalidInput(f"{name!r} is not a job name.", hint="Up to 40 letters, digits, - and _; a letter first.")
    return name


def _cell_options(found: dict[str, str]) -> CellOptions:
    return CellOptions(
        target=found.get("--to", "auto"),
        resources=resources(
            cpu=found.get("--cpu"), mem=found.get("--mem"), gpu=found.get("--gpu", ""), time=found.get("--time")
        ),
        timed="--time" in found,
        inputs=_names(found.get("--in", ""), "--in"),
        outputs=_names(found.get("--out", ""), "--out"),
        image=found.get("--image", ""),
        on_evict=found.get("--on-evict", "resume"),
        drift=found.get("--drift", "warn"),
        tags=tuple(tag for tag in found.get("--with", "").split(",") if tag),
        points_from=_variable(found.get("--sweep-from", ""), "--sweep-from takes the variable that has the points."),
        at_once=_count(found.get("--at-once", str(AT_ONCE))),
        variable=_variable(found.get("-o", ""), "-o takes the variable that gets the job."),
    )


def _variable(name: str, hint: str) -> str:
    if name and not name.isidentifier():
        raise InvalidInput(f"{name!r} is not a Python name.", hint=hint)
    return name


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise InvalidInput(f"{text!r} is no number of points.", hint="Write --at-once 8.")
    return int(text)


def _names(text: str, option: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not name.isidentifier():
            raise InvalidInput(f"{name!r} is not a Python name.", hint=f"{option} takes names, as in {option} a,b.")
    return tuple(dict.fromkeys(names))
