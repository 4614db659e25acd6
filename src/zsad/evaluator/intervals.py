"""How far the metrics of a class might be off for want of pictures: a percentile bootstrap over its pictures.

Each state is drawn by itself, so that neither can vanish. Metrics of images and of pixels share their draws, and of a
picture that is drawn twice every pixel counts twice.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from zsad.metrics.bootstrap import percentiles, stratified_weights

Draws = Mapping[str, Float[np.ndarray, "draws"]]
"""Metrics of each resample by the names of ``METRICS``; NaN where a resample does not define one."""


def resamples(labels: Sequence[int], draws: int, *names: str) -> Int[np.ndarray, "draws pictures"]:
    """How often each picture is drawn in each resample.

    Args:
        labels: 0 normal, 1 anomalous.
        draws: how many resamples there will be.
        names: of data set and class: on these the draws depend, and not on what else is evaluated.
    """
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).digest()
    return stratified_weights(labels, draws, list(digest))


def interval(draws: Float[np.ndarray, "draws"], confidence: float) -> tuple[float, float] | tuple[None, None]:
    """Where the middle of the draws lies; nowhere if none of them is defined."""
    return (None, None) if np.isnan(draws).all() else percentiles(draws, confidence)
