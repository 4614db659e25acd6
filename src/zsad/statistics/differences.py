"""The difference between two sides, in one metric: how large, how sure, and in words.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, sections 13.3 (percentile interval) and 15.4 (achieved
significance level); Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from zsad.statistics.intervals import interval

A_BETTER, B_BETTER, NOT_SHOWN, NO_INTERVAL = "A is better", "B is better", "no difference shown", "no interval"
TOO_FEW = "too few trainings"


@dataclass(frozen=True)
class Difference:
    """One metric of a class or the mean of a data set.

    Attributes:
        a, b: the metric, in [0, 1], mean over the evaluations of the side; None where one of them does not define it.
        difference: b - a.
        low, high: of its interval; None where there is no bootstrap, as of ``pixel_pro_200``.
        p: two-sided; None where there is no bootstrap.
        p_corrected: for the number of classes; of a mean ``p`` itself.
        verdict: in words, by ``p_corrected``.
        classes: of a mean, over how many classes it is taken: those that define it in all evaluations.
    """

    a: float | None
    b: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    verdict: str = NO_INTERVAL
    classes: int = 1


@dataclass(frozen=True)
class PairedMetric:
    """One metric on both sides.

    Attributes:
        a, b: the metric; None where a side does not define it.
        draws: b - a of each resample; None where there is no bootstrap.
    """

    a: float | None
    b: float | None
    draws: Float[np.ndarray, "draws"] | None


def judged(found: Sequence[PairedMetric], confidence: float) -> list[Difference]:
    """The differences in one metric, with verdicts that take into account how many they are.

    Args:
        found: of each class of a data set, or one mean.
        confidence: of intervals and verdicts.
    """
    plain = [_judged(one, confidence) for one in found]
    corrected = iter(holm([one.p for one in plain if one.p is not None]))
    return [one if one.p is None else _with_verdict(one, next(corrected), confidence) for one in plain]


def mean_judged(found: Sequence[PairedMetric], confidence: float) -> Difference:
    """The difference in the mean over the classes that define the metric on both sides."""
    kept = [one for one in found if one.a is not None and one.b is not None]
    drawn = [one.draws for one in kept if one.draws is not None]
    draws = np.mean(drawn, 0) if drawn and len(drawn) == len(kept) else None
    mean = PairedMetric(average([one.a for one in kept]), average([one.b for one in kept]), draws)
    return replace(judged([mean], confidence)[0], classes=len(kept))


def average(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of the values is, or there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _judged(one: PairedMetric, confidence: float) -> Difference:
    if one.a is None or one.b is None:
        return Difference(one.a, one.b)
    difference = one.b - one.a
    if one.draws is None or np.isnan(one.draws).all():
        return Difference(one.a, one.b, difference)
    low, high = interval(one.draws, confidence)
    return Difference(one.a, one.b, difference, low, high, significance(one.draws))


def _with_verdict(one: Difference, p: float, confidence: float) -> Difference:
    assert one.difference is not None
    assert one.low is not None
    assert one.high is not None
    drawn = one.low + one.high
    # Where the images and their resamples do not point the same way, nothing is shown.
    shown = p <= 1 - confidence and one.difference * drawn > 0
    return replace(one, p_corrected=p, verdict=(B_BETTER if drawn > 0 else A_BETTER) if shown else NOT_SHOWN)


def significance(differences: Float[np.ndarray, "draws"]) -> float:
    """How easily the difference would come from the choice of images alone: a two-sided p-value.

    Twice the share of resamples in which the difference is 0 or has the other sign, at most 1. The sample itself counts
    as one more resample on the wrong side, so that it is never 0: with 2000 resamples it is at least 0.001.

    Args:
        differences: of a metric between two detectors, each on one resample; NaN where it is not defined.

    >>> significance(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.1, 0.3, 0.2, -0.1]))
    0.4
    """
    known = differences[~np.isnan(differences)]
    reversed_ = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (reversed_ + 1) / (len(known) + 1))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance that any of those below a level is a false alarm is that level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, number in enumerate(sorted(range(len(values)), key=lambda number: values[number])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[number]))
        corrected[number] = highest
    return corrected
