"""Scores and labels as metrics take them, and how many samples of each state have each score."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from numpy.typing import ArrayLike

from zsad.errors import InputError


@dataclass(frozen=True)
class Undefined:
    """A metric that these data do not define.

    Attributes:
        rule: what must hold for the metric to exist.
        value: what was found instead.
        remedy: what to do about it.

    >>> print(Undefined("AUROC needs normal and anomalous samples", "4 and 0", "add the missing class"))
    n/a (AUROC needs normal and anomalous samples; got 4 and 0)
    """

    rule: str
    value: str
    remedy: str

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return f"{self.rule}; got {self.value}"

    def __str__(self) -> str:
        return f"n/a ({self.reason})"


@dataclass(frozen=True)
class ScoreCounts:
    """Samples counted by score. Equal scores are one entry, so that ties cannot be told apart by their order.

    Attributes:
        values: the distinct scores, ascending.
        normal: normal samples with that score.
        anomalous: anomalous samples with that score.
        overlap: of pixels, the sum over all regions of the share of the region that has that score; of images, 0.
        regions: number of anomalous regions; of images, 0.
    """

    values: Float[np.ndarray, "values"]
    normal: Int[np.ndarray, "values"]
    anomalous: Int[np.ndarray, "values"]
    overlap: Float[np.ndarray, "values"]
    regions: int

    def missing(self, metric: str) -> Undefined | None:
        """Why a metric that needs both states does not exist, or None."""
        normal, anomalous = int(self.normal.sum()), int(self.anomalous.sum())
        if normal and anomalous:
            return None
        rule = f"{metric} needs normal and anomalous samples"
        return Undefined(rule, f"{normal} and {anomalous}", "add the missing class")


def count_values(
    values: Float[np.ndarray, "samples"],
    anomalous: Float[np.ndarray, "anomalous"],
    shares: Float[np.ndarray, "anomalous"],
    regions: int,
) -> ScoreCounts:
    """Count by sorting; ``values`` are all scores, ``anomalous`` those of them that are, ``shares`` 1 / region area."""
    distinct, counts = np.unique(values, return_counts=True)
    at = np.searchsorted(distinct, anomalous)
    hits = np.bincount(at, minlength=len(distinct))
    # Without samples bincount counts in integers, weights or not.
    overlap = np.bincount(at, shares, len(distinct)).astype(np.float64)
    return ScoreCounts(distinct, counts - hits, hits, overlap, regions)


def count_scores(scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
    """Count scores and labels in double precision, after checking them."""
    values, is_anomalous = paired_scores(scores, labels)
    return count_values(values, values[is_anomalous], np.zeros(int(is_anomalous.sum())), 0)


def from_above(counts: np.ndarray) -> np.ndarray:
    """How many samples are at or above each value, the highest value first; values are along the last axis."""
    return np.cumsum(counts[..., ::-1], axis=-1)


def defined(result: float | Undefined) -> float:
    """The number.

    Raises:
        InputError: there is none.
    """
    if isinstance(result, Undefined):
        raise InputError(result.rule, result.value, result.remedy)
    return result


Maps = ArrayLike | Iterable[ArrayLike]
"""[rows, cols], [images, rows, cols], or a list of [rows, cols] of any sizes; arrays or tensors."""

LARGEST = 1e38
"""Of scores that are kept as float32: so that the difference of two is a float32, too."""


def paired_scores(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[Float64[np.ndarray, "samples"], Bool[np.ndarray, "samples"]]:
    """Scores in double precision and which of them are anomalous.

    Raises:
        InputError: the lengths differ, a score is not a finite number, or a label is neither 0 nor 1.
    """
    values, is_anomalous = _numbers(scores, "scores"), _array(labels)
    if values.ndim != 1 or values.shape != is_anomalous.shape:
        raise InputError(
            "scores and labels are lists of one length", f"{values.shape} and {is_anomalous.shape}", "pair them"
        )
    if not np.isfinite(values).all():
        raise InputError(
            "scores are finite", f"{int((~np.isfinite(values)).sum())} NaN or infinite", "drop or repair them"
        )
    if not np.isin(is_anomalous, (0, 1)).all():
        raise InputError("labels are 0 (normal) or 1 (anomalous)", sorted(set(is_anomalous.tolist())), "convert them")
    return values.astype(np.float64), is_anomalous.astype(bool)


def paired_maps(maps: Maps, masks: Maps) -> list[tuple[np.ndarray, np.ndarray]]:
    """Map and mask of every image, each [rows, cols], as they were given but known to be fit for use.

    Raises:
        InputError: there are no maps, their number or sizes differ from the masks', a value is not a number
            within ±1e38, or a mask holds anything but 0 and 1.
    """
    pairs = list(zip(*_same_number(_each(maps, "maps"), _each(masks, "masks")), strict=True))
    for number, (scores, mask) in enumerate(pairs):
        _check_map(scores, mask, f"map {number}")
        _check_mask(mask, f"mask {number}")
    return pairs


def _same_number(maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if not maps or len(maps) != len(masks):
        raise InputError(
            "there is at least one map, and a mask for each", f"{len(maps)} and {len(masks)}", "pair them by image"
        )
    return maps, masks


def _check_map(scores: np.ndarray, mask: np.ndarray, name: str) -> None:
    if scores.shape != mask.shape or not scores.size:
        raise InputError(
            f"{name} has pixels, and its mask the same size", f"{scores.shape} and {mask.shape}", "resize the mask"
        )
    # Any comparison with NaN is false.
    if not (float(scores.min()) >= -LARGEST and float(scores.max()) <= LARGEST):
        bad = int((~(np.abs(scores.astype(np.float64)) <= LARGEST)).sum())
        raise InputError(f"values of {name} are within ±{LARGEST}", f"{bad} NaN, infinite or larger", "repair them")


def _check_mask(mask: np.ndarray, name: str) -> None:
    if mask.dtype != bool and not ((mask == 0) | (mask == 1)).all():
        raise InputError(
            f"{name} is 0 (normal) or 1 (anomalous)",
            f"values from {mask.min()} to {mask.max()}",
            "threshold it, for instance mask > 127 for 8 bits",
        )


def _each(maps: Maps, name: str) -> list[np.ndarray]:
    if isinstance(maps, list | tuple) and all(_array(one).ndim == 2 for one in maps):
        return [_numbers(one, name) for one in maps]
    array = _numbers(maps, name)
    if array.ndim not in (2, 3):
        raise InputError(f"{name} are [rows, cols] or [images, rows, cols]", array.shape, "reshape them")
    return [array] if array.ndim == 2 else list(array)


def _numbers(values: object, name: str) -> np.ndarray:
    array = _array(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} are real numbers", f"an array of {array.dtype}", "convert them")
    return array


def _array(values: object) -> np.ndarray:
    """Tensors are known by their methods: this room does not load PyTorch."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        return np.asarray(tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError("values form an array", str(error), "give rows of one length") from error
