"""Per-region overlap (PRO): every anomalous region counts alike, however small.

Bergmann et al., "Uninformed Students: Student-Teacher Anomaly Detection with Discriminative Latent Embeddings",
CVPR 2020. The curve of the mean share of a region that is found, over the share of normal pixels that are called
anomalous (FPR), one point a threshold. Its area is taken up to a limit of the FPR:

    pro       every distinct score is a threshold; interpolated at the limit; divided by the limit
    pro_200   200 thresholds; points below the limit only; their FPR stretched to [0, 1], as most tables were made
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from zsad.errors import ConfigError
from zsad.metrics.checks import Maps, paired_maps
from zsad.metrics.counts import ScoreCounts, Undefined, defined, from_above, metrics_of_counts

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
    return defined(pro_of(tally_maps(maps, masks), limit))


def pro_200(maps: Maps, masks: Maps) -> float:
    """PRO as the published zero-shot evaluations compute it, for comparison with their tables; see ``docs/metrics.md``.

    Raises:
        InputError: as for ``pro``; also if the map is constant, or fewer than two rates lie below the limit.
    """
    return defined(pro_200_of(tally_maps(maps, masks)))


def pro_of(tally: ScoreCounts, limit: float) -> float | Undefined:
    """PRO of counted pixels."""
    if missing := tally.missing("PRO"):
        return missing
    rates, overlaps = pro_points(tally, limit)
    return float(np.trapezoid(overlaps, rates) / limit)


def pro_points(tally: ScoreCounts, limit: float) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """FPR and mean share of a region found at every threshold up to the limit, where the last point is interpolated."""
    rates, overlaps = _points(tally.normal[None], tally.overlap[None], np.array([tally.regions]), limit)
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


def pro_200_of(tally: ScoreCounts) -> float | Undefined:
    """PRO of counted pixels with 200 thresholds."""
    if missing := tally.missing("PRO-200"):
        return missing
    low, high = tally.values[0], tally.values[-1]
    step = (high - low) / THRESHOLDS
    if not step:
        return Undefined("PRO-200 needs a map that is not constant", f"{low} everywhere", "use pro")
    above = np.searchsorted(tally.values, np.arange(low, high, step), side="right")
    rates = _beyond(tally.normal, above) / tally.normal.sum()
    kept = rates < LIMIT
    rates, overlaps = rates[kept], _beyond(tally.overlap, above)[kept] / tally.regions
    if not len(rates) or rates[0] == rates[-1]:
        rule = f"PRO-200 needs two different rates below {LIMIT}"
        return Undefined(rule, f"{len(set(rates.tolist()))}", "use pro, which interpolates")
    stretched = (rates - rates[-1]) / (rates[0] - rates[-1])
    return float(0.0 - np.trapezoid(overlaps, stretched))  # the FPR descends; nothing found is 0, not -0


def check_limit(limit: float) -> None:
    """An FPR that is not 0."""
    if not 0 < limit <= 1:
        raise ConfigError("the limit of the FPR lies in (0, 1]", limit, f"say {LIMIT}, as the papers do")


def tally_maps(maps: Maps, masks: Maps) -> ScoreCounts:
    """Count the pixels of all maps by sorting, in the precision that they came in."""
    values, anomalous, shares, regions = [], [], [], 0
    for scores, mask in paired_maps(maps, masks):
        pixels, share, count = region_shares(mask.astype(bool))
        values.append(scores.ravel().astype(np.result_type(scores, np.float32)))
        anomalous.append(values[-1][pixels])
        shares.append(share)
        regions += count
    return metrics_of_counts(np.concatenate(values), np.concatenate(anomalous), np.concatenate(shares), regions)


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
