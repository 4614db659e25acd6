"""What the page of an evaluation shows of one class: curves, scores of the images, and the worst of them.

Drawings are SVG, so that they show without scripts; their geometry is computed here, lengths in px.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from zsad.drawing.embedding import data_uri
from zsad.results import store
from zsad.results.schema import METRICS, TITLES, ClassResult, ImageResult, Metric, WorstImage
from zsad.wording import pluralised

SIDE = 200
"""Longer side of a thumbnail in px."""

LARGEST = 20_000
"""Characters that a thumbnail may take, 15 kB; images of which it needs more are packed more tightly."""

QUALITIES = (80, 65, 50, 35, 20)

RATES = ("false positive rate", "true positive rate")
CURVES = {
    "image_roc": ("image ROC", RATES, 1, ("image_auroc",)),
    "image_pr": ("image precision and recall", ("recall", "precision"), 1, ("image_ap", "image_f1_max")),
    "pixel_roc": ("pixel ROC", RATES, 1, ("pixel_auroc",)),
    "pixel_pr": ("pixel precision and recall", ("recall", "precision"), 1, ("pixel_ap", "pixel_f1_max")),
    "pixel_pro": ("PRO", ("false positive rate", "share of a region found"), 0.3, ("pixel_pro",)),
}
"""Title, axes, the end of the horizontal one, and the metrics that are read off it, by the names in curves.json."""

SUMMARY = ("image_auroc", "pixel_auroc", "pixel_pro")
"""Metrics named where a class is folded."""

BINS = 48
"""Of the histogram of scores."""

RISE = 56
"""Height of the tallest bar above and below the axis of the histogram, in px."""

NamedMetrics = tuple[tuple[str, Metric], ...]
"""Titles and metrics, of those that have a value."""


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
        threshold: of F1-max, where a line is drawn; None where a state has no image.
        true_positives, false_positives: images at or above it.
    """

    AXIS: ClassVar[int] = 8 + RISE
    WIDTH: ClassVar[float] = 88 / BINS

    normal: int
    anomalous: int
    low: float
    high: float
    bars: tuple[Bar, ...]
    threshold: float | None
    true_positives: int
    false_positives: int

    @property
    def threshold_place(self) -> float:
        """Of the line, in percent of the width."""
        return 100 * ((self.threshold or 0.0) - self.low) / (self.high - self.low)

    @property
    def threshold_anchor(self) -> str:
        """On which side of the line there is room for its name."""
        return "start" if self.threshold_place < 20 else "end" if self.threshold_place > 80 else "middle"


@dataclass(frozen=True)
class CurveFigure:
    """A curve, its title, and the metrics that are read off it."""

    title: str
    drawing: CurveDrawing
    metrics: NamedMetrics


@dataclass(frozen=True)
class WorstFigure:
    """One of the worst images.

    Attributes:
        image: the image.
        thumbnails: what each shows, and its ``src``; None where the file is missing.
    """

    image: WorstImage
    thumbnails: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class ClassSection:
    """All that the page shows of a class; None stands for a file that is missing.

    Attributes:
        result: of the class.
        place: the anchor that links lead to.
        summary: metrics that are named where the class is folded.
        facts: names and values.
        curves: those that the images define.
        is_scored: whether the table of images is there.
        scores: None also where no image was scored.
        worst: the worst images that are shown.
        kept: how many worst images there are on disk.
    """

    result: ClassResult
    place: str
    summary: NamedMetrics
    facts: dict[str, str]
    curves: tuple[CurveFigure, ...] | None
    is_scored: bool
    scores: Histogram | None
    worst: tuple[WorstFigure, ...] | None
    kept: int


def class_section(result: ClassResult, folder: Path | None, place: str, max_worst: int) -> ClassSection:
    """Read what the folder of a class holds.

    Args:
        result: of the class.
        folder: of its files; None where there is none.
        place: the anchor that links lead to.
        max_worst: images shown among the worst.

    Raises:
        InputError, ConfigError: a file is there and cannot be read.
    """
    images = store.read_images(folder) if folder and (folder / store.IMAGES).is_file() else None
    worst = store.read_worst_images(folder) if folder and (folder / store.WORST / store.WORST_LIST).is_file() else None
    return ClassSection(
        result=result,
        place=place,
        summary=_defined(result, SUMMARY),
        facts=_facts(result),
        curves=_curves(result, folder) if folder and (folder / store.CURVES).is_file() else None,
        is_scored=images is not None,
        scores=_scores(images) if images else None,
        worst=None if worst is None or folder is None else tuple(_worst(worst, folder / store.WORST, max_worst)),
        kept=len(worst or ()),
    )


def best_threshold(images: Sequence[ImageResult]) -> float | None:
    """The score from which images count as anomalous where F1 is highest; the lowest such score.

    None where a state is missing.
    """
    normal, anomalous = (np.sort([image.score for image in images if image.label == label]) for label in (0, 1))
    if not len(normal) or not len(anomalous):
        return None
    thresholds = np.unique(np.concatenate([normal, anomalous]))
    true_positives = len(anomalous) - np.searchsorted(anomalous, thresholds)
    positives = true_positives + len(normal) - np.searchsorted(normal, thresholds)
    return float(thresholds[np.argmax(2 * true_positives / (positives + len(anomalous)))])


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
        threshold: of F1-max, if both states have images.
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
    called = [sum(threshold is not None and score >= threshold for score in scores) for scores in (anomalous, normal)]
    return Histogram(len(normal), len(anomalous), low, high, tuple(bars), threshold, *called)


def thumbnail(path: Path) -> str:
    """A small JPEG for the ``src`` of an image, of at most ``LARGEST`` characters where any quality reaches that."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    packed = (data_uri(image, SIDE, quality) for quality in QUALITIES)
    return next((uri for uri in packed if len(uri) <= LARGEST), data_uri(image, SIDE, QUALITIES[-1]))


def _defined(result: ClassResult, names: Sequence[str]) -> NamedMetrics:
    """Those of these metrics that have a value, in the order of ``METRICS``."""
    metrics = [(TITLES[name], result.metrics[name]) for name in METRICS if name in names and name in result.metrics]
    return tuple((title, metric) for title, metric in metrics if metric.value is not None)


def _facts(result: ClassResult) -> dict[str, str]:
    return {
        "class name in the prompts": f"“{result.prompt}”",
        "normal": f"{result.normal:,}",
        "anomalous": f"{result.anomalous:,}",
        "of these without mask": f"{result.without_mask:,}",
        "left out: unlabelled": f"{result.unlabelled:,}",
        "left out: unreadable": f"{len(result.unreadable):,}",
        "seen in training": f"{result.seen_in_training:,}",
        **({"shots": pluralised(len(result.shots), "normal image")} if result.shots else {}),
        **({"judged by": result.explanation} if result.explanation else {}),
        "time": f"{result.seconds:.1f} s",
        "peak memory": f"{result.peak_memory_mb:,.0f} MB",
    }


def _curves(result: ClassResult, folder: Path) -> tuple[CurveFigure, ...]:
    prevalence = result.anomalous / max(1, result.normal + result.anomalous)
    chances = {"image_roc": (0, 1), "pixel_roc": (0, 1), "image_pr": (prevalence, prevalence)}
    curves = store.read_curves(folder)
    return tuple(
        CurveFigure(
            title,
            curve(curves[name].x, curves[name].y, axes, right, chances.get(name)),
            _defined(result, metrics),
        )
        for name, (title, axes, right, metrics) in CURVES.items()
        if name in curves
    )


def _scores(images: Sequence[ImageResult]) -> Histogram:
    normal, anomalous = ([image.score for image in images if image.label == label] for label in (0, 1))
    return histogram(normal, anomalous, best_threshold(images))


def _worst(images: Sequence[WorstImage], folder: Path, limit: int) -> Iterator[WorstFigure]:
    """Of each kind the worst, then of each kind the second, and so on."""
    kinds = [[image for image in images if image.why == why] for why in dict.fromkeys(image.why for image in images)]
    ranked = [kind[rank] for rank in range(max(map(len, kinds), default=0)) for kind in kinds if rank < len(kind)]
    for image in ranked[:limit]:
        files = {"image": image.image, "mask": image.mask, "heat map": image.overlay}
        yield WorstFigure(image, tuple((what, _source(folder, name)) for what, name in files.items()))


def _source(folder: Path, name: str | None) -> str | None:
    """A thumbnail of a file; a name leads nowhere but into the folder."""
    path = folder / Path(name).name if name else None
    return thumbnail(path) if path is not None and path.is_file() else None


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
