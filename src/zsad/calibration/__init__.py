"""From scores to decisions: thresholds with a stated false-positive rate, p-values, thresholds from labelled images.

    scores of normal (and anomalous) images -> choose_thresholds -> Calibration -> decision and p-value of a new image

All of it works on numbers, without a detector; :meth:`zsad.Detector.calibrate` scores images with one.
"""

from zsad.calibration.calibration import Calibration, Criterion, ImageScores, Thresholds, choose_thresholds
from zsad.calibration.conformal import conformal_threshold, images_needed, p_values, rate_interval
from zsad.calibration.decision import Decision, calibration_warnings, decision
from zsad.calibration.labelled import f1_threshold, tpr_threshold, youden_threshold
from zsad.calibration.pixels import pixel_threshold, upper_anomaly

__all__ = [
    "Calibration",
    "Criterion",
    "Decision",
    "ImageScores",
    "Thresholds",
    "calibration_warnings",
    "choose_thresholds",
    "conformal_threshold",
    "decision",
    "f1_threshold",
    "images_needed",
    "p_values",
    "pixel_threshold",
    "rate_interval",
    "tpr_threshold",
    "upper_anomaly",
    "youden_threshold",
]
