"""What a calibration found, as it is kept with its detector in ``calibration.json``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from zsad.calibration.conformal import check_count, checked_scores, conformal_threshold, p_values, rate_interval
from zsad.calibration.labelled import f1_threshold, tpr_threshold, youden_threshold
from zsad.calibration.pixels import pixel_threshold
from zsad.errors import ConfigError, InputError
from zsad.wording import pluralised

Criterion = Literal["fpr", "tpr", "f1", "youden"]
"""How a threshold is chosen: a false-positive rate, a true-positive rate, the highest F1, or the highest TPR - FPR."""
FALSE_POSITIVE_RATE = 0.05
"""Where none is stated; it needs 19 normal images. Pixels have it under every criterion."""
NAMES = {"f1": "highest F1", "youden": "highest TPR - FPR"}


@dataclass(frozen=True)
class ImageScores:
    """What is calibrated on.

    Attributes:
        normal: scores of normal images.
        upper_anomalies: of their maps, in the same order, see :func:`zsad.calibration.upper_anomaly`.
        anomalous: scores of anomalous images.
    """

    normal: Sequence[float]
    upper_anomalies: Sequence[float]
    anomalous: Sequence[float] = ()


@dataclass(frozen=True)
class Thresholds:
    """For scores, and for pixels of maps, where these allow one."""

    score: float
    pixel: float | None


@dataclass(frozen=True)
class Calibration:
    """Thresholds of a detector, and the scores that they were found on.

    Attributes:
        criterion: ``"fpr"`` a false-positive rate of new normal images, by split conformal prediction; ``"tpr"`` the
            share of the anomalous images here; ``"f1"``, ``"youden"`` the best on the images here.
        target: the rate, for the first two.
        threshold: score in [0, 1] from which an image counts as anomalous.
        pixel_threshold: anomaly in [0, 1] from which a pixel counts as anomalous; None where the maps allow none.
        normal_scores, anomalous_scores: ascending.
        class_name: what the images showed, as it was in the prompts.
        images: SHA-256 of the files of all of them, as far as they are files.
        left_out: how many of the normal images were in the memory bank, and were compared with the others in it.
        detector: fingerprint of the state of the detector that gave the scores.
    """

    criterion: Criterion
    threshold: float
    normal_scores: tuple[float, ...]
    class_name: str
    detector: str
    target: float | None = None
    pixel_threshold: float | None = None
    anomalous_scores: tuple[float, ...] = ()
    images: tuple[str, ...] = ()
    left_out: int = 0

    def __post_init__(self) -> None:
        numbers = [self.threshold, *([] if self.pixel_threshold is None else [self.pixel_threshold])]
        scores = [*self.normal_scores, *self.anomalous_scores]
        if odd := [number for number in (*numbers, *scores) if not 0 <= number <= 1]:
            raise ConfigError("scores and thresholds of a calibration lie in [0, 1]", odd[0], "calibrate again")
        if not self.normal_scores:
            raise ConfigError("a calibration has scores of normal images", "none", "calibrate again")
        check_criterion(self.criterion, self.target)

    def p_value(self, score: float) -> float:
        """Share of the normal scores and this one that are at least as high, in (0, 1]."""
        return float(p_values([score], self.normal_scores)[0])

    @property
    def false_positive_rate(self) -> float:
        """Share of the normal images here that the threshold calls anomalous."""
        return self._share(self.normal_scores)

    @property
    def true_positive_rate(self) -> float | None:
        """Share of the anomalous images here that the threshold calls anomalous; None where there is none."""
        return self._share(self.anomalous_scores) if self.anomalous_scores else None

    def _share(self, scores: Sequence[float]) -> float:
        return sum(score >= self.threshold for score in scores) / len(scores)

    @property
    def summary(self) -> str:
        """Images, criterion and threshold, on one line.

        >>> Calibration("f1", 0.25, (0.1, 0.2), "nut", "", anomalous_scores=(0.25,)).summary
        '2 normal images and 1 anomalous image of nut, highest F1: threshold 0.25'
        """
        images = pluralised(len(self.normal_scores), "normal image")
        if self.anomalous_scores:
            images += f" and {pluralised(len(self.anomalous_scores), 'anomalous image')}"
        what = NAMES.get(self.criterion) or f"{self.criterion.upper()} of {self.target:.3g}"
        return f"{images} of {self.class_name}, {what}: threshold {self.threshold:.4g}"

    @property
    def guarantee(self) -> str:
        """What holds of new images, and what does not, in sentences."""
        if self.criterion != "fpr" or self.target is None:
            return "The threshold fits the images it was chosen on; nothing is guaranteed of new ones."
        low, high = rate_interval(len(self.normal_scores), self.target)
        sentences = (
            f"Of new normal images like these, at most {self.target:.3g} are called anomalous, on average over "
            f"calibrations. Of one calibration on {len(self.normal_scores)} images the rate lies between {low:.2g} and "
            f"{high:.2g} (95 %)."
        )
        if not self.left_out:
            return sentences
        return (
            f"{sentences} This holds approximately: {self.left_out} of them are in the memory bank, and were compared "
            f"with the others in it."
        )


def check_criterion(criterion: str, target: float | None) -> None:
    """Refuses a criterion that does not exist, and a rate that it cannot have or needs.

    Raises:
        ConfigError: it does not fit.
    """
    if criterion not in get_args(Criterion):
        raise ConfigError("a criterion is fpr, tpr, f1 or youden", criterion, "name one of these")
    if criterion in NAMES:
        if target is not None:
            raise ConfigError(f"{criterion} takes no rate", target, "leave it out")
    elif target is None or not 0 < target <= 1 or (criterion == "fpr" and target == 1):
        within = "(0, 1)" if criterion == "fpr" else "(0, 1]"
        raise ConfigError(f"{criterion} is a rate in {within}", target, "give a share such as 0.05 or 0.95")


def check_images(criterion: str, target: float | None, normal: int, anomalous: int) -> None:
    """Refuses too few images for a criterion, before any of them is scored.

    Args:
        criterion, target: as :class:`Calibration` has them.
        normal, anomalous: numbers of images.

    Raises:
        ConfigError: the criterion does not exist, or the rate does not fit it.
        InputError: there are too few.
    """
    check_criterion(criterion, target)
    if criterion == "fpr" and target is not None:
        check_count(normal, target)
    elif not normal or not anomalous:
        value = f"{normal} and {anomalous}"
        raise InputError(f"the criterion {criterion} needs normal and anomalous images", value, "add some")


def choose_thresholds(scores: ImageScores, criterion: Criterion, target: float | None) -> Thresholds:
    """The thresholds for scores and for pixels.

    Args:
        scores: of the images.
        criterion, target: as :class:`Calibration` has them.

    Raises:
        ConfigError: the criterion does not exist, or the rate does not fit it.
        InputError: there are too few normal images for the rate, no anomalous ones where the criterion needs some, or
            the scores of normal images leave no room for a threshold.
    """
    check_images(criterion, target, len(scores.normal), len(scores.anomalous))
    threshold = _score_threshold(scores, criterion, target)
    if threshold > 1:
        value = f"{sum(score == 1 for score in scores.normal)} of {len(scores.normal)} at 1"
        raise InputError("scores of normal images leave room for a threshold", value, "choose another detector")
    rate = target if criterion == "fpr" and target is not None else FALSE_POSITIVE_RATE
    return Thresholds(threshold, pixel_threshold(scores.upper_anomalies, rate))


def _score_threshold(scores: ImageScores, criterion: Criterion, target: float | None) -> float:
    if criterion == "fpr" and target is not None:
        return conformal_threshold(scores.normal, target)
    if criterion == "tpr" and target is not None:
        return tpr_threshold(scores.anomalous, target)
    both = [*checked_scores(scores.normal), *scores.anomalous]
    labels = [0] * len(scores.normal) + [1] * len(scores.anomalous)
    return f1_threshold(both, labels) if criterion == "f1" else youden_threshold(both, labels)
