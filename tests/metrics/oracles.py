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


def fpr95(scores: list[float], labels: list[int]) -> float:
    """Try every threshold."""
    rates = []
    for threshold in scores:
        called = [score >= threshold for score in scores]
        found = sum(call for call, label in zip(called, labels, strict=True) if label)
        false = sum(call for call, label in zip(called, labels, strict=True) if not label)
        if found >= 0.95 * sum(labels) - 1e-9:
            rates.append(false / labels.count(0))
    return min(rates)


def aupimo(maps: list[np.ndarray], masks: list[np.ndarray], low: float, high: float) -> list[float]:
    """For each rate at which anything changes, the best threshold of all that keep to it, by trial."""
    normal = [one for one, mask in zip(maps, masks, strict=True) if not mask.any()]
    thresholds = [np.inf, *np.unique(np.concatenate([one.ravel() for one in maps]))]
    shared = [float(np.mean([(one >= threshold).mean() for one in normal])) for threshold in thresholds]
    edges = sorted({low, high, *(rate for rate in shared if low < rate < high)})
    areas = []
    for one, mask in zip(maps, masks, strict=True):
        if mask.any():
            found = [float((one[mask > 0] >= threshold).mean()) for threshold in thresholds]
            area = 0.0
            for start, end in pairwise(edges):
                best = max(share for share, rate in zip(found, shared, strict=True) if rate <= start)
                area += best * (np.log(end) - np.log(start))
            areas.append(area / np.log(high / low))
    return areas


def spro(maps: np.ndarray, regions: list[list[tuple[np.ndarray, float]]], limit: float) -> float:
    """Bergmann et al. 2022, equation by equation, one binary map a threshold."""
    none = np.zeros(maps[0].shape, bool)
    union = np.array([np.any([none, *(mask for mask, _ in image)], axis=0) for image in regions])
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        called = maps >= threshold
        shares = []
        for number, image in enumerate(regions):
            for mask, saturation in image:
                enough = min(saturation, mask.sum())
                shares.append(min((called[number] & mask).sum() / enough, 1.0))
        points.append((float(called[union == 0].mean()), float(np.mean(shares))))
    area = 0.0
    for (rate, share), (next_rate, next_share) in pairwise(points):
        if next_rate > limit > rate:
            next_share = share + (next_share - share) * (limit - rate) / (next_rate - rate)
            next_rate = limit
        if next_rate <= limit:
            area += (next_rate - rate) * (share + next_share) / 2
    return area / limit


def seg_f1(maps: list[np.ndarray], masks: list[np.ndarray], threshold: float) -> float:
    found = false = missed = 0
    for one, mask in zip(maps, masks, strict=True):
        for score, label in zip(one.ravel().tolist(), mask.ravel().tolist(), strict=True):
            found += score >= threshold and label == 1
            false += score >= threshold and label == 0
            missed += score < threshold and label == 1
    return 2 * found / (2 * found + false + missed)
