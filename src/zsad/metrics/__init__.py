"""Metrics of detection, exact: of arrays at once, or gathered batch by batch in memory that does not grow."""

from zsad.metrics.accumulators import ImageMetrics, PixelMetrics
from zsad.metrics.bootstrap import bootstrap_interval, image_draws, percentiles, stratified_weights
from zsad.metrics.counts import Undefined
from zsad.metrics.functional import auroc, average_precision, f1_max, pro, pro_200
from zsad.metrics.per_image import ImageCounts

__all__ = [
    "ImageCounts",
    "ImageMetrics",
    "PixelMetrics",
    "Undefined",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "f1_max",
    "image_draws",
    "percentiles",
    "pro",
    "pro_200",
    "stratified_weights",
]
