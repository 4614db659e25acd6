"""Outlines of the components of a label image: traced along the edges of pixels, simplified, and filled again.

A contour is a closed polygon, (x, y) in px, its last point joined to its first, which is not repeated. Pixel (x, y)
covers [x, x + 1] × [y, y + 1], so that the corners of pixels are whole numbers. The component lies to the right of the
way along it: outlines run clockwise as seen on the screen and holes counter-clockwise, and the signed areas of all
contours of a component add up to its number of pixels.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

Contour = tuple[tuple[int, int], ...]
EAST, SOUTH, WEST, NORTH = range(4)
AREA_CHANGE = 0.1
"""Greatest relative change of a contour's area by simplification: a thin one would otherwise collapse to a line."""


class _Runs(NamedTuple):
    """Straight pieces of all contours, from corner to corner, and the component that each belongs to."""

    direction: Int64[np.ndarray, "entries"]
    start: Int64[np.ndarray, "entries 2"]
    end: Int64[np.ndarray, "entries 2"]
    label: Int64[np.ndarray, "entries"]


def trace(labels: Integer[np.ndarray, "rows cols"], connectivity: int) -> dict[int, list[Contour]]:
    """The contours of each component: its outline, then its holes.

    Every point is a corner, and consecutive pieces are at right angles. Where two pixels of a component touch at a
    corner only, the contour passes that corner twice: with ``connectivity`` 8 there is one outline around both.

    Args:
        labels: 0 is background; every other value is one component of that connectivity.
        connectivity: 4 or 8.

    >>> trace(np.array([[0, 5, 5]]), 8)
    {5: [((1, 0), (3, 0), (3, 1), (1, 1))]}
    """
    runs = _runs(np.pad(labels, 1))
    following = _following(runs, labels.shape[1] + 1, connectivity).tolist()
    starts, owners = [(x, y) for x, y in runs.start.tolist()], runs.label.tolist()
    seen, contours = bytearray(len(following)), dict[int, list[Contour]]()
    for first, label in enumerate(owners):
        contour, at = [], first
        while not seen[at]:
            seen[at] = True
            contour.append(starts[at])
            at = following[at]
        if contour:
            contours.setdefault(label, []).append(tuple(contour))
    return {label: sorted(found, key=signed_area, reverse=True) for label, found in contours.items()}


def _runs(padded: Integer[np.ndarray, "rows cols"]) -> _Runs:
    """The edges between components and background; ``padded`` has a border of background, 1 px wide."""
    inside, parts = padded > 0, []
    for direction in (EAST, SOUTH, WEST, NORTH):
        across = direction in (EAST, WEST)
        grid = inside if across else inside.T
        # The outside is above a piece that runs east, below one that runs west, and likewise for columns.
        outside = ~np.roll(grid, 1 if direction in (EAST, NORTH) else -1, axis=0)
        edges = grid & outside
        changes = np.diff(edges, axis=1)  # the border has no edges, so that beginnings and ends alternate
        line, place = np.nonzero(changes)
        line, low, high = line[::2], place[::2], place[1::2]
        owner = (line, low + 1) if across else (low + 1, line)
        label = padded[owner].astype(np.int64)
        side = line - 1 if direction in (EAST, NORTH) else line
        begin, end = (low, high) if direction in (EAST, SOUTH) else (high, low)
        points = [np.stack((at, side) if across else (side, at), 1) for at in (begin, end)]
        parts.append(_Runs(np.full(len(line), direction), points[0], points[1], label))
    return _Runs(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _following(runs: _Runs, width: int, connectivity: int) -> Int64[np.ndarray, "entries"]:
    """The piece that continues each one: where both turns are possible, the left one joins pixels across the corner."""
    keys = (runs.start[:, 1] * width + runs.start[:, 0]) * 4 + runs.direction
    order = np.argsort(keys)
    ends = (runs.end[:, 1] * width + runs.end[:, 0]) * 4
    preferred, other = (-1, 1) if connectivity == 8 else (1, -1)
    wanted = ends + (runs.direction + preferred) % 4
    found = np.searchsorted(keys, wanted, sorter=order)
    is_there = keys[order[found]] == wanted  # no end lies beyond the last start, at the lowest corner on the right
    alternative = np.searchsorted(keys, ends + (runs.direction + other) % 4, sorter=order)
    following: Int64[np.ndarray, "entries"] = order[np.where(is_there, found, alternative)]
    return following


def signed_area(contour: Sequence[tuple[float, float]]) -> float:
    """Area in square px, positive for a way that is clockwise on the screen, where y grows downwards.

    >>> signed_area(((0, 0), (2, 0), (2, 1), (0, 1))), signed_area(((0, 0), (0, 1), (1, 1), (1, 0)))
    (2.0, -1.0)
    """
    x, y = np.array(contour, np.float64).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def fill(contours: Iterable[Contour], box: tuple[int, int, int, int]) -> Bool[np.ndarray, "height width"]:
    """The pixels inside of exact contours, within a box (left, top, width, height): the inverse of :func:`trace`.

    >>> fill([((1, 0), (3, 0), (3, 1), (1, 1))], (0, 0, 4, 1)).astype(int).tolist()
    [[0, 1, 1, 0]]
    """
    left, top, width, height = box
    toggles = np.zeros((height, width + 1), np.bool_)
    for contour in contours:
        for (x, y), (next_x, next_y) in zip(contour, (*contour[1:], contour[0]), strict=True):
            if x == next_x:
                toggles[min(y, next_y) - top : max(y, next_y) - top, x - left] ^= True
    return np.logical_xor.accumulate(toggles, axis=1)[:, :-1]


def through_centres(contour: Contour) -> Contour:
    """The way through the pixels along the inner side of an exact contour; x and y count pixels from 0.

    A program that takes whole numbers for pixels and draws outlines too, such as Pillow, fills it exactly. Consecutive
    pixels lie in one row, one column or touch at a corner. Give it a hole reversed, for the pixels of the hole.

    >>> through_centres(((1, 0), (3, 0), (3, 1), (1, 1)))
    ((1, 0), (2, 0))
    """
    pixels: list[tuple[int, int]] = []
    for (x, y), (to_x, to_y) in zip(contour, (*contour[1:], contour[0]), strict=True):
        if y == to_y:
            first, last = ((x, y), (to_x - 1, y)) if to_x > x else ((x - 1, y - 1), (to_x, y - 1))
        else:
            first, last = ((x - 1, y), (x - 1, to_y - 1)) if to_y > y else ((x, y - 1), (x, to_y))
        pixels += (first, last)
    way = [pixel for pixel, _ in groupby(pixels)]
    return tuple(way[:-1] if len(way) > 1 and way[-1] == way[0] else way)


def simplify(contour: Contour, tolerance: float) -> Contour:
    """Fewer of the same points (Douglas and Peucker, 1973): those left out lie within ``tolerance`` px of the new line.

    Where that would change the area by more than a tenth, the tolerance is halved until it does not.

    >>> simplify(((0, 0), (9, 0), (9, 5), (8, 5), (8, 6), (9, 6), (9, 9), (0, 9)), 1)
    ((0, 0), (9, 0), (9, 9), (0, 9))
    """
    if tolerance <= 0 or len(contour) < 4:
        return contour
    points, area = np.array(contour, np.float64), signed_area(contour)
    while tolerance > 1e-3:
        simplified = tuple(contour[index] for index in _kept(points, tolerance))
        if len(simplified) > 2 and abs(signed_area(simplified) - area) <= AREA_CHANGE * abs(area):
            return simplified
        tolerance /= 2
    return contour


def _kept(points: Float64[np.ndarray, "points 2"], tolerance: float) -> list[int]:
    """Indices, ascending. The contour is cut at its first point and at the one that is farthest from it."""
    count = len(points)
    opposite = int(np.argmax(np.sum((points - points[0]) ** 2, 1)))
    closed, kept = np.concatenate([points, points[:1]]), {0, opposite}
    pieces = [(0, opposite), (opposite, count)]
    while pieces:
        first, last = pieces.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        farthest = int(np.argmax(distances))
        if distances[farthest] > tolerance:
            middle = first + 1 + farthest
            kept.add(middle)
            pieces += [(first, middle), (middle, last)]
    return sorted(kept)


def _distances(
    points: Float64[np.ndarray, "points 2"], begin: Float64[np.ndarray, "2"], end: Float64[np.ndarray, "2"]
) -> Float64[np.ndarray, "points"]:
    """From a piece of a straight line, in px."""
    along = end - begin
    length = float(along @ along)
    share = np.clip((points - begin) @ along / length, 0, 1) if length else np.zeros(len(points))
    nearest = begin + share[:, None] * along
    distances: Float64[np.ndarray, "points"] = np.hypot(*(points - nearest).T)
    return distances
