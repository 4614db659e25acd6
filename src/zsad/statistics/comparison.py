"""Two detectors on the same images: how far apart they are, and whether the images are enough to say so.

Every resample draws the same images for both, so that an image that is hard for both does not blur the difference.
With several evaluations a side, for instance one for each seed of training, a resample draws these, too.

    difference     B less A, of the metrics of the whole classes
    low, high      percentile interval of the difference over the resamples
    p              :func:`zsad.statistics.differences.significance`
    p_corrected    after Holm over the classes of the data set; the mean over the classes is one claim and needs none

Nothing is corrected for the number of metrics or data sets: say beforehand which one counts.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from zsad.config import check_within
from zsad.errors import ConfigError, InputError
from zsad.memory_bank import summary
from zsad.results.schema import METRICS, MOST_RESAMPLES, SETTINGS, DetectorInfo, Protocol
from zsad.statistics.differences import NO_INTERVAL, TOO_FEW, Difference, PairedMetric, average, judged, mean_judged
from zsad.statistics.intervals import FEW, resamples
from zsad.statistics.pairing import ClassScores, OpenEvaluation, check_protocols, names, opened, paired

RESAMPLES = 2000
GREATEST_CONFIDENCE = 0.9999
"""More resamples than there is memory for would be needed beyond."""
LEAST_TRAININGS, FEW_TRAININGS = 5, 10
"""Evaluations a side below which no verdict is given, and below which there is a warning, where there are several: a
bootstrap over so few calls one of two equally good detectors better far too often."""
Evaluations = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class ComparedClass:
    """One class. ``metrics`` are by the names of ``METRICS``."""

    class_name: str
    normal: int
    anomalous: int
    metrics: Mapping[str, Difference]


@dataclass(frozen=True)
class ComparedSet:
    """One data set: the classes that can be compared, and their mean, each counting alike."""

    name: str
    classes: tuple[ComparedClass, ...]
    means: Mapping[str, Difference]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        a, b: the detectors of either side, one an evaluation.
        protocol: under which all of them were evaluated.
        resamples, confidence: of the intervals.
        data_sets: what both sides have in common.
        left_out: classes that are not compared, and why.
        warnings: what a reader must know before believing the numbers, in full sentences.
        shown: the shots of either side, one an evaluation, in words.
    """

    a: tuple[DetectorInfo, ...]
    b: tuple[DetectorInfo, ...]
    protocol: Protocol
    resamples: int
    confidence: float
    data_sets: tuple[ComparedSet, ...]
    left_out: Mapping[str, str]
    warnings: tuple[str, ...]
    shown: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def compare(a: Evaluations, b: Evaluations, *, draws: int = RESAMPLES, confidence: float = 0.95) -> Comparison:
    """Compare two detectors on the classes and images that both were evaluated on.

    Args:
        a, b: folders of evaluations, or their ``evaluation.json``; several a side are one detector, trained several
            times.
        draws: resamples of the bootstrap, at least 100; more are taken where many classes need them.
        confidence: of the intervals and of the verdicts, between 0 and 1.

    Raises:
        InputError: an evaluation cannot be read, or they were made differently or have no class in common.
        ConfigError: draws or confidence are out of range.
    """
    if draws < 100 or not 0 < confidence < 1:
        rule = "a comparison has at least 100 resamples and a confidence between 0 and 1"
        raise ConfigError(rule, f"{draws} and {confidence}", f"say {RESAMPLES} and 0.95")
    check_within("the number of resamples", draws, 100, MOST_RESAMPLES)
    check_within("a confidence", confidence, 0, GREATEST_CONFIDENCE)
    left, right = ([opened(Path(path)) for path in _listed(side)] for side in (a, b))
    evaluations = [*left, *right]
    check_protocols([each.evaluation for each in evaluations])
    _check_sides(left, right)
    classes, left_out = _common(evaluations)
    # Enough that a class can still be shown after Holm's correction.
    draws = max(draws, 4 * round(max(map(len, classes.values())) / (1 - confidence)))
    picks = _picks(len(left), 0, draws), _picks(len(right), 1, draws)
    sets = tuple(_data_set(name, of_set, picks, confidence) for name, of_set in classes.items())
    if max(len(left), len(right)) > 1 and min(len(left), len(right)) < LEAST_TRAININGS:
        sets = tuple(map(_without_verdicts, sets))
    return Comparison(
        a=tuple(each.evaluation.detector for each in left),
        b=tuple(each.evaluation.detector for each in right),
        protocol=evaluations[0].evaluation.protocol,
        resamples=draws,
        confidence=confidence,
        data_sets=sets,
        left_out=left_out,
        warnings=(
            *_of_settings(left, right),
            *_shown_otherwise(left, right, classes),
            *_warnings(left, right, classes),
        ),
        shown=(_shown(left), _shown(right)),
    )


Picks = Float[np.ndarray, "draws _"]
Classes = dict[str, tuple[ClassScores, ...]]


def _listed(side: Evaluations) -> list[str | os.PathLike[str]]:
    return [side] if isinstance(side, str | os.PathLike) else list(side)


def _common(evaluations: Sequence[OpenEvaluation]) -> tuple[dict[str, Classes], dict[str, str]]:
    """The classes that all evaluations share by data set, and why the others are left out."""
    common: dict[str, Classes] = {}
    left_out = {}
    for name in dict.fromkeys(name for each in evaluations for name in names(each.evaluation)):
        scored = paired(name, evaluations)
        if isinstance(scored, str):
            left_out[" ".join(name)] = scored
        else:
            common.setdefault(name[0], {})[name[1]] = scored
    if not common:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise InputError("evaluations that are compared share a class", reasons or "none", "evaluate the same data")
    return common, left_out


def _picks(count: int, side: int, draws: int) -> Picks:
    """The share that each evaluation of a side has in each resample."""
    rng = np.random.default_rng([count, side])
    picks: Picks = rng.multinomial(count, np.full(count, 1 / count), draws) / count
    # A resample of so few varies less than they do, by (n - 1) / n.
    widened: Picks = 1 / count + (picks - 1 / count) * np.sqrt(count / max(count - 1, 1))
    return widened


def _check_sides(*sides: Sequence[OpenEvaluation]) -> None:
    """Each evaluation of a side is of another training, or of another draw of what is shown."""
    for side in sides:
        identities = [_identity(each) for each in side]
        if len(set(identities)) < len(identities):
            rule = "the evaluations of a side are of different draws of shots or different trainings"
            raise InputError(rule, f"{len(identities) - len(set(identities))} named again", "name each detector once")


def _identity(opened_evaluation: OpenEvaluation) -> tuple[str, str]:
    """The detector that was evaluated, and its shots."""
    return opened_evaluation.evaluation.detector.fingerprint, opened_evaluation.evaluation.protocol.shown


def _shown(side: Sequence[OpenEvaluation]) -> tuple[str, ...]:
    return tuple(each.evaluation.protocol.shown for each in side)


def _without_verdicts(compared: ComparedSet) -> ComparedSet:
    classes = (replace(result, metrics=_no_verdicts(result.metrics)) for result in compared.classes)
    return replace(compared, classes=tuple(classes), means=_no_verdicts(compared.means))


def _no_verdicts(metrics: Mapping[str, Difference]) -> dict[str, Difference]:
    return {
        name: difference if difference.verdict == NO_INTERVAL else replace(difference, verdict=TOO_FEW)
        for name, difference in metrics.items()
    }


def _data_set(name: str, classes: Classes, picks: tuple[Picks, Picks], confidence: float) -> ComparedSet:
    measured = [_measured(name, class_name, scored, picks) for class_name, scored in classes.items()]
    by_metric = {metric: [metrics_of_class[metric] for metrics_of_class in measured] for metric in METRICS}
    rows = {metric: judged(differences, confidence) for metric, differences in by_metric.items()}
    compared = []
    for at, (class_name, scored) in enumerate(classes.items()):
        result = scored[0].result
        metrics = {metric: differences[at] for metric, differences in rows.items()}
        compared.append(ComparedClass(class_name, result.normal, result.anomalous, metrics))
    means = {metric: mean_judged(differences, confidence) for metric, differences in by_metric.items()}
    return ComparedSet(name, tuple(compared), means)


def _measured(
    data_set: str, class_name: str, scored: tuple[ClassScores, ...], picks: tuple[Picks, Picks]
) -> dict[str, PairedMetric]:
    labels = [image.label for image in scored[0].images]
    weights = resamples(labels, len(picks[0]), data_set, class_name)
    resampled = [scores.draws(weights) for scores in scored]
    split = picks[0].shape[1]
    paired_metrics = {}
    for metric in METRICS:
        values = [scores.result.metrics[metric].value for scores in scored]
        draws = None
        if all(metric in draws_of_metric for draws_of_metric in resampled):
            a, b = (
                (share * np.stack([draws_of_metric[metric] for draws_of_metric in side], 1)).sum(1)
                for share, side in zip(picks, (resampled[:split], resampled[split:]), strict=True)
            )
            draws = b - a
        paired_metrics[metric] = PairedMetric(average(values[:split]), average(values[split:]), draws)
    return paired_metrics


def _of_settings(left: Sequence[OpenEvaluation], right: Sequence[OpenEvaluation]) -> list[str]:
    """Where detectors saw more or less of the test images than others."""
    found = [list(dict.fromkeys(each.evaluation.detector.setting for each in side)) for side in (left, right)]
    if "transductive" not in found[0] + found[1] or found[0] == found[1]:
        return []
    a, b = (" or ".join(side) for side in found)
    return [f"A is {a}, B {b}: in a transductive setting {SETTINGS['transductive']}, which others do not see."]


def _shown_otherwise(
    left: Sequence[OpenEvaluation], right: Sequence[OpenEvaluation], common: Mapping[str, Classes]
) -> list[str]:
    """Where the memory banks of the detectors held different normal images."""
    memories = [_memories(name, side) for name, side in (("A", left), ("B", right))]
    warnings = [memory for memory in memories if memory]
    shots = [sorted({each.evaluation.protocol.shots for each in side}) for side in (left, right)]
    if shots[0] != shots[1] or len(shots[0]) > 1:
        a, b = (" or ".join(str(number or "none") for number in side) for side in shots)
        return [
            *warnings,
            f"The detectors were not shown the same: of each class, A {a} and B {b} of its normal training images. "
            f"The difference is also that of the shots.",
        ]
    differing = [
        f"{name} {class_name}"
        for name, classes in common.items()
        for class_name, scored in classes.items()
        if len({frozenset(scores.result.shots.values()) for scores in scored}) > 1
    ]
    if differing:
        warnings.append(f"The detectors were shown other normal images, as they were drawn, of {', '.join(differing)}.")
    return warnings


def _memories(name: str, side: Sequence[OpenEvaluation]) -> str:
    """The normal images in the memory banks of a side before the evaluation; empty where there are none."""
    detectors = [each.evaluation.detector for each in side]
    brief = dict.fromkeys(
        summary(detector.remembers, detector.memory, detector.unlabelled) for detector in detectors if detector.memory
    )
    return f"{name} judged every class by one memory: {'; '.join(brief)}." if brief else ""


def _warnings(
    left: Sequence[OpenEvaluation], right: Sequence[OpenEvaluation], common: Mapping[str, Classes]
) -> list[str]:
    """What the numbers do not show."""
    warnings = []
    trainings = [len(side) for side in (left, right)]
    if max(trainings) > 1 and min(trainings) < FEW_TRAININGS:
        warnings.append(
            f"{trainings[0]} and {trainings[1]} evaluations a side are few: intervals are too narrow"
            + (
                f", and below {LEAST_TRAININGS} a side there is no verdict."
                if min(trainings) < LEAST_TRAININGS
                else "."
            )
        )
    for name, side in (("A", left), ("B", right)):
        kinds = {(each.evaluation.detector.method, str(dict(each.evaluation.detector.options))) for each in side}
        if len(kinds) > 1:
            warnings.append(f"{name} is not one detector trained several times: methods or options differ.")
    if len({each.evaluation.version for each in (*left, *right)}) > 1:
        warnings.append("The evaluations were made by different versions of zsad.")
    ours, theirs = ({_identity(each) for each in side} for side in (left, right))
    if ours & theirs:
        warnings.append("A and B have a detector in common: it is compared with itself.")
    for name, classes in common.items():
        for class_name, scored in classes.items():
            results = [scores.result for scores in scored]
            if seen := max(result.seen_in_training for result in results):
                warnings.append(f"A detector was trained on {seen} of the images of {name} {class_name}.")
            for state, count in (("normal", results[0].normal), ("anomalous", results[0].anomalous)):
                if 0 < count < FEW:
                    warnings.append(
                        f"{name} {class_name} has {count} {state} images: so few make intervals too narrow."
                    )
    return warnings
