"""Metrics of scores or maps at once, and of counts of them: AUROC, average precision, F1-max and PRO; all exact.

Per-region overlap (PRO) counts every anomalous region alike, however small: Bergmann et al., "Uninformed Students:
Student-Teacher Anomaly Detection with Discriminative Latent Embeddings", CVPR 2020. The curve of the mean share of a
region that is found, over the share of normal pixels that are called anomalous (FPR), one point a threshold. Its area
is taken up to a limit of the FPR:

    pro       every distinct score is a threshold; interpolated at the limit; divided by the limit
    pro_200   200 thresholds; points below the limit only; their FPR stretched to [0, 1], as most tables were made
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from numpy.typing import ArrayLike

from zsad.errors import ConfigError
from zsad.metrics.counts import (
    Maps,
    ScoreCounts,
    Undefined,
    count_scores,
    count_values,
    defined,
    from_above,
    paired_maps,
)


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Probability that an anomalous sample scores above a normal one, ties counted half; exact.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return defined(auroc_of(count_scores(scores, labels)))


def auroc_of(counts: ScoreCounts) -> float | Undefined:
    """AUROC of counted samples."""
    if missing := counts.missing("AUROC"):
        return missing
    return float(auroc_of_counts(counts.normal[None], counts.anomalous[None])[0])


def auroc_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """AUROC of each draw, in all of which both states occur; values ascend."""
    below = np.cumsum(normal, axis=1) - normal / 2
    area: np.ndarray = (anomalous * below).sum(1) / anomalous.sum(1) / normal.sum(1)
    return area


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the anomalous samples of the precision at their score, samples of equal score taken together; exact.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8333333333333333
    """
    return defined(average_precision_of(count_scores(scores, labels)))


def average_precision_of(counts: ScoreCounts) -> float | Undefined:
    """Average precision of counted samples."""
    if missing := counts.missing("average precision"):
        return missing
    return float(average_precision_of_counts(counts.normal[None], counts.anomalous[None])[0])


def average_precision_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """Average precision of each draw, in all of which both states occur; values ascend."""
    true_positives = from_above(anomalous)
    # A draw may have no sample of the highest values.
    precision = true_positives / np.maximum(true_positives + from_above(normal), 1)
    area: np.ndarray = (anomalous[:, ::-1] * precision).sum(1) / true_positives[:, -1]
    return area


def f1_max(scores: ArrayLike, labels: ArrayLike) -> float:
    """Highest harmonic mean of precision and recall over all thresholds, each distinct score being one; exact.

    The threshold is chosen on the labels themselves: an upper bound of what a threshold fixed beforehand reaches.

    Args:
        scores: finite numbers, higher is more anomalous.
        labels: 0 (normal) or 1 (anomalous), of the same length; both must occur.

    Raises:
        InputError: the lengths differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.

    >>> f1_max([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.8
    """
    return defined(f1_max_of(count_scores(scores, labels)))


def f1_max_of(counts: ScoreCounts) -> float | Undefined:
    """F1-max of counted samples."""
    if missing := counts.missing("F1-max"):
        return missing
    return float(f1_max_of_counts(counts.normal[None], counts.anomalous[None])[0])


def f1_max_of_counts(
    normal: Real[np.ndarray, "draws values"], anomalous: Real[np.ndarray, "draws values"]
) -> Float[np.ndarray, "draws"]:
    """F1-max of each draw, in all of which both states occur; values ascend."""
    true_positives = from_above(anomalous)
    # Samples called anomalous plus samples that are; in place, for there may be a million thresholds.
    either = from_above(normal)
    either += true_positives + true_positives[:, -1:]
    best: np.ndarray = 2 * (true_positives / either).max(1)
    return best


LIMIT = 0.3
"""Of the FPR, in all published tables."""
THRESHOLDS = 200


def pro(maps: Maps, masks: Maps, limit: float = LIMIT) -> float:
    """Area under the PRO curve up to an FPR of ``limit``, divided by ``limit``; exact, in [0, 1].

    Args:
        maps: finite anomaly scores, [rows, cols], [images, rows, cols] or a list of [rows, cols] of any sizes.
        masks: 0 (normal) or 1 (anomalous), of the same sizes.
        limit: in (0, 1].

    Raises:
        InputError: the sizes differ, a score is not finite, a mask is neither 0 nor 1, or a state is missing.
        ConfigError: the limit is out of range.

    >>> pro([[0.9, 0.2, 0.8, 0.1]], [[1, 0, 1, 0]])
    1.0
    """
    check_limit(limit)
    return defined(pro_of(count_maps(maps, masks), limit))


def pro_200(maps: Maps, masks: Maps) -> float:
    """PRO as the published zero-shot evaluations compute it, for comparison with their tables; see ``docs/metrics.md``.

    Raises:
        InputError: as for ``pro``; also if the map is constant, or fewer than two rates lie below the limit.
    """
    return defined(pro_200_of(count_maps(maps, masks)))


def pro_of(counts: ScoreCounts, limit: float) -> float | Undefined:
    """PRO of counted pixels."""
    if missing := counts.missing("PRO"):
        return missing
    rates, overlaps = pro_points(counts, limit)
    return float(np.trapezoid(overlaps, rates) / limit)


def pro_points(counts: ScoreCounts, limit: float) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """FPR and mean share of a region found at every threshold up to the limit, where the last point is interpolated."""
    rates, overlaps = _points(counts.normal[None], counts.overlap[None], np.array([counts.regions]), limit)
    return rates[0], overlaps[0]


def pro_of_counts(
    normal: Real[np.ndarray, "draws values"],
    overlap: Float[np.ndarray, "draws values"],
    regions: Real[np.ndarray, "draws"],
    limit: float,
) -> Float[np.ndarray, "draws"]:
    """PRO of each draw, in all of which both states occur; values ascend."""
    rates, overlaps = _points(normal, overlap, regions, limit)
    return np.asarray(np.trapezoid(overlaps, rates, axis=1) / limit)


def _points(
    normal: np.ndarray, overlap: np.ndarray, regions: np.ndarray, limit: float
) -> tuple[Float[np.ndarray, "draws points"], Float[np.ndarray, "draws points"]]:
    rates = from_above(normal) / normal.sum(1, keepdims=True)
    end = int((rates.min(0) <= limit).sum()) + 1  # every draw is past the limit by then, or at its end
    # A sum of shares may pass 1 by its rounding.
    overlaps = np.minimum(from_above(overlap)[:, :end] / regions[:, None], 1)
    rates, overlaps = (np.pad(curve, ((0, 0), (1, 0))) for curve in (rates[:, :end], overlaps))
    draw, last = np.nonzero((rates[:, :-1] <= limit) & (rates[:, 1:] > limit))
    part = (limit - rates[draw, last]) / (rates[draw, last + 1] - rates[draw, last])
    overlaps[draw, last + 1] = overlaps[draw, last] + part * (overlaps[draw, last + 1] - overlaps[draw, last])
    # Steps beyond have no width.
    return np.minimum(rates, limit), overlaps


def pro_200_of(counts: ScoreCounts) -> float | Undefined:
    """PRO of counted pixels with 200 thresholds."""
    if missing := counts.missing("PRO-200"):
        return missing
    low, high = counts.values[0], counts.values[-1]
    step = (high - low) / THRESHOLDS
    if not step:
        return Undefined("PRO-200 needs a map that is not constant", f"{low} everywhere", "use pro")
    above = np.searchsorted(counts.values, np.arange(low, high, step), side="right")
    rates = _beyond(counts.normal, above) / counts.normal.sum()
    kept = rates < LIMIT
    rates, overlaps = rates[kept], _beyond(counts.overlap, above)[kept] / counts.regions
    if not len(rates) or rates[0] == rates[-1]:
        rule = f"PRO-200 needs two different rates below {LIMIT}"
        return Undefined(rule, f"{len(set(rates.tolist()))}", "use pro, which interpolates")
    stretched = (rates - rates[-1]) / (rates[0] - rates[-1])
    return float(0.0 - np.trapezoid(overlaps, stretched))  # the FPR descends; nothing found is 0, not -0


def check_limit(limit: float) -> None:
    """An FPR that is not 0."""
    if not 0 < limit <= 1:
        raise ConfigError("the limit of the FPR lies in (0, 1]", limit, f"say {LIMIT}, as the papers do")


def count_maps(maps: Maps, masks: Maps) -> ScoreCounts:
    """Count the pixels of all maps by sorting, in the precision that they came in."""
    values, anomalous, shares, regions = [], [], [], 0
    for scores, mask in paired_maps(maps, masks):
        pixels, share, count = region_shares(mask.astype(bool))
        values.append(scores.ravel().astype(np.result_type(scores, np.float32)))
        anomalous.append(values[-1][pixels])
        shares.append(share)
        regions += count
    return count_values(np.concatenate(values), np.concatenate(anomalous), np.concatenate(shares), regions)


def _beyond(counts: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The sum of the counts from each index on."""
    return np.append(from_above(counts)[::-1], 0)[first]


def region_shares(
    mask: Bool[np.ndarray, "rows cols"],
) -> tuple[Int[np.ndarray, "anomalous"], Float[np.ndarray, "anomalous"], int]:
    """The anomalous pixels, the share of its region that each of them is (1 / area), and the number of regions.

    Pixels that touch at a side or a corner belong to one region, as in the published evaluations
    (``skimage.measure.label`` by default). Pixels are indices into the flattened mask.
    """
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        return pixels, np.zeros(0), 0
    # Here, so that importing the package stays quick.
    from scipy.ndimage import label

    labels, regions = label(mask, np.ones((3, 3), bool))
    region = labels.ravel()[pixels] - 1
    return pixels, 1 / np.bincount(region)[region], int(regions)
