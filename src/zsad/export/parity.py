"""Whether an exported graph gives the answers of its detector, and how far those of int8 are from them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from zsad.data.decode import Source
from zsad.data.synthetic import draw_defect, part, surface
from zsad.export.card import Loss
from zsad.export.exported import ExportedDetector
from zsad.predictor import Detector

TOLERANCE = 1e-4
"""Largest difference of maps and scores in fp32."""
DRAWN = 12
"""Images that int8 is measured on where none are given: surfaces and parts, every other one with a defect."""
DRAWN_SIZE = (224, 224)
"""Of these, in px."""


def pictures() -> list[Source]:
    """Noise, waves, and a grey surface with a dark spot in 16 bits, each of a size of its own."""
    generator = np.random.default_rng(0)
    rows, cols = np.mgrid[:150, :200]
    waves = 127 + 60 * np.sin(rows / 7) + 60 * np.cos(cols / 11)
    surface = np.full((600, 500), 40_000, np.uint16)
    surface[200:240, 300:330] = 9_000
    return [generator.integers(0, 256, (120, 90, 3), np.uint8), waves.astype(np.uint8), surface]


def difference(detector: Detector, other: ExportedDetector, class_name: str) -> float:
    """The largest difference of maps and scores of :func:`pictures`; infinite where one is not finite."""
    images = pictures()
    pairs = zip(detector.predict(images, class_name), other.predict(images, class_name), strict=True)
    return max(max(abs(a.score - b.score), float(np.abs(a.anomaly_map - b.anomaly_map).max())) for a, b in pairs)


def drawn() -> list[Source]:
    """``DRAWN`` images of surfaces and of parts, the same at each call."""
    images: list[Source] = []
    for number in range(DRAWN):
        rng = np.random.default_rng(number)
        if number % 4 < 2:
            image, foreground = surface(rng, DRAWN_SIZE)[0], np.ones(DRAWN_SIZE, bool)
        else:
            image, _, foreground = part(rng, DRAWN_SIZE)
        images.append(draw_defect(rng, image, foreground).image if number % 2 else image)
    return images


def loss(detector: Detector, other: ExportedDetector, class_name: str, images: Sequence[Source], of: str) -> Loss:
    """How far the answers of another graph are from those of the detector.

    Args:
        detector: in fp32.
        other: its graph in int8.
        class_name: what the images show.
        images: that both score.
        of: what they are, in words.
    """
    scores, largest, means, moments = [], [], [], np.zeros((3, 3))
    for image in images:
        ours, theirs = detector.predict(image, class_name), other.predict(image, class_name)
        apart = np.abs(ours.anomaly_map - theirs.anomaly_map)
        largest.append(float(apart.max()))
        means.append(float(apart.mean()))
        scores.append((ours.score, theirs.score))
        moments += _moments(ours.anomaly_map.ravel(), theirs.anomaly_map.ravel())
    fp32, int8 = np.array(scores).T
    return Loss(
        len(images),
        of,
        float(np.max(largest)),  # which is NaN if one is
        float(np.mean(means)),
        float(np.abs(fp32 - int8).max()),
        _correlation(moments),
        rank_correlation(fp32, int8),
    )


def _moments(first: Float[np.ndarray, " values"], second: Float[np.ndarray, " values"]) -> Float64[np.ndarray, "3 3"]:
    """The sums of products of (1, x, y) with one another."""
    rows = np.stack([np.ones(len(first)), first, second])
    return rows @ rows.T


def _correlation(moments: Float64[np.ndarray, "3 3"]) -> float | None:
    """By Pearson, of two variables; None where one is constant."""
    means = moments[0] / moments[0, 0]
    covariance = moments / moments[0, 0] - means[:, None] * means
    product = covariance[1, 1] * covariance[2, 2]
    return round(float(covariance[1, 2] / np.sqrt(product)), 6) if product > 0 else None


def rank_correlation(first: Float[np.ndarray, " scores"], second: Float[np.ndarray, " scores"]) -> float | None:
    """The correlation of ranks by Spearman, ties with their mean rank; None where all of one are equal.

    >>> rank_correlation(np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.9, 0.6]))
    0.5
    """
    ranks: list[np.ndarray] = []
    for scores in (first, second):
        _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return None
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    return _correlation(_moments(*ranks))
