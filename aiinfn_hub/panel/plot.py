"""A stacked area as SVG, made on the server: it is there before any script runs, and prints. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 920, 260, 44, 26, 10
#: Okabe and Ito's palette, told apart with any colour vision; the patterns of the legend's order say the same again.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
TICKS = 6


def stacked(series: Mapping[str, Sequence[float]], *, since: float, until: float, title: str) -> Markup:
    """The figure, with its title for screen readers; `series` is units held at equal steps from `since` to `until`."""
    top = _round_up(max((sum(values) for values in zip(*series.values(), strict=True)), default=0.0))
    layers, below = [], [0.0] * max((len(values) for values in series.values()), default=0)
    for number, (name, values) in enumerate(sorted(series.items())):
        above = [low + value for low, value in zip(below, values, strict=True)]
        points = [*_points(above, top), *reversed(_points(below, top))]
        layers.append(
            Markup('<path d="M{}Z" fill="{}"><title>{}</title></path>').format(
                Markup("L").join(f"{x:.1f},{y:.1f}" for x, y in points), COLOURS[number % len(COLOURS)], name
            )
        )
        below = above
    return Markup(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<g class="grid">{}</g>{}<g class="axis">{}</g></svg>'
    ).format(WIDTH, HEIGHT, title, _grid(top), Markup("").join(layers), _hours(since, until))


def legend(series: Mapping[str, Sequence[float]], now: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """(name, colour, units held now) in the order of the layers, from below."""
    return [(name, COLOURS[number % len(COLOURS)], now.get(name, 0)) for number, name in enumerate(sorted(series))]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 ... above a value, so that the axis has whole numbers."""
    if value <= 1:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value))


def _points(values: Sequence[float], top: float) -> list[tuple[float, float]]:
    """Steps, not slopes: a device is held or it is not."""
    width = (WIDTH - LEFT) / max(1, len(values))
    scale = (HEIGHT - TOP - BOTTOM) / top
    points = []
    for index, value in enumerate(values):
        y = HEIGHT - BOTTOM - value * scale
        points += [(LEFT + index * width, y), (LEFT + (index + 1) * width, y)]
    return points


def _grid(top: float) -> Markup:
    lines = []
    for part in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
        lines.append(
            Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}">{:g}</text>').format(
                LEFT, WIDTH, y, y, LEFT - 6, y + 4, part * top
            )
        )
    return Markup("").join(lines)


def _hours(since: float, until: float) -> Markup:
    labels = []
    for tick in range(TICKS + 1):
        at = since + (until - since) * tick / TICKS
        moment = datetime.fromtimestamp(at, UTC)
        anchor = "start" if tick == 0 else "end" if tick == TICKS else "middle"
        labels.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="{}" data-time="{:.0f}">{} UTC</text>').format(
                LEFT + (WIDTH - LEFT) * tick / TICKS, HEIGHT - 6, anchor, at, moment.strftime("%H:%M")
            )
        )
    return Markup("").join(labels)
