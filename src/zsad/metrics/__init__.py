"""Metrics of detection, exact: of arrays at once, or gathered batch by batch in memory that does not grow."""

from zsad.metrics.accumulators import ImageMetrics, PixelMetrics
from zsad.metrics.bootstrap import bootstrap_interval, image_draws, percentiles, stratified_weights
from zsad.metrics.counts import Undefined
from zsad.metrics.functional import auroc, average_precision, f1_max, pro, pro_200
from zsad.metrics.operating import SegF1Metrics, fpr95, seg_f1
from zsad.metrics.per_image import ImageCounts
from zsad.metrics.pimo import PimoMetrics, aupimo
from zsad.metrics.saturation import SaturatedProMetrics, SaturatedRegion, spro

__all__ = [
    "ImageCounts",
    "ImageMetrics",
    "PimoMetrics",
    "PixelMetrics",
    "SaturatedProMetrics",
    "SaturatedRegion",
    "SegF1Metrics",
    "Undefined",
    "aupimo",
    "auroc",
    "average_precision",
    "bootstrap_interval",
    "f1_max",
    "fpr95",
    "image_draws",
    "percentiles",
    "pro",
    "pro_200",
    "seg_f1",
    "spro",
    "stratified_weights",
]
