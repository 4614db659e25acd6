"""AUPIMO: how much of each anomalous image is found while hardly any normal pixel is called anomalous; exact.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance", BMVC 2024.
The false positive rate is shared: the mean over the normal images of the share of their pixels that is called
anomalous. Each anomalous image has its own curve: the share of its anomalous pixels that is found, TPR_i, over the
logarithm of the shared rate.

    AUPIMO_i = 1 / log(U / L) · ∫ TPR_i(z) d log z  from L = 1e-5 to U = 1e-4

TPR_i(z) is taken at the lowest threshold whose shared rate is at most z: the curve is a staircase, and nothing is
interpolated. Normal pixels of anomalous images do not count.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64

from zsad.errors import ConfigError
from zsad.metrics.counters import KeyTable, from_keys, to_keys
from zsad.metrics.counts import Maps, Undefined, defined, from_above, paired_maps

BOUNDS = (1e-5, 1e-4)
"""L and U of the paper."""

Found = tuple[Int32[np.ndarray, "entries"], Int64[np.ndarray, "_"]]
"""Distinct keys of the anomalous pixels of an image, ascending, and how many pixels are at or above each; then 0."""


def aupimo(maps: Maps, masks: Maps, bounds: tuple[float, float] = BOUNDS) -> float:
    """Mean over the anomalous images of the area under their curves, in [0, 1].

    Args:
        maps: finite anomaly scores, [rows, cols], [images, rows, cols] or a list of [rows, cols] of any sizes.
        masks: 0 (normal) or 1 (anomalous), of the same sizes; an image is anomalous if a pixel is.
        bounds: of the shared false positive rate, 0 < L < U <= 1.

    Raises:
        InputError: the sizes differ, a score is not finite, a mask is neither 0 nor 1, or a state is missing.
        ConfigError: the bounds are out of range.

    >>> aupimo([[[0.9, 0.2]], [[0.1, 0.3]]], [[[1, 0]], [[0, 0]]])
    1.0
    """
    return defined(PimoMetrics(bounds).update(maps, masks).compute()["aupimo"])


class PimoMetrics:
    """AUPIMO gathered batch by batch.

    Scores are kept as keys (:mod:`zsad.metrics.counters`): those of all normal pixels in one table of 39 MB (98 MB
    where scores are outside [0, 1]), those of anomalous pixels as 12 bytes for each distinct one of an image.

    Args:
        bounds: of the shared false positive rate, 0 < L < U <= 1.

    >>> metrics = PimoMetrics().update([[[0.9, 0.2]], [[0.1, 0.3]]], [[[1, 1]], [[0, 0]]])
    >>> metrics.scores().round(6).tolist()
    [0.5]
    """

    def __init__(self, bounds: tuple[float, float] = BOUNDS) -> None:
        low, high = bounds
        if not 0 < low < high <= 1:
            raise ConfigError("the bounds of the shared rate are 0 < L < U <= 1", bounds, f"say {BOUNDS}")
        self.bounds = bounds
        self._normal, self._normal_images = KeyTable(), 0
        self._anomalous: list[Found] = []

    def update(self, maps: Maps, masks: Maps) -> "PimoMetrics":
        """Add the images of a batch and return self; a batch that is refused adds nothing.

        Args and raises as :func:`aupimo`; a batch may lack a state.
        """
        for scores, mask in paired_maps(maps, masks):
            values, is_anomalous = scores.ravel().astype(np.float32, copy=False), mask.ravel().astype(bool)
            if is_anomalous.any():
                self._anomalous.append(_found(values[is_anomalous]))
            else:
                self._normal.add(values, values, np.full(values.size, 1 / values.size))
                self._normal_images += 1
        return self

    def merge(self, other: "PimoMetrics") -> "PimoMetrics":
        """Add the images of another after one's own and return self.

        Raises:
            ConfigError: the other has other bounds.
        """
        if other.bounds != self.bounds:
            raise ConfigError("metrics to merge have the same bounds", f"{self.bounds}, {other.bounds}", "choose one")
        self._normal.merge(other._normal)
        self._normal_images += other._normal_images
        self._anomalous += list(other._anomalous)
        return self

    def compute(self) -> dict[str, float | Undefined]:
        """``aupimo``, in [0, 1]; ``Undefined`` without normal or without anomalous images."""
        if not self._normal_images or not self._anomalous:
            found = f"{self._normal_images} and {len(self._anomalous)}"
            rule = "AUPIMO needs normal and anomalous images"
            return {"aupimo": Undefined(rule, found, "add the missing ones")}
        return {"aupimo": float(self.scores().mean())}

    def scores(self) -> Float[np.ndarray, "images"]:
        """AUPIMO of each anomalous image, in the order in which they came.

        Raises:
            InputError: there are no normal images.
        """
        if not self._normal_images:
            defined(Undefined("AUPIMO needs normal images", "none", "add some"))
        thresholds, widths = self._steps()
        areas = [_share_above(one, thresholds) @ widths for one in self._anomalous]
        return np.minimum(areas, 1.0)  # a sum of widths may pass 1 by its rounding

    def _steps(self) -> tuple[Float32[np.ndarray, "points"], Float[np.ndarray, "points"]]:
        """Scores that must be exceeded on each step of the staircase, and its share of the whole width."""
        low, high = self.bounds
        counts = self._normal.counts(0)
        values, rates = counts.values[::-1], from_above(counts.overlap) / self._normal_images
        ends = np.append(rates[:-1], 1.0)  # not off by its rounding
        starts = np.append(0.0, rates[:-1])
        used = (ends > low) & (starts < high)
        width = np.log(np.clip(ends[used], low, high)) - np.log(np.clip(starts[used], low, high))
        return values[used], width / math.log(high / low)


def _found(values: Float32[np.ndarray, "pixels"]) -> Found:
    keys, counts = np.unique(to_keys(values), return_counts=True)
    return keys, np.append(from_above(counts)[::-1], 0).astype(np.int64)


def _share_above(found: Found, thresholds: Sequence[float] | np.ndarray) -> Float[np.ndarray, "points"]:
    """The share of the anomalous pixels above each threshold."""
    keys, above = found
    share: np.ndarray = above[np.searchsorted(from_keys(keys), thresholds, side="right")] / above[0]
    return share
