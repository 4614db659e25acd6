"""How far the metrics of a class might be off for want of images: a percentile bootstrap over its images.

Each state is drawn by itself, so that neither can vanish. Metrics of images and of pixels share their draws, and of a
image that is drawn twice every pixel counts twice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from zsad.metrics.bootstrap import image_draws, percentiles, stratified_weights
from zsad.metrics.per_image import ImageCounts
from zsad.results.schema import METRICS, ClassResult, ImageResult, Metric

T = TypeVar("T")
FEW = 10
"""Images of a state below which a bootstrap is known to be too sure of itself."""
Draws = Mapping[str, Float[np.ndarray, "draws"]]
"""Metrics of each resample by the names of ``METRICS``; NaN where a resample does not define one."""


def resamples(labels: Sequence[int], draws: int, *names: str) -> Int[np.ndarray, "draws images"]:
    """How often each image is drawn in each resample.

    Args:
        labels: 0 normal, 1 anomalous.
        draws: how many resamples there will be.
        names: of data set and class: on these the draws depend, and not on what else is evaluated.
    """
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).digest()
    return stratified_weights(labels, draws, list(digest))


def class_draws(images: Sequence[ImageResult], counts: ImageCounts, weights: Int[np.ndarray, "draws images"]) -> Draws:
    """All metrics of a class that have intervals, of each resample.

    Args:
        images: of the class.
        counts: of the pixels of those that have a mask or are normal, in the same order.
        weights: how often each image is drawn in each resample.
    """
    scores, labels = [image.score for image in images], [image.label for image in images]
    draws = named("image", image_draws(scores, labels, weights))
    with_truth = [number for number, image in enumerate(images) if image.anomalous_share is not None]
    if lack_masks(images) or not with_truth:
        return draws
    return draws | named("pixel", counts.resampled(weights[:, with_truth]))


def lack_masks(images: Sequence[ImageResult]) -> bool:
    """Whether there are anomalous images and none of them has a mask; metrics of pixels would mean nothing."""
    anomalous = [image for image in images if image.label]
    return bool(anomalous) and all(image.anomalous_share is None for image in anomalous)


def named(level: str, metrics: Mapping[str, T]) -> dict[str, T]:
    """By the names of ``METRICS``."""
    return {f"{level}_{'ap' if name == 'average_precision' else name}": value for name, value in metrics.items()}


def interval(draws: Float[np.ndarray, "draws"], confidence: float) -> tuple[float, float] | tuple[None, None]:
    """Where the middle of the draws lies; nowhere if none of them is defined."""
    return (None, None) if np.isnan(draws).all() else percentiles(draws, confidence)


def means(results: Sequence[ClassResult], draws: Sequence[Draws], confidence: float) -> dict[str, Metric]:
    """Mean of each metric over the classes that define it; there is none where no class does.

    Intervals are of the mean of the classes' resamples, which are independent of each other.

    Args:
        results: of the classes.
        draws: metrics of their resamples.
        confidence: of the intervals.
    """
    return {name: _mean(name, results, draws, confidence) for name in METRICS}


def _mean(name: str, results: Sequence[ClassResult], draws: Sequence[Draws], confidence: float) -> Metric:
    defining = [number for number, result in enumerate(results) if result.metrics[name].value is not None]
    if not defining:
        reasons = {result.metrics[name].reason for result in results}
        return Metric(None, reason=reasons.pop() if len(reasons) == 1 else "no class defines it", classes=0)
    value = float(np.mean([results[number].metrics[name].value for number in defining]))
    resampled = [draws[number][name] for number in defining if name in draws[number]]
    low, high = interval(np.mean(resampled, 0), confidence) if len(resampled) == len(defining) else (None, None)
    return Metric(value, low, high, classes=len(defining))
