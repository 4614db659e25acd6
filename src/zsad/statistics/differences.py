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


def judged(metrics: Sequence[PairedMetric], confidence: float) -> list[Difference]:
    """The differences in one metric, with verdicts that take into account how many they are.

    Args:
        metrics: of each class of a data set, or one mean.
        confidence: of intervals and verdicts.
    """
    plain = [_judged(metric, confidence) for metric in metrics]
    corrected = iter(holm([difference.p for difference in plain if difference.p is not None]))
    return [
        difference if difference.p is None else _with_verdict(difference, next(corrected), confidence)
        for difference in plain
    ]


def mean_judged(metrics: Sequence[PairedMetric], confidence: float) -> Difference:
    """The difference in the mean over the classes that define the metric on both sides."""
    defined = [metric for metric in metrics if metric.a is not None and metric.b is not None]
    resampled = [metric.draws for metric in defined if metric.draws is not None]
    draws = np.mean(resampled, 0) if resampled and len(resampled) == len(defined) else None
    mean = PairedMetric(average([metric.a for metric in defined]), average([metric.b for metric in defined]), draws)
    return replace(judged([mean], confidence)[0], classes=len(defined))


def average(values: Sequence[float | None]) -> float | None:
    """The mean; None if one of the values is, or there are none."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined and len(defined) == len(values) else None


def _judged(metric: PairedMetric, confidence: float) -> Difference:
    if metric.a is None or metric.b is None:
        return Difference(metric.a, metric.b)
    difference = metric.b - metric.a
    if metric.draws is None or np.isnan(metric.draws).all():
        return Difference(metric.a, metric.b, difference)
    low, high = interval(metric.draws, confidence)
    return Difference(metric.a, metric.b, difference, low, high, significance(metric.draws))


def _with_verdict(difference: Difference, p: float, confidence: float) -> Difference:
    assert difference.difference is not None
    assert difference.low is not None
    assert difference.high is not None
    direction = difference.low + difference.high
    # Where the images and their resamples do not point the same way, nothing is shown.
    shown = p <= 1 - confidence and difference.difference * direction > 0
    return replace(difference, p_corrected=p, verdict=(B_BETTER if direction > 0 else A_BETTER) if shown else NOT_SHOWN)


def significance(differences: Float[np.ndarray, "draws"]) -> float:
    """How easily the difference would come from the choice of images alone: a two-sided p-value.

    Twice the share of resamples in which the difference is 0 or has the other sign, at most 1. The sample itself counts
    as one more resample on the wrong side, so that it is never 0: with 2000 resamples it is at least 0.001.

    Args:
        differences: of a metric between two detectors, each on one resample; NaN where it is not defined.

    >>> significance(np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.1, 0.3, 0.2, -0.1]))
    0.4
    """
    defined = differences[~np.isnan(differences)]
    reversed_ = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (reversed_ + 1) / (len(defined) + 1))


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
