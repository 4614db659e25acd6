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
from zsad.results.schema import METRICS, MOST_RESAMPLES, DetectorInfo, Protocol
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
    """All that was found.

    Attributes:
        a, b: the detectors of either side, one an evaluation.
        protocol: under which all of them were evaluated.
        resamples, confidence: of the intervals.
        data_sets: what both sides have in common.
        left_out: classes that are not compared, and why.
        warnings: what a reader must know before believing the numbers, in full sentences.
        shown: what the detectors of either side were shown of each class, one an evaluation, in brief.
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
    """Hold two detectors against each other, on what has been evaluated with both.

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
    everyone = [*left, *right]
    check_protocols([one.evaluation for one in everyone])
    _check_sides(left, right)
    found, left_out = _common(everyone)
    # Enough that a class can still be shown after Holm's correction.
    draws = max(draws, 4 * round(max(map(len, found.values())) / (1 - confidence)))
    picks = _picks(len(left), 0, draws), _picks(len(right), 1, draws)
    sets = tuple(_data_set(name, classes, picks, confidence) for name, classes in found.items())
    if max(len(left), len(right)) > 1 and min(len(left), len(right)) < LEAST_TRAININGS:
        sets = tuple(_without_verdicts(one) for one in sets)
    return Comparison(
        a=tuple(one.evaluation.detector for one in left),
        b=tuple(one.evaluation.detector for one in right),
        protocol=everyone[0].evaluation.protocol,
        resamples=draws,
        confidence=confidence,
        data_sets=sets,
        left_out=left_out,
        warnings=(*_shown_otherwise(left, right, found), *_warnings(left, right, found)),
        shown=(_shown(left), _shown(right)),
    )


Picks = Float[np.ndarray, "draws _"]
Classes = dict[str, tuple[ClassScores, ...]]


def _listed(side: Evaluations) -> list[str | os.PathLike[str]]:
    return [side] if isinstance(side, str | os.PathLike) else list(side)


def _common(everyone: Sequence[OpenEvaluation]) -> tuple[dict[str, Classes], dict[str, str]]:
    """The classes that all evaluations share by data set, and why the others are left out."""
    found: dict[str, Classes] = {}
    left_out = {}
    for name in dict.fromkeys(name for one in everyone for name in names(one.evaluation)):
        scored = paired(name, everyone)
        if isinstance(scored, str):
            left_out[" ".join(name)] = scored
        else:
            found.setdefault(name[0], {})[name[1]] = scored
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise InputError("evaluations that are compared share a class", reasons or "none", "evaluate the same data")
    return found, left_out


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
        known = [_identity(one) for one in side]
        if len(set(known)) < len(known):
            rule = "the evaluations of a side are of different draws of shots or different trainings"
            raise InputError(rule, f"{len(known) - len(set(known))} named again", "name each detector once")


def _identity(one: OpenEvaluation) -> tuple[str, str]:
    """The detector that judged: what it is, and what it was shown."""
    return one.evaluation.detector.fingerprint, one.evaluation.protocol.shown


def _shown(side: Sequence[OpenEvaluation]) -> tuple[str, ...]:
    return tuple(one.evaluation.protocol.shown for one in side)


def _without_verdicts(found: ComparedSet) -> ComparedSet:
    classes = (replace(one, metrics=_no_verdicts(one.metrics)) for one in found.classes)
    return replace(found, classes=tuple(classes), means=_no_verdicts(found.means))


def _no_verdicts(metrics: Mapping[str, Difference]) -> dict[str, Difference]:
    return {name: one if one.verdict == NO_INTERVAL else replace(one, verdict=TOO_FEW) for name, one in metrics.items()}


def _data_set(name: str, classes: Classes, picks: tuple[Picks, Picks], confidence: float) -> ComparedSet:
    measured = [_measured(name, one, scored, picks) for one, scored in classes.items()]
    by_metric = {metric: [one[metric] for one in measured] for metric in METRICS}
    rows = {metric: judged(found, confidence) for metric, found in by_metric.items()}
    compared = []
    for at, (one, scored) in enumerate(classes.items()):
        result = scored[0].result
        metrics = {metric: found[at] for metric, found in rows.items()}
        compared.append(ComparedClass(one, result.normal, result.anomalous, metrics))
    means = {metric: mean_judged(found, confidence) for metric, found in by_metric.items()}
    return ComparedSet(name, tuple(compared), means)


def _measured(
    data_set: str, class_name: str, scored: tuple[ClassScores, ...], picks: tuple[Picks, Picks]
) -> dict[str, PairedMetric]:
    labels = [image.label for image in scored[0].images]
    weights = resamples(labels, len(picks[0]), data_set, class_name)
    drawn = [one.draws(weights) for one in scored]
    split = picks[0].shape[1]
    found = {}
    for metric in METRICS:
        values = [one.result.metrics[metric].value for one in scored]
        draws = None
        if all(metric in one for one in drawn):
            a, b = (
                (share * np.stack([one[metric] for one in side], 1)).sum(1)
                for share, side in zip(picks, (drawn[:split], drawn[split:]), strict=True)
            )
            draws = b - a
        found[metric] = PairedMetric(average(values[:split]), average(values[split:]), draws)
    return found


def _shown_otherwise(
    left: Sequence[OpenEvaluation], right: Sequence[OpenEvaluation], found: Mapping[str, Classes]
) -> list[str]:
    """Where the detectors remembered other normal images while they judged."""
    memories = [_memories(name, side) for name, side in (("A", left), ("B", right))]
    said = [words for words in memories if words]
    shots = [sorted({one.evaluation.protocol.shots for one in side}) for side in (left, right)]
    if shots[0] != shots[1] or len(shots[0]) > 1:
        a, b = (" or ".join(str(number or "none") for number in side) for side in shots)
        return [
            *said,
            f"The detectors were not shown the same: of each class, A {a} and B {b} of its normal training images. "
            f"The difference is also that of the shots.",
        ]
    others = [
        f"{name} {one}"
        for name, classes in found.items()
        for one, scored in classes.items()
        if len({frozenset(part.result.shots.values()) for part in scored}) > 1
    ]
    if others:
        said.append(f"The detectors were shown other normal images, as they were drawn, of {', '.join(others)}.")
    return said


def _memories(name: str, side: Sequence[OpenEvaluation]) -> str:
    """What the detectors of a side remembered before they were held against anything; empty where nothing."""
    detectors = [one.evaluation.detector for one in side]
    brief = dict.fromkeys(summary(one.remembers, one.memory) for one in detectors if one.memory)
    return f"{name} judged every class by one memory: {'; '.join(brief)}." if brief else ""


def _warnings(
    left: Sequence[OpenEvaluation], right: Sequence[OpenEvaluation], found: Mapping[str, Classes]
) -> list[str]:
    """What the numbers do not show."""
    said = []
    trainings = [len(side) for side in (left, right)]
    if max(trainings) > 1 and min(trainings) < FEW_TRAININGS:
        said.append(
            f"{trainings[0]} and {trainings[1]} evaluations a side are few: intervals are too narrow"
            + (
                f", and below {LEAST_TRAININGS} a side there is no verdict."
                if min(trainings) < LEAST_TRAININGS
                else "."
            )
        )
    for name, side in (("A", left), ("B", right)):
        kinds = {(one.evaluation.detector.method, str(dict(one.evaluation.detector.options))) for one in side}
        if len(kinds) > 1:
            said.append(f"{name} is not one detector trained several times: methods or options differ.")
    if len({one.evaluation.version for one in (*left, *right)}) > 1:
        said.append("The evaluations were made by different versions of zsad.")
    ours, theirs = ({_identity(one) for one in side} for side in (left, right))
    if ours & theirs:
        said.append("A and B have a detector in common: it is compared with itself.")
    for name, classes in found.items():
        for one, scored in classes.items():
            results = [part.result for part in scored]
            if seen := max(result.seen_in_training for result in results):
                said.append(f"A detector was trained on {seen} of the images of {name} {one}.")
            for state, count in (("normal", results[0].normal), ("anomalous", results[0].anomalous)):
                if 0 < count < FEW:
                    said.append(f"{name} {one} has {count} {state} images: so few make intervals too narrow.")
    return said
