"""From two kinds of evidence to one anomaly map: log-odds by text, and log distances from references.

    z = (value - median) / deviation, the deviation from the highest 1 % of the patches of references
    T = (z_reference + w z_text) / (1 + w),   P(anomalous) = 1/2 + arctan(T - 3) / π

A weighted mean of standardised evidence, in which weak evidence of one kind does not outvote strong evidence of the
other. Why logarithms, this weight and these shares were chosen: ``docs/methods/auto.md``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_DISTANCE = 1e-3
"""Added to distances before the logarithm; below it, images differ by sensor noise."""
LEAST_DEVIATION = 0.05
"""Of patches that are all but identical."""
UPPER = 0.99
UPPER_DEVIATIONS = 2.3263
"""So many deviations lie between the median and this quantile of a normal distribution."""
UNUSUAL = 3.0
"""T, in deviations of ordinary patches, at which P(anomalous) is 1/2; an ordinary patch has 0.1, which heat maps hardly
show. No order of scores depends on it."""


@dataclass(frozen=True)
class Scale:
    """Location and spread of a kind of evidence over patches."""

    median: float
    deviation: float

    @classmethod
    def of(cls, values: Float[Tensor, "*shape"]) -> "Scale":
        """The median, and the deviation by the 99 % quantile.

        By the median absolute deviation, evidence whose noise has a heavy upper tail would outvote the other kind.
        """
        ordered = values.flatten().sort().values
        median, upper = ordered[(len(ordered) - 1) // 2], ordered[round(UPPER * (len(ordered) - 1))]
        return cls(float(median), max(float(upper - median) / UPPER_DEVIATIONS, LEAST_DEVIATION))

    @classmethod
    def of_text(cls, odds: Float[Tensor, "*shape"] | None) -> "Scale":
        """That of log-odds by text; one without effect where there is no text."""
        return cls(0.0, 1.0) if odds is None else cls.of(odds)

    def mean_with(self, other: "Scale", own_count: int, other_count: int) -> "Scale":
        """The mean of both, weighted by how many images each is of."""
        share = own_count / (own_count + other_count)
        median = share * self.median + (1 - share) * other.median
        return Scale(median, share * self.deviation + (1 - share) * other.deviation)

    def standardised(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values in deviations from the median."""
        return (values - self.median) / self.deviation


def log_distance(distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Logarithm of distances in [0, 1]."""
    return (distance + LEAST_DISTANCE).log()


def joined(
    text: Float[Tensor, "batch cells"] | None,
    reference: Float[Tensor, "batch cells"],
    text_scale: Scale,
    scale: Scale,
    text_weight: float,
) -> Float[Tensor, "batch cells"]:
    """T of both kinds of evidence, or z of the references alone.

    Args:
        text: log-odds of the patches; None on a backbone without text.
        reference: log distances of the patches.
        text_scale, scale: of each.
        text_weight: w, the weight of text where that of the references is 1.
    """
    by_reference = scale.standardised(reference)
    if text is None:
        return by_reference
    return (by_reference + text_weight * text_scale.standardised(text)) / (1 + text_weight)


def image_values(cells: Float[Tensor, "batch cells"], shares: Sequence[float]) -> Float[Tensor, "batch"]:
    """The mean of the highest share of the patches of each image, averaged over several shares.

    >>> image_values(torch.tensor([[0.0, 1.0, 2.0, 9.0]]), (0.25, 0.5))
    tensor([7.2500])
    """
    ordered = cells.sort(1, descending=True).values
    counts = [max(1, round(share * cells.shape[1])) for share in shares]
    return torch.stack([ordered[:, :count].mean(1) for count in counts]).mean(0)


def probability(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1/2 + arctan(T - 3) / π, in [0, 1]."""
    return (values - UNUSUAL).atan() / math.pi + 0.5
