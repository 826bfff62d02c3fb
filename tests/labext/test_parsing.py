"""The words behind %%offload and %offload."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.jobs import JOB_NAME, Resources
from aiinfn_hub.errors import AiinfnError, InvalidInput, TooLarge
from aiinfn_labext.parsing import (
    FLAGS,
    SWEEP,
    USAGE,
    VALUES,
    VERBS,
    CellOptions,
    LineCommand,
    parse_cell,
    parse_line,
    resources,
)
from aiinfn_labext.points import parse_points

GI = 1024**3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", CellOptions()),
        ("fit", CellOptions(name="fit")),
        (
            "fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait",
            CellOptions(
                "fit", "auto", Resources(1000, 512 * 1024**2, "", 300), ("x",), ("total",), wait=True, timed=True
            ),
        ),
        ("--to here --wait", CellOptions(target="here", wait=True)),
        ("copy --token", CellOptions("copy", token=True)),
        ("--gpu=a100:2 --mem=16Gi", CellOptions(resources=Resources(memory_bytes=16 * GI, gpu="a100:2"))),
        ("--in a,b,a --out c,", CellOptions(inputs=("a", "b"), outputs=("c",))),
        ("--in 'a, b'", CellOptions(inputs=("a", "b"))),
        ("-o job fit --image ghcr.io/org/image:1", CellOptions("fit", image="ghcr.io/org/image:1", variable="job")),
        ("--cpu 500m --time 1h30m", CellOptions(resources=Resources(cpu_millis=500, time_s=5400), timed=True)),
    ],
)
def test_a_line_becomes_options(line: str, expected: CellOptions) -> None:
    assert parse_cell(line) == expected


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        pytest.param(
            "fit --memory 1Gi", "no option '--memory'", "Did you mean --mem?", id="an option with its nearest"
        ),
        pytest.param(
            "fit --zzz", "no option '--zzz'", "Known: --to, --gpu, --cpu", id="an option far from all: the list"
        ),
        pytest.param("fit --cpu", "--cpu needs a value", "--cpu N", id="an option at the end"),
        pytest.param("fit --cpu --wait", "--cpu needs a value", "", id="an option before another"),
        pytest.param("fit --cpu lots", "'lots' is not an amount of CPU", '"4"', id="an amount that is none"),
        pytest.param("fit --mem 5x", "'5x' is not an amount of memory", "16Gi", id="memory that is none"),
        pytest.param("fit --time soon", "'soon' is not a duration", "5m", id="a time that is none"),
        pytest.param("fit other", "'other' is one word too many", "--in a,b", id="two names"),
        pytest.param("fit --in a, b", "'b' is one word too many", "without spaces", id="a list with a space"),
        pytest.param("1fit", "'1fit' is not a job name", "a letter first", id="a name that starts with a digit"),
        pytest.param("fit --out a.b", "'a.b' is not a Python name", "--out a,b", id="an output that is no name"),
        pytest.param("fit -o a.b", "'a.b' is not a Python name", "-o takes", id="a variable that is no name"),
        pytest.param("fit --sweep", "--sweep needs names", "seed=0:10", id="a sweep of nothing"),
        pytest.param("fit --sweep lr=", "'lr=' is no name with values", "seed=0:10", id="a name without values"),
        pytest.param("fit --sweep 1=2", "'1=2' is no name with values", "", id="values without a name"),
        pytest.param("fit --sweep a=1 a=2", "a is there twice", "", id="a name that is there twice"),
        pytest.param("fit --sweep a=5:1", "an empty range", "as in Python", id="an empty range"),
        pytest.param("fit --sweep a=0:1:0.1", "no range of integers", "seed=0:10:2", id="a range of fractions"),
        pytest.param("fit --sweep a=1 --sweep-from p", "and from --sweep-from", "one of them", id="two sweeps"),
        pytest.param("fit --at-once 3", "--at-once is for a sweep", "--sweep", id="at once without a sweep"),
        pytest.param("fit --sweep a=1 --at-once none", "'none' is no number", "8", id="at once without a number"),
        pytest.param("--sweep a=1,2 fit b=1", "one word too many", "", id="a word behind the name"),
        pytest.param("fit --in 'a", "quotation mark", "", id="an open quotation mark"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(line: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cell(line)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_programs_get_the_nearest_option_and_the_list() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cell("--tme 5m")
    assert caught.value.details == {"nearest": "--time", "known": [*VALUES, SWEEP, *FLAGS]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", LineCommand("list")),
        ("list", LineCommand("list")),
        ("targets", LineCommand("targets")),
        ("log fit", LineCommand("log", "fit")),
        ("log -f fit", LineCommand("log", "fit", follow=True)),
        ("log fit --follow", LineCommand("log", "fit", follow=True)),
        ("get fit", LineCommand("get", "fit")),
        ("cancel fit", LineCommand("cancel", "fit")),
        ("why fit", LineCommand("why", "fit")),
    ],
)
def test_a_line_becomes_a_command(line: str, expected: LineCommand) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("cancle fit", "no verb 'cancle'", "Did you mean cancel?"),
        ("log", "%offload log needs the name of a job", "lists your jobs"),
        ("get a b", "'b' is one word too many", "Write %offload get NAME."),
        ("targets x", "'x' is one word too many", "Write %offload targets."),
        ("get -f fit", "'fit' is one word too many", "Write %offload get NAME."),
    ],
)
def test_a_mistaken_command_is_named_with_the_way_out(line: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_line(line)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_the_usage_names_every_option() -> None:
    assert all(option in USAGE for option in [*VALUES, *FLAGS])


NAMES = st.from_regex(JOB_NAME, fullmatch=True)
IDENTIFIERS = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(str.isidentifier)


@given(name=NAMES, wait=st.booleans(), values=st.lists(IDENTIFIERS, unique=True, max_size=4), cpu=st.integers(1, 99))
def test_options_may_stand_in_any_order(name: str, wait: bool, values: list[str], cpu: int) -> None:
    parts = [
        [name],
        ["--cpu", str(cpu)],
        *([["--wait"]] if wait else []),
        *([["--in", ",".join(values)]] if values else []),
    ]
    lines = [shlex.join(word for part in order for word in part) for order in (parts, parts[::-1])]
    expected = CellOptions(name, resources=Resources(cpu_millis=1000 * cpu), inputs=tuple(values), wait=wait)
    assert [parse_cell(line) for line in lines] == [expected, expected]


@given(st.text())
def test_no_text_raises_anything_but_a_sentence(text: str) -> None:
    for parse in (parse_cell, parse_line):
        with suppress(InvalidInput):
            parse(text)


@given(st.sampled_from(sorted(VERBS)), st.integers(0, 5))
def test_a_verb_with_a_slip_is_recognised(verb: str, at: int) -> None:
    slip = verb[:at] + verb[at + 1 :]
    if len(slip) < 2 or slip in VERBS:
        return
    with pytest.raises(InvalidInput) as caught:
        parse_line(slip)
    assert caught.value.details["nearest"] in VERBS


def test_amounts_of_the_python_api_may_be_numbers() -> None:
    assert resources(cpu=2, mem=GI, gpu=1, time=60) == Resources(2000, GI, "1", 60)
    assert resources() == Resources()


@pytest.mark.parametrize(
    ("words", "points"),
    [
        ("lr=0.1,1e-3", [{"lr": 0.1}, {"lr": 0.001}]),
        ("seed=0:3", [{"seed": 0}, {"seed": 1}, {"seed": 2}]),
        ("seed=10:0:-5", [{"seed": 10}, {"seed": 5}]),
        ("a=1,2 b=x,None", [{"a": 1, "b": "x"}, {"a": 1, "b": None}, {"a": 2, "b": "x"}, {"a": 2, "b": None}]),
        ("deep=True,False", [{"deep": True}, {"deep": False}]),
        ("url=http://x,y", [{"url": "http://x"}, {"url": "y"}]),
        ("kind=adam", [{"kind": "adam"}]),
        ("x=-1,-2", [{"x": -1}, {"x": -2}]),
    ],
)
def test_the_points_of_a_sweep(words: str, points: list[dict[str, Any]]) -> None:
    found = parse_cell(f"fit --sweep {words} --at-once 3 --wait")
    assert (found.name, list(found.points), found.at_once, found.wait) == ("fit", points, 3, True)


def test_a_sweep_that_is_too_large_says_how_large_it_is() -> None:
    with pytest.raises(TooLarge, match="30 x 30 = 900 points"):
        parse_cell("fit --sweep a=0:30 b=0:30")
    with pytest.raises(TooLarge, match="has 1000000000 values"):
        parse_cell("fit --sweep a=0:1000000000")


def test_a_script_takes_its_points_before_its_name() -> None:
    found = parse_line("run --sweep lr=0.1,0.2 --gpu t4 fit.py --epochs 3")
    assert (found.reference, found.arguments, found.options.points) == (
        "fit.py",
        ("--epochs", "3"),
        ({"lr": 0.1}, {"lr": 0.2}),
    )


@given(st.text(max_size=30))
def test_any_word_is_points_or_an_error_of_ours(word: str) -> None:
    with suppress(AiinfnError):
        for point in parse_points([word]):
            assert all(name.isidentifier() for name in point)
