"""Whole numbers in the order of float32 values, fine where anomaly scores lie: the precision of gathered metrics.

A score is kept by its distance from 0 or from 1, whichever is nearer, so that a map of 30th powers keeps as much as one
that is crowded below 1. Of that distance, as a float32, the leading bits are kept and the others dropped:

    distance in [1/512, 1/2]   16 bits after the leading one: two scores closer than 2⁻¹⁸ may become one
    any other                  11 bits after the leading one: relative precision 2⁻¹¹ of the distance

All float16 and bfloat16 values in [0, 1], and all multiples of 1/255 and 1/65535 there, have keys of their own. Scores
outside [0, 1] have keys too, by their distance from the nearer end. Bins of equal width would do for none of these.
"""

import numpy as np
from jaxtyping import Float32, Int32

FINE_FROM, FINE_TO = (int(np.float32(edge).view(np.int32)) for edge in (2**-9, 2**-1))
COARSE, FINE = 12, 7
"""Bits dropped of the 23 after the leading one."""
HALF = (FINE_FROM >> COARSE) + ((FINE_TO - FINE_FROM) >> FINE)
"""Key of 0.5; that of 0 is 0."""
ONE = 2 * HALF
"""Key of 1."""
SPAN = HALF + ((int(np.finfo(np.float32).max.view(np.int32)) - FINE_TO) >> COARSE)
"""Keys are in [-SPAN, ONE + SPAN]."""


def to_keys(values: Float32[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """The key of each finite value; of two values the higher never has the lower key."""
    upper = values >= np.float32(0.5)
    # Exact below 2²⁴, by Sterbenz' lemma and because ulp(x - 1) <= ulp(x).
    distance = (values - upper.astype(np.float32)).view(np.int32)
    keys = _taper(distance & 0x7FFFFFFF)
    sign = distance >> 31
    keys ^= sign
    keys -= sign
    keys += upper * np.int32(ONE)
    return keys


def from_keys(keys: Int32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The value that each key stands for: of all with that key the one nearest to 0 or 1."""
    upper = keys >= HALF
    distance = keys - upper * np.int32(ONE)
    values = _untaper(np.abs(distance)).view(np.float32)
    return np.where(distance < 0, -values, values) + upper.astype(np.float32)


def stored(values: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The values as they are kept: gathered metrics are exact for these."""
    return from_keys(to_keys(values))


def _taper(bits: np.ndarray) -> np.ndarray:
    fine = np.clip(bits, FINE_FROM, FINE_TO)
    fine -= FINE_FROM
    tapered: np.ndarray = bits >> COARSE
    tapered += fine >> FINE
    tapered -= fine >> COARSE
    return tapered


def _untaper(tapered: np.ndarray) -> np.ndarray:
    first, past = FINE_FROM >> COARSE, HALF
    fine = FINE_FROM + ((tapered - first) << FINE)
    above = FINE_TO + ((tapered - past) << COARSE)
    return np.where(tapered < first, tapered << COARSE, np.where(tapered < past, fine, above))
