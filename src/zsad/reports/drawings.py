"""The drawings on the page of an evaluation: SVG made of strings, so that they show without scripts."""

from collections.abc import Sequence
from html import escape

import numpy as np

BINS = 48
"""Of the histogram of scores."""

LEFT, TOP, SIDE = 34, 8, 160
"""Where the square of a curve begins in its drawing, and its side, in px."""

RISE = 56
"""Height of the tallest bar above and below the axis of the histogram, in px."""


def curve(
    title: str,
    x: Sequence[float],
    y: Sequence[float],
    axes: tuple[str, str],
    right: float = 1,
    chance: tuple[float, float] | None = None,
) -> str:
    """A curve in a square, from 0 to ``right`` across and from 0 to 1 upwards.

    Args:
        title: what a reader who does not see the drawing is told.
        x, y: its points.
        axes: names of the horizontal and the vertical axis.
        right: the largest ``x`` that is drawn.
        chance: heights at 0 and at 1 of the straight line that guessing reaches, where there is one.
    """
    points = " ".join(f"{_across(a, right)},{_up(b)}" for a, b in zip(x, y, strict=True))
    bottom, middle = TOP + SIDE, LEFT + SIDE / 2
    ticks = "".join(
        f'<text x="{_across(part * right, right)}" y="{bottom + 14}" text-anchor="middle">{part * right:g}</text>'
        f'<text x="{LEFT - 5}" y="{float(_up(part)) + 4:g}" text-anchor="end">{part:g}</text>'
        for part in (0, 0.5, 1)
    )
    guess = ""
    if chance is not None:
        ends = f'x1="{LEFT}" y1="{_up(chance[0])}" x2="{LEFT + SIDE}" y2="{_up(chance[1])}"'
        guess = f'<line class="chance" {ends}/>'
    return (
        f'<svg class="curve" viewBox="0 0 {LEFT + SIDE + 14} {bottom + 34}" role="img" aria-label="{escape(title)}">'
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>{ticks}'
        f'<text x="{middle:g}" y="{bottom + 29}" text-anchor="middle">{escape(axes[0])}</text>'
        f'<text transform="translate(9 {TOP + SIDE / 2:g}) rotate(-90)" text-anchor="middle">{escape(axes[1])}</text>'
        f'{guess}<polyline points="{points}"/></svg>'
    )


def histogram(normal: Sequence[float], anomalous: Sequence[float], threshold: float | None) -> str:
    """How many images of each state have which score: anomalous above the axis, normal below it.

    Bars are shares of their state on one scale, so that the rarer state is as visible as the other. The axis runs from
    the lowest score to the highest.

    Args:
        normal, anomalous: scores; one of them at least.
        threshold: where a line is drawn, if anywhere.
    """
    low, high = min([*normal, *anomalous]), max([*normal, *anomalous])
    if low == high:
        low, high = low - 0.05, high + 0.05
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(scores, edges)[0] for scores in (normal, anomalous)]
    most = max(float(count.max()) / max(1, int(count.sum())) for count in counts)
    bars = "".join(
        _bars(count, edges, most, state) for count, state in zip(counts, ("normal", "anomalous"), strict=True)
    )
    axis = TOP + RISE
    said = f"Scores of {len(anomalous)} anomalous and {len(normal)} normal images, from {low:.3f} to {high:.3f}"
    mark = "" if threshold is None else _mark(100 * (threshold - low) / (high - low), threshold)
    return (
        f'<svg class="scores" height="{2 * axis + 32}" role="img" aria-label="{said}">{bars}'
        f'<line class="axis" x1="0%" x2="100%" y1="{axis}" y2="{axis}"/>{mark}'
        f'<text x="0%" y="{2 * axis + 8}">{low:.3f}</text>'
        f'<text x="100%" y="{2 * axis + 8}" text-anchor="end">{high:.3f}</text></svg>'
    )


def _across(x: float, right: float) -> str:
    return f"{LEFT + SIDE * min(x / right, 1):.1f}"


def _up(y: float) -> str:
    return f"{TOP + SIDE * (1 - y):.1f}"


def _bars(counts: np.ndarray, edges: np.ndarray, most: float, state: str) -> str:
    axis, total = TOP + RISE, max(1, int(counts.sum()))
    drawn = []
    for number, count in enumerate(counts):
        if not count:
            continue
        height = max(2, RISE * count / total / most)
        top = axis - height if state == "anomalous" else axis
        said = f"{count} {state} with a score from {edges[number]:.3f} to {edges[number + 1]:.3f}"
        place = f'x="{100 * number / BINS:.2f}%" width="{88 / BINS:.2f}%" y="{top:.1f}" height="{height:.1f}"'
        drawn.append(f'<rect class="{state}" {place}><title>{said}</title></rect>')
    return "".join(drawn)


def _mark(place: float, threshold: float) -> str:
    """The line of a threshold, its name on the side where there is room."""
    bottom = 2 * (TOP + RISE)
    anchor = "start" if place < 20 else "end" if place > 80 else "middle"
    return (
        f'<line class="threshold" x1="{place:.2f}%" x2="{place:.2f}%" y1="0" y2="{bottom}"/>'
        f'<text class="threshold" x="{place:.2f}%" y="{bottom + 24}" text-anchor="{anchor}">'
        f"F1-max at {threshold:.3f}</text>"
    )
