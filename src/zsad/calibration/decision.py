"""What is decided of new images: by a threshold that was given, or by a calibration where it applies."""

from dataclasses import dataclass

from zsad.calibration.calibration import Calibration


@dataclass(frozen=True)
class Decision:
    """How images of one class are decided; without a threshold they are not.

    Attributes:
        threshold: score from which an image counts as anomalous.
        pixel_threshold: anomaly from which a pixel does.
        calibration: of their class; None where there is none.
    """

    threshold: float | None = None
    pixel_threshold: float | None = None
    calibration: Calibration | None = None

    def p_value(self, score: float) -> float | None:
        """Of an image with this score; None without a calibration."""
        return self.calibration.p_value(score) if self.calibration else None


def decision(given: float | None, calibration: Calibration | None, class_name: str) -> Decision:
    """How images of a class are decided.

    Args:
        given: a threshold that was given; it decides whatever the class.
        calibration: of the detector, if it is calibrated; it applies to the class that it was made on.
        class_name: what the images show, in plain English.
    """
    if calibration is None or _plain(calibration.class_name) != _plain(class_name):
        return Decision(given)
    threshold = calibration.threshold if given is None else given
    return Decision(threshold, calibration.pixel_threshold, calibration)


def calibration_warnings(given: float | None, calibration: Calibration | None, class_name: str) -> list[str]:
    """Warnings about deciding on images of a class, in full sentences; mostly none.

    Args:
        given, calibration, class_name: as :func:`decision`.
    """
    if calibration is None or decision(given, calibration, class_name).calibration:
        return []
    what = "p-values and pixel threshold" if given is not None else "decisions"
    return [
        f"The detector is calibrated on images of {calibration.class_name}, not of {class_name.strip()}: there are no "
        f"{what}. Name the class as in calibration, or calibrate again."
    ]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
