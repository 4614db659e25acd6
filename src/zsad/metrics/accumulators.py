"""Metrics gathered batch by batch, in one process or several, and computed at the end.

    metrics = PixelMetrics()
    for maps, masks in batches:
        metrics.update(maps, masks)
    metrics.merge(metrics_of_another_process).compute()["pro"]

Counts are whole numbers, so that neither the order of the batches nor that of the merges changes an answer (PRO, whose
counts are shares of regions: not by more than their rounding in double precision).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError
from zsad.metrics.counters import counter
from zsad.metrics.counts import LARGEST, Maps, ScoreCounts, Undefined, from_above, paired_maps, paired_scores
from zsad.metrics.functional import (
    LIMIT,
    auroc_of,
    average_precision_of,
    check_limit,
    f1_max_of,
    pro_200_of,
    pro_of,
    pro_points,
    region_shares,
)
from zsad.metrics.operating import fpr95_of

Results = dict[str, float | Undefined]


STRICT_LIMIT = 0.05
"""Of the FPR of PRO in MVTec AD 2."""
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


class ImageMetrics:
    """AUROC, average precision and F1-max of the images of a class.

    Args:
        precision: ``"float32"`` keeps every score (16 bytes an image at most); ``"keys"`` counts them as
            ``PixelMetrics`` does, in memory that does not grow.
    """

    def __init__(self, precision: str = "float32") -> None:
        self._counter = counter(precision)

    def update(self, scores: ArrayLike, labels: ArrayLike) -> "ImageMetrics":
        """Add the images of a batch and return self.

        Args:
            scores: finite, one an image; higher is more anomalous.
            labels: 0 (normal) or 1 (anomalous).

        Raises:
            InputError: there are no scores, they and the labels do not pair, or one is not what it should be.
        """
        values, is_anomalous = paired_scores(scores, labels)
        if not len(values) or np.abs(values).max() > LARGEST:
            raise InputError(f"a batch has images, their scores within ±{LARGEST}", list(values[:3]), "correct it")
        single = values.astype(np.float32)
        self._counter.add(single, single[is_anomalous], np.zeros(int(is_anomalous.sum())))
        return self

    def merge(self, other: "ImageMetrics") -> "ImageMetrics":
        """Add the images of another and return self.

        Raises:
            ConfigError: the other has another precision.
        """
        self._counter.merge(other._counter)
        return self

    def compute(self) -> Results:
        """``auroc``, ``average_precision`` and ``f1_max`` of all images so far; ``Undefined`` where there is none."""
        return _common(self._counter.counts(0))

    def further(self) -> Results:
        """``fpr95`` of all images so far (lower is better); ``Undefined`` where there is none."""
        return {"fpr95": fpr95_of(self._counter.counts(0))}

    def curves(self) -> dict[str, Curve]:
        """``roc`` and ``pr`` (precision over recall), thinned for drawing; those that the images define."""
        return _drawn(self._counter.counts(0))


class PixelMetrics:
    """AUROC, average precision, F1-max and PRO of the pixels of a class.

    Args:
        limit: of the FPR up to which PRO is taken, in (0, 1].
        precision: ``"keys"`` counts scores by keys of about 20 bits (``zsad.metrics.counters``), in at most 98 MB;
            ``"float32"`` keeps every score and sorts, in memory that grows.

    >>> metrics = PixelMetrics().update([[0.9, 0.2, 0.8, 0.1]], [[1, 0, 0, 0]])
    >>> metrics.compute()["auroc"]
    1.0
    """

    def __init__(self, limit: float = LIMIT, precision: str = "keys") -> None:
        check_limit(limit)
        self._limit = limit
        self._regions = 0
        self._counter = counter(precision)

    def update(self, maps: Maps, masks: Maps) -> "PixelMetrics":
        """Add the images of a batch and return self; a batch that is refused adds nothing.

        Args:
            maps: finite anomaly scores, [rows, cols], [images, rows, cols] or a list of [rows, cols] of any sizes;
                arrays or tensors, taken as float32.
            masks: 0 (normal) or 1 (anomalous), of the same sizes.

        Raises:
            InputError: there are no maps, they and the masks do not pair, or one is not what it should be.
        """
        for scores, mask in paired_maps(maps, masks):
            values = scores.ravel().astype(np.float32, copy=False)
            pixels, shares, regions = region_shares(mask.astype(bool, copy=False))
            self._counter.add(values, values[pixels], shares)
            self._regions += regions
        return self

    def merge(self, other: "PixelMetrics") -> "PixelMetrics":
        """Add the images of another and return self.

        Raises:
            ConfigError: the other has another precision or limit.
        """
        if other._limit != self._limit:
            raise ConfigError(
                "metrics to merge have one limit of the FPR", f"{self._limit} and {other._limit}", "choose one"
            )
        self._counter.merge(other._counter)
        self._regions += other._regions
        return self

    def compute(self) -> Results:
        """``auroc``, ``average_precision``, ``f1_max``, ``pro`` and ``pro_200`` of all images so far, in [0, 1].

        ``pro_200`` has a limit of 0.3 always. A metric that the images do not define is ``Undefined``.
        """
        counts = self._counter.counts(self._regions)
        return {**_common(counts), "pro": pro_of(counts, self._limit), "pro_200": pro_200_of(counts)}

    def further(self) -> Results:
        """``fpr95`` (lower is better) and ``pro_5``, PRO up to a rate of 0.05, of all images so far."""
        counts = self._counter.counts(self._regions)
        return {"fpr95": fpr95_of(counts), "pro_5": pro_of(counts, STRICT_LIMIT)}

    def curves(self) -> dict[str, Curve]:
        """``roc``, ``pr`` (precision over recall) and ``pro``, thinned for drawing; those that the images define."""
        counts = self._counter.counts(self._regions)
        pro = pro_curve(counts, self._limit)
        return _drawn(counts) | ({"pro": pro} if pro else {})


def _common(counts: ScoreCounts) -> Results:
    return {"auroc": auroc_of(counts), "average_precision": average_precision_of(counts), "f1_max": f1_max_of(counts)}


def _drawn(counts: ScoreCounts) -> dict[str, Curve]:
    curves = {"roc": roc(counts), "pr": precision_recall(counts)}
    return {name: curve for name, curve in curves.items() if curve is not None}


def roc(counts: ScoreCounts) -> Curve | None:
    """False positive rate and true positive rate; None where a state is missing."""
    if counts.missing("the curve"):
        return None
    return thinned(_rates(counts.normal), _rates(counts.anomalous))


def precision_recall(counts: ScoreCounts) -> Curve | None:
    """Recall and precision; None where a state is missing."""
    if counts.missing("the curve"):
        return None
    true_positives = from_above(counts.anomalous)
    precision = true_positives / (true_positives + from_above(counts.normal))
    return thinned(_rates(counts.anomalous), np.append(precision[0], precision))


def pro_curve(counts: ScoreCounts, limit: float) -> Curve | None:
    """False positive rate up to the limit and mean share of a region that is found; None where a state is missing."""
    return None if counts.missing("the curve") else thinned(*pro_points(counts, limit))


def thinned(x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"], most: int = POINTS) -> Curve:
    """So many of the points, evenly spaced along the curve; first and last are kept."""
    way = np.append(0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    wanted = np.linspace(0, way[-1], most)
    kept = np.unique(np.append(np.searchsorted(way, wanted[:-1]), len(way) - 1))
    return Curve(tuple(x[kept].tolist()), tuple(y[kept].tolist()))


def _rates(counts: np.ndarray) -> np.ndarray:
    return np.append(0, from_above(counts) / counts.sum())
