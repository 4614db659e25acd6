"""The curves behind the metrics, for drawing: true points of the exact curves, as few as a drawing needs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from zsad.metrics.pro import pro_points
from zsad.metrics.score_counts import ScoreCounts, from_above

POINTS = 200
"""At most, of a curve."""


@dataclass(frozen=True)
class Curve:
    """Points of a curve, from the highest threshold to the lowest.

    Attributes:
        x, y: in [0, 1], of one length.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


def roc(tally: ScoreCounts) -> Curve | None:
    """False positive rate and true positive rate; None where a state is missing."""
    if tally.missing("the curve"):
        return None
    return thinned(_rates(tally.normal), _rates(tally.anomalous))


def precision_recall(tally: ScoreCounts) -> Curve | None:
    """Recall and precision; None where a state is missing."""
    if tally.missing("the curve"):
        return None
    found = from_above(tally.anomalous)
    precision = found / (found + from_above(tally.normal))
    return thinned(_rates(tally.anomalous), np.append(precision[0], precision))


def pro_curve(tally: ScoreCounts, limit: float) -> Curve | None:
    """False positive rate up to the limit and mean share of a region that is found; None where a state is missing."""
    return None if tally.missing("the curve") else thinned(*pro_points(tally, limit))


def thinned(x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"], most: int = POINTS) -> Curve:
    """So many of the points, evenly spaced along the curve; first and last are kept."""
    way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    wanted = np.linspace(0, way[-1], most)
    kept = np.unique(np.append(np.searchsorted(way, wanted[:-1]), len(way) - 1))
    return Curve(tuple(x[kept].tolist()), tuple(y[kept].tolist()))


def _rates(counts: np.ndarray) -> np.ndarray:
    return np.append(0, from_above(counts) / counts.sum())
