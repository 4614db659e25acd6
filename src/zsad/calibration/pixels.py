"""A threshold for pixels, from anomaly maps of normal images.

Pixels of an image are not exchangeable with those of another: they come in regions, and some images have many. What is
exchangeable is the image. Each normal image therefore gives one number, the anomaly above which only a small share of
its pixels lies, and the threshold is the conformal quantile of these numbers.
"""

from fractions import Fraction

import numpy as np
from jaxtyping import Float32

from zsad.calibration.conformal import Rate, Scores, checked_scores, conformal_threshold

MARKED_SHARE = Fraction(1, 200)
"""Of the pixels of an image: so few above the threshold are no region to show. With 0, a single pixel would count."""


def upper_anomaly(anomaly_map: Float32[np.ndarray, "rows cols"], share: Fraction = MARKED_SHARE) -> float:
    """The lowest anomaly above which at most ``share`` of the pixels lie.

    >>> upper_anomaly(np.arange(100, dtype=np.float32).reshape(10, 10), Fraction(1, 20))
    94.0
    """
    values = anomaly_map.reshape(-1)
    place = len(values) - 1 - int(share * len(values))
    return float(np.partition(values, place)[place])


def pixel_threshold(upper_anomalies: Scores, rate: Rate) -> float | None:
    """The anomaly that more than :data:`MARKED_SHARE` of a normal image reaches with a probability of at most ``rate``.

    Args:
        upper_anomalies: of each normal image, as :func:`upper_anomaly` gives them.
        rate: share of normal images, between 0 and 1. Where there are too few images for it, the lowest rate that so
            many allow is taken instead.

    Returns:
        A number that float32 holds, for maps do; None where it would be above 1.

    Raises:
        InputError: there is no image, or a number is not finite.
    """
    lowest = Fraction(1, len(checked_scores(upper_anomalies)) + 1)
    exact = rate if isinstance(rate, Fraction) else Fraction(str(float(rate)))
    above = np.float32(np.nextafter(conformal_threshold(upper_anomalies, max(exact, lowest)), -np.inf))
    threshold = float(np.nextafter(above, np.float32(np.inf)))
    return threshold if threshold <= 1 else None
