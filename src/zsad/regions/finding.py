"""From an anomaly map to regions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64

from zsad.errors import ConfigError, InputError
from zsad.regions.contours import Contour, fill, simplify, trace

TOLERANCE = 1.0
"""px by which outlines may deviate from the edges of pixels, by default."""


@dataclass(frozen=True)
class Region:
    """A connected part of an anomaly map at or above a threshold. Pixel (x, y) covers [x, x + 1] × [y, y + 1].

    Attributes:
        box: (left, top, width, height) in px: the smallest that holds all of its pixels.
        polygons: closed polygons of (x, y) in px: the outline, clockwise on the screen, then the holes,
            counter-clockwise. The last point is joined to the first, which is not repeated. A corner may occur twice,
            where pixels touch at a corner only.
        area: number of pixels, without holes.
        peak: highest anomaly score in it.
        peak_position: (x, y) of the first pixel with that score, by rows, counted from 0.
        mean: mean anomaly score of its pixels.
    """

    box: tuple[int, int, int, int]
    polygons: tuple[Contour, ...]
    area: int
    peak: float
    peak_position: tuple[int, int]
    mean: float

    @property
    def outline(self) -> Contour:
        """The outer polygon."""
        return self.polygons[0]

    @property
    def holes(self) -> tuple[Contour, ...]:
        """The polygons of its holes; often none."""
        return self.polygons[1:]

    def as_dict(self) -> dict[str, object]:
        """For JSON: box, area, peak, peak_position, mean and polygons; scores to six decimals."""
        return {
            "box": self.box,
            "area": self.area,
            "peak": round(self.peak, 6),
            "peak_position": self.peak_position,
            "mean": round(self.mean, 6),
            "polygons": self.polygons,
        }

    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Its pixels within its box.

        Raises:
            ConfigError: the polygons are simplified, and do not tell the pixels any more.
        """
        if any(x != to_x and y != to_y for polygon in self.polygons for (x, y), (to_x, to_y) in _sides(polygon)):
            raise ConfigError("exact polygons give a mask", "simplified ones", "find regions with tolerance=0")
        return fill(self.polygons, self.box)


def find_regions(
    anomaly_map: np.ndarray,
    threshold: float,
    *,
    min_area: int = 1,
    connectivity: int = 8,
    tolerance: float = TOLERANCE,
) -> list[Region]:
    """The connected components of the pixels whose score is at or above a threshold, the highest peak first.

    Regions of equal peak are sorted by area, the largest first, and then from top to bottom.

    Args:
        anomaly_map: [rows, cols], finite scores.
        threshold: finite score from which a pixel belongs to a region.
        min_area: smaller regions are left out, in px.
        connectivity: 8 joins pixels that touch at a corner, 4 only those with a common side.
        tolerance: polygons are simplified (Douglas and Peucker, 1973): the corners left out lie within this many px of
            the sides that remain, and the area inside of each changes by at most a tenth. 0 gives the edges of the
            pixels exactly.

    Raises:
        InputError: the map is not two-dimensional, or has scores that are not finite.
        ConfigError: another argument is out of range.

    >>> anomaly_map = np.array([[0.9, 0.0, 0.7], [0.0, 0.0, 0.8]], np.float32)
    >>> for region in find_regions(anomaly_map, 0.5):
    ...     print(region.box, region.area, f"{region.peak:.1f}", region.outline)
    (0, 0, 1, 1) 1 0.9 ((0, 0), (1, 0), (1, 1), (0, 1))
    (2, 0, 1, 2) 2 0.8 ((2, 0), (3, 0), (3, 2), (2, 2))
    """
    anomaly_map = np.asarray(anomaly_map)
    _check(anomaly_map, threshold, min_area, connectivity, tolerance)
    labels, areas = _components(anomaly_map >= threshold, min_area, connectivity)
    if not len(areas):
        return []
    peaks, positions, means = _scores(anomaly_map, labels, areas)
    contours = trace(labels, connectivity)
    regions = [
        Region(
            box=_box(contours[label][0]),
            polygons=tuple(simplify(contour, tolerance) for contour in contours[label]),
            area=int(areas[label - 1]),
            peak=float(peaks[label - 1]),
            peak_position=(int(positions[label - 1] % labels.shape[1]), int(positions[label - 1] // labels.shape[1])),
            mean=float(means[label - 1]),
        )
        for label in range(1, len(areas) + 1)
    ]
    return sorted(regions, key=lambda region: (-region.peak, -region.area, region.box[1], region.box[0]))


def _check(anomaly_map: np.ndarray, threshold: float, min_area: int, connectivity: int, tolerance: float) -> None:
    if anomaly_map.ndim != 2:
        raise InputError("an anomaly map has rows and columns", f"shape {anomaly_map.shape}", "give one map at a time")
    if not np.isfinite(anomaly_map).all():
        raise InputError("the scores of a map are finite", "NaN or infinity", "predict again in fp32")
    if not math.isfinite(threshold):
        raise ConfigError("a pixel threshold is a finite number", threshold, "give a score such as 0.5")
    if min_area < 1:
        raise ConfigError("a region has at least 1 px", min_area, "give the smallest area in px")
    if connectivity not in (4, 8):
        raise ConfigError("connectivity is 4 or 8", connectivity, "choose 8 to join pixels across corners")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ConfigError("a tolerance is at least 0 px", tolerance, "give 0 for the edges of pixels")


def _components(
    above: Bool[np.ndarray, "rows cols"], min_area: int, connectivity: int
) -> tuple[Int32[np.ndarray, "rows cols"], Int64[np.ndarray, "count"]]:
    """Components of at least that area, numbered from 1 without gaps, and their areas in px."""
    from scipy import ndimage  # takes a moment, which who has no regions need not wait

    labels, count = ndimage.label(above, ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    large = areas >= min_area
    numbers = np.concatenate([[0], np.where(large, np.cumsum(large), 0)]).astype(np.int32)
    return numbers[labels], areas[large]


def _scores(
    anomaly_map: Float[np.ndarray, "rows cols"],
    labels: Int32[np.ndarray, "rows cols"],
    areas: Int64[np.ndarray, "count"],
) -> tuple[Float64[np.ndarray, "count"], Int64[np.ndarray, "count"], Float64[np.ndarray, "count"]]:
    """Peak, its index in the flattened map, and mean score of each region."""
    places = np.flatnonzero(labels)
    label, score = labels.ravel()[places] - 1, anomaly_map.ravel()[places].astype(np.float64)
    peaks = np.full(len(areas), -np.inf)
    np.maximum.at(peaks, label, score)
    at_peak = np.flatnonzero(score == peaks[label])[::-1]
    positions = np.zeros(len(areas), np.int64)
    positions[label[at_peak]] = places[at_peak]  # of several, the last assignment stands, which is the first pixel
    return peaks, positions, np.bincount(label, score, len(areas)) / areas


def _box(outline: Contour) -> tuple[int, int, int, int]:
    columns, rows = zip(*outline, strict=True)
    left, top = min(columns), min(rows)
    return left, top, max(columns) - left, max(rows) - top


def _sides(polygon: Contour) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    return zip(polygon, (*polygon[1:], polygon[0]), strict=True)
