"""Maps at another size in NumPy, as :func:`zsad.parts.maps.resize` gives them in PyTorch."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int64

from zsad.types import Size

Taps = tuple[Int64[np.ndarray, "taps pixels"], Float32[np.ndarray, "taps pixels"]]


def resized(anomaly_map: Float32[np.ndarray, "rows cols"], size: Size) -> Float32[np.ndarray, "new_rows new_cols"]:
    """A map at another size: bilinear, antialiased where it gets smaller; in [0, 1].

    Args:
        anomaly_map: in [0, 1].
        size: (rows, cols) in px.
    """
    if anomaly_map.shape == size:
        return anomaly_map
    index, weights = _taps(anomaly_map.shape[0], size[0])
    rows = sum(anomaly_map[cells] * share[:, None] for cells, share in zip(index, weights, strict=True))
    index, weights = _taps(anomaly_map.shape[1], size[1])
    taken = (np.take(rows, cells, axis=1) * share for cells, share in zip(index, weights, strict=True))
    result = next(taken)
    for term in taken:
        result += term
    return np.clip(result, 0, 1, out=result)


@lru_cache(64)
def _taps(cells: int, pixels: int) -> Taps:
    """Which cells a pixel is made of, and how much of each: a triangle as wide as the pixel or the cell, the larger."""
    scale = cells / pixels
    reach = max(scale, 1.0)
    centre = (np.arange(pixels) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), cells)
    index = first + np.arange(int((last - first).max()))[:, None]
    weights = np.maximum(1 - np.abs(index - centre + 0.5) / reach, 0) * (index < last)
    return np.minimum(index, cells - 1), (weights / weights.sum(0)).astype(np.float32)
