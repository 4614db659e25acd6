"""The metrics written out: slow loops over thresholds, regions and pixels, after their definitions."""

from itertools import pairwise

import numpy as np


def f1_max(scores: list[float], labels: list[int]) -> float:
    best = 0.0
    for threshold in scores:
        called = [score >= threshold for score in scores]
        hits = sum(call and label for call, label in zip(called, labels, strict=True))
        best = max(best, 2 * hits / (sum(called) + sum(labels)))
    return best


def regions(masks: np.ndarray) -> list[list[tuple[int, int, int]]]:
    """Pixels (image, row, col) of every region; neighbours at sides and corners belong together."""
    left = {tuple(pixel) for pixel in np.argwhere(masks).tolist()}
    found = []
    while left:
        region, todo = [], [left.pop()]
        while todo:
            image, row, col = pixel = todo.pop()
            region.append(pixel)
            near = {(image, row + down, col + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            todo += near
        found.append(region)
    return found


def point(maps: np.ndarray, masks: np.ndarray, called: np.ndarray) -> tuple[float, float]:
    """The rate of normal pixels called anomalous, and the mean share of a region that is called so."""
    overlaps = [np.mean([called[pixel] for pixel in region]) for region in regions(masks)]
    return float(called[masks == 0].mean()), float(np.mean(overlaps))


def pro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    points = [(0.0, 0.0)]
    points += [point(maps, masks, maps >= threshold) for threshold in sorted(set(maps.ravel().tolist()), reverse=True)]
    area = 0.0
    for (rate, overlap), (next_rate, next_overlap) in pairwise(points):
        if next_rate > limit > rate:
            next_overlap = overlap + (next_overlap - overlap) * (limit - rate) / (next_rate - rate)
            next_rate = limit
        if next_rate <= limit:
            area += (next_rate - rate) * (overlap + next_overlap) / 2
    return area / limit


def pro_200(maps: np.ndarray, masks: np.ndarray) -> float:
    """As VAND, AnomalyCLIP and those after them compute it, from binary maps at every threshold; NaN as there."""
    low, high = maps.min(), maps.max()
    points = [point(maps, masks, maps > threshold) for threshold in np.arange(low, high, (high - low) / 200)]
    rates, overlaps = np.array([found for found in points if found[0] < 0.3]).reshape(-1, 2).T
    if len(set(rates.tolist())) < 2:
        return float("nan")
    stretched = (rates - rates.min()) / (rates.max() - rates.min())
    return float(abs(np.trapezoid(overlaps, stretched)))
