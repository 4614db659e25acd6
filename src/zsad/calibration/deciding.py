"""The thresholds of what decides: of a detector, and of an exported one."""

from abc import ABC, abstractmethod
from dataclasses import replace

from zsad.calibration.calibration import Calibration
from zsad.calibration.decision import Decision, calibration_warnings, decision


class Deciding(ABC):
    """Thresholds that were given go before those of the calibration."""

    _given_pixel_threshold: float | None = None

    @property
    @abstractmethod
    def calibration(self) -> Calibration | None:
        """The calibrated thresholds, and on what they were found; None where there is no calibration."""

    @property
    @abstractmethod
    def given_threshold(self) -> float | None:
        """Score in [0, 1] that was given as the threshold; None where none was."""

    @property
    def threshold(self) -> float | None:
        """Score in [0, 1] from which an image counts as anomalous: as given, or calibrated; None without either."""
        if self.given_threshold is not None:
            return self.given_threshold
        return self.calibration.threshold if self.calibration else None

    @property
    def pixel_threshold(self) -> float | None:
        """Anomaly in [0, 1] from which a pixel counts as anomalous, for regions; as :attr:`threshold`. May be set."""
        if self._given_pixel_threshold is not None:
            return self._given_pixel_threshold
        return self.calibration.pixel_threshold if self.calibration else None

    @pixel_threshold.setter
    def pixel_threshold(self, value: float | None) -> None:
        self._given_pixel_threshold = value

    def decision(self, class_name: str) -> Decision:
        """How images of a class are decided: its thresholds and calibration, if there are any."""
        found = decision(self.given_threshold, self.calibration, class_name)
        given = self._given_pixel_threshold
        return found if given is None else replace(found, pixel_threshold=given)

    def calibration_warnings(self, class_name: str) -> list[str]:
        """Warnings about deciding on images of a class, in full sentences; mostly none."""
        return calibration_warnings(self.given_threshold, self.calibration, class_name)
