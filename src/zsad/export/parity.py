"""Whether an exported graph gives the answers of its detector."""

import numpy as np

from zsad.data.decode import Source
from zsad.export.exported import ExportedDetector
from zsad.predictor import Detector

TOLERANCE = 1e-4
"""Largest difference of maps and scores in fp32."""


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
