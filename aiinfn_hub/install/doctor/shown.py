"""What `aiinfn doctor` prints: for people in groups, for programs as JSON. Pure."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest

from aiinfn_hub.install.doctor.findings import Finding

#: Level -> colour of a terminal. The word is always there: colour says nothing by itself.
_COLOURS = {"mistake": "31", "unknown": "33", "note": "36"}
#: Evidence after evidence of the same trap, and no more than so many on a terminal or in a log.
_MOST = 8


def as_json(findings: Sequence[Finding]) -> str:
    """Everything, for programs."""
    return json.dumps({"findings": [asdict(one) for one in findings]}, indent=2)


def as_text(findings: Sequence[Finding], *, made: int, width: int, coloured: bool) -> str:
    """By group and code, in lines of so many characters but for commands, which are copied."""
    lines: list[str] = []
    for group in dict.fromkeys(one.group for one in findings):
        lines += [group, ""]
        for code in dict.fromkeys(one.code for one in findings if one.group == group):
            for same in _told_together([one for one in findings if one.code == code and one.group == group]):
                lines += [*_one(same, width, coloured=coloured), ""]
    return "\n".join([*lines, _sum(findings, made)])


def _told_together(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    """A sentence is said once for all that it is true of."""
    for says in dict.fromkeys(one.says for one in findings):
        yield [one for one in findings if one.says == says]


def _one(same: Sequence[Finding], width: int, *, coloured: bool) -> Iterator[str]:
    first = same[0]
    word = f"\033[{_COLOURS[first.level]}m{first.level}\033[0m" if coloured else first.level
    yield f"  {word}  {first.code}"
    yield from _wrapped(first.says, width, "    ", "    ")
    shown = same[:_MOST]
    for one, following in zip_longest(shown, shown[1:]):
        yield from _wrapped(one.evidence, width, "      seen  ", "            ")
        if following is None or one.mend != following.mend:
            yield f"      mend  {one.mend}"
    if len(same) > _MOST:
        yield f"      and {len(same) - _MOST} more; --json has them all"


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, len(rest) + 30),
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _sum(findings: Sequence[Finding], made: int) -> str:
    counts = {level: sum(one.level == level for one in findings) for level in _COLOURS}
    if not findings:
        return f"Nothing found by {made} checks."
    words = {"mistake": "mistakes", "unknown": "not known", "note": "notes"}
    told = [f"{count} {level if count == 1 else words[level]}" for level, count in counts.items() if count]
    return f"{made} checks: {', '.join(told)}."
