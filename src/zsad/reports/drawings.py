"""The geometry of the drawings on the page of an evaluation: SVG, so that they show without scripts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

BINS = 48
"""Of the histogram of scores."""

RISE = 56
"""Height of the tallest bar above and below the axis of the histogram, in px."""


@dataclass(frozen=True)
class CurveDrawing:
    """A curve in a square; lengths in px, from the top left corner of the drawing.

    Attributes:
        axes: names of the horizontal and the vertical axis.
        points: ``x,y`` of each point of the curve.
        ticks: place across, label below; place down, label at the left: of each tick.
        chance: heights at the left and the right end of the straight line that guessing reaches, where there is one.
    """

    LEFT: ClassVar[int] = 34
    TOP: ClassVar[int] = 8
    SIDE: ClassVar[int] = 160

    axes: tuple[str, str]
    points: str
    ticks: tuple[tuple[str, str, str, str], ...]
    chance: tuple[str, str] | None


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram.

    Attributes:
        state: ``"normal"`` or ``"anomalous"``.
        left: in percent of the width of the drawing.
        top, height: in px.
        count: images in it.
        low, high: scores that it is of.
    """

    state: str
    left: float
    top: float
    height: float
    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Histogram:
    """How many images of each state have which score: anomalous above the axis, normal below it.

    Attributes:
        normal, anomalous: numbers of images.
        low, high: ends of the axis of scores.
        bars: those that are not empty.
        threshold: where a line is drawn, if anywhere.
    """

    AXIS: ClassVar[int] = 8 + RISE
    WIDTH: ClassVar[float] = 88 / BINS

    normal: int
    anomalous: int
    low: float
    high: float
    bars: tuple[Bar, ...]
    threshold: float | None

    @property
    def threshold_place(self) -> float:
        """Of the line, in percent of the width."""
        return 100 * ((self.threshold or 0.0) - self.low) / (self.high - self.low)

    @property
    def threshold_anchor(self) -> str:
        """On which side of the line there is room for its name."""
        return "start" if self.threshold_place < 20 else "end" if self.threshold_place > 80 else "middle"


def curve(
    x: Sequence[float],
    y: Sequence[float],
    axes: tuple[str, str],
    right: float = 1,
    chance: tuple[float, float] | None = None,
) -> CurveDrawing:
    """A curve in a square, from 0 to ``right`` across and from 0 to 1 upwards.

    Args:
        x, y: its points.
        axes: names of the horizontal and the vertical axis.
        right: the largest ``x`` that is drawn.
        chance: heights at 0 and at 1 of the straight line that guessing reaches, where there is one.
    """
    ticks = tuple(
        (_across(part * right, right), f"{part * right:g}", f"{float(_up(part)) + 4:g}", f"{part:g}")
        for part in (0, 0.5, 1)
    )
    points = " ".join(f"{_across(a, right)},{_up(b)}" for a, b in zip(x, y, strict=True))
    return CurveDrawing(axes, points, ticks, None if chance is None else (_up(chance[0]), _up(chance[1])))


def histogram(normal: Sequence[float], anomalous: Sequence[float], threshold: float | None) -> Histogram:
    """The scores of a class; the axis runs from the lowest to the highest.

    Bars are shares of their state on one scale, so that the rarer state is as visible as the other.

    Args:
        normal, anomalous: scores; one of them at least.
        threshold: where a line is drawn, if anywhere.
    """
    low, high = min([*normal, *anomalous]), max([*normal, *anomalous])
    if low == high:
        low, high = low - 0.05, high + 0.05
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(scores, edges)[0] for scores in (normal, anomalous)]
    highest = max(float(count.max()) / max(1, int(count.sum())) for count in counts)
    bars = (
        bar
        for count, state in zip(counts, ("normal", "anomalous"), strict=True)
        for bar in _bars(count, edges, highest, state)
    )
    return Histogram(len(normal), len(anomalous), low, high, tuple(bars), threshold)


def _across(x: float, right: float) -> str:
    return f"{CurveDrawing.LEFT + CurveDrawing.SIDE * min(x / right, 1):.1f}"


def _up(y: float) -> str:
    return f"{CurveDrawing.TOP + CurveDrawing.SIDE * (1 - y):.1f}"


def _bars(counts: np.ndarray, edges: np.ndarray, highest: float, state: str) -> Iterator[Bar]:
    total = max(1, int(counts.sum()))
    for number in np.flatnonzero(counts).tolist():
        count = int(counts[number])
        height = max(2, RISE * count / total / highest)
        top = Histogram.AXIS - height if state == "anomalous" else Histogram.AXIS
        yield Bar(state, 100 * number / BINS, top, height, count, float(edges[number]), float(edges[number + 1]))
