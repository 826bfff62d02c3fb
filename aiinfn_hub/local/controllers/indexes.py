"""Sets of completion indexes as a Job's status writes them: "0-3,5". Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet


def parse_indexes(text: str) -> set[int]:
    """The indexes in "0-3,5"."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return found


def format_indexes(indexes: AbstractSet[int]) -> str:
    """Indexes as ranges, ascending."""
    spans: list[list[int]] = []
    for index in sorted(indexes):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    # Kubernetes writes two neighbours as "0,1" and a dash from three on.
    return ",".join(
        str(first) if first == last else f"{first},{last}" if last == first + 1 else f"{first}-{last}"
        for first, last in spans
    )
