"""Saturated PRO (sPRO) of logical anomalies, after MVTec LOCO AD; exact.

Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization",
IJCV 2022. Where an object is missing, it is not defined which pixels are anomalous: the mask A_i marks all where it may
have been, and as many as the saturation threshold s_i suffice.

    sPRO = 1/m · Σ_i min(|A_i ∩ P| / s_i, 1)        P: the pixels called anomalous
    area under sPRO over the false positive rate (of the pixels outside of all masks) up to a limit, divided by it

With s_i = |A_i| this is PRO. A region is one annotated defect, connected or not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError
from zsad.metrics.counters import counter
from zsad.metrics.counts import Maps, Undefined, defined, paired_maps
from zsad.metrics.functional import check_limit, pro_of

SATURATED_LIMIT = 0.05
"""Of the false positive rate, in the paper's tables."""


@dataclass(frozen=True)
class SaturatedRegion:
    """An annotated defect.

    Attributes:
        mask: where it is or may be, [rows, cols], with at least one pixel.
        saturation: pixels that suffice, greater than 0; beyond the area of the mask it is that area.
    """

    mask: Bool[np.ndarray, "rows cols"]
    saturation: float

    def __post_init__(self) -> None:
        if not self.saturation > 0:
            raise ConfigError("a saturation threshold is greater than 0", self.saturation, "give a number of pixels")
        if not self.mask.any():
            raise InputError("an annotated defect has pixels", "none", "leave it out")


Regions = Sequence[SaturatedRegion]


def spro(maps: ArrayLike | Iterable[ArrayLike], regions: Sequence[Regions], limit: float = SATURATED_LIMIT) -> float:
    """Area under the saturated PRO curve up to a false positive rate of ``limit``, divided by ``limit``; in [0, 1].

    Args:
        maps: finite anomaly scores, [images, rows, cols] or a list of [rows, cols] of any sizes.
        regions: of each image, of its size; none of a normal one.
        limit: in (0, 1].

    Raises:
        InputError: sizes differ, a score is not finite, or there is no region or no normal pixel.
        ConfigError: the limit is out of range.

    >>> spro([[[0.9, 0.2, 0.1]]], [[SaturatedRegion(np.array([[True, True, False]]), 1)]])
    1.0
    """
    return defined(SaturatedProMetrics(limit).update(maps, regions).compute()["spro"])


class SaturatedProMetrics:
    """Saturated PRO gathered batch by batch, in memory that does not grow.

    Args:
        limit: of the false positive rate, in (0, 1].
        precision: as of :class:`zsad.metrics.PixelMetrics`.
    """

    def __init__(self, limit: float = SATURATED_LIMIT, precision: str = "keys") -> None:
        check_limit(limit)
        self._limit, self._counter, self._regions = limit, counter(precision), 0

    def update(self, maps: Maps, regions: Sequence[Regions]) -> "SaturatedProMetrics":
        """Add the images of a batch and return self; a batch that is refused adds nothing. Args as :func:`spro`."""
        arrays = [np.asarray(one) for one in maps]  # type: ignore[union-attr]  # an array of images is a list of them
        if len(arrays) != len(regions):
            raise InputError("each map has its regions", f"{len(arrays)} and {len(regions)}", "pair them by image")
        unions = [_union(image_regions, one.shape) for image_regions, one in zip(regions, arrays, strict=True)]
        for (scores, mask), image_regions in zip(paired_maps(arrays, unions), regions, strict=True):
            values = scores.ravel().astype(np.float32, copy=False)
            shares = np.zeros(values.size)
            for region in image_regions:
                pixels, share = _shares(values, region)
                shares[pixels] += share
            pixels = np.flatnonzero(mask)
            self._counter.add(values, values[pixels], shares[pixels])
            self._regions += len(image_regions)
        return self

    def merge(self, other: "SaturatedProMetrics") -> "SaturatedProMetrics":
        """Add the images of another and return self.

        Raises:
            ConfigError: the other has another precision or limit.
        """
        if other._limit != self._limit:
            raise ConfigError("metrics to merge have one limit", f"{self._limit} and {other._limit}", "choose one")
        self._counter.merge(other._counter)
        self._regions += other._regions
        return self

    def compute(self) -> dict[str, float | Undefined]:
        """``spro``, in [0, 1]; ``Undefined`` without regions or without normal pixels."""
        return {"spro": pro_of(self._counter.counts(self._regions), self._limit)}


def _union(regions: Regions, shape: tuple[int, ...]) -> Bool[np.ndarray, "*shape"]:
    union = np.zeros(shape, bool)
    for region in regions:
        if region.mask.shape != shape:
            raise InputError("a region has the size of its map", f"{region.mask.shape} and {shape}", "resize it")
        union |= region.mask
    return union


def _shares(
    values: Float[np.ndarray, "pixels"], region: SaturatedRegion
) -> tuple[Int[np.ndarray, "anomalous"], Float[np.ndarray, "anomalous"]]:
    """Pixels of a region and what each adds to min(|A ∩ P| / s, 1): those that are called first fill it, the rest add
    nothing; pixels of equal score are called together, so that their order has no effect."""
    pixels = np.flatnonzero(region.mask)
    pixels = pixels[np.argsort(-values[pixels], kind="stable")]
    filled = np.minimum(np.arange(1, len(pixels) + 1) / min(region.saturation, len(pixels)), 1)
    return pixels, np.diff(filled, prepend=0)
