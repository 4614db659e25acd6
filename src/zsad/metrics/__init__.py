"""Metrics of detection, exact: of arrays at once, or gathered batch by batch in memory that does not grow."""

from zsad.metrics.accumulators import ImageMetrics, PixelMetrics
from zsad.metrics.auroc import auroc
from zsad.metrics.average_precision import average_precision
from zsad.metrics.bootstrap import bootstrap_interval, percentiles, stratified_weights
from zsad.metrics.draws import image_draws
from zsad.metrics.f1_max import f1_max
from zsad.metrics.per_image import ImageCounts
from zsad.metrics.pro import pro, pro_200
from zsad.metrics.undefined import Undefined

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
