"""Where the accumulators count scores: in a table of keys, or in a growing list of all of them.

Keys are whole numbers in the order of float32 values, fine where anomaly scores lie: the precision of the accumulators.

A score is kept by its distance from 0 or from 1, whichever is nearer, so that a map of 30th powers keeps as much as one
that is crowded below 1. Distances are rounded towards 0 to

    below 1/512          11 bits after the leading one: relative steps (also below 2⁻¹²⁶, where float32 drops digits)
    from 1/512 to 1/2    multiples of 2⁻²⁰: no two steps in [0, 1] are farther apart
    from 1/2 to 1024     14 bits after the leading one: scores outside [0, 1], such as logits
    above                11 bits after the leading one

All float16 and bfloat16 values in [0, 1], and all multiples of 1/255 and 1/65535 there, have keys of their own.
Bins of equal width alone would do for none of this: a 30th power puts half of a map into the first of them.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Float32, Int32

from zsad.errors import ConfigError, unknown_name
from zsad.metrics.counts import ScoreCounts, count_values


def _bits(value: float) -> int:
    return int(np.float32(value).view(np.int32))


STEPS = 2**20
"""In a distance of 1, between the edges ``FINE`` and ``COARSE``."""
FINE, COARSE, FAR = 2.0**-9, 0.5, 1024.0
FEW, MANY = 12, 9
"""Bits dropped of the 23 after the leading one where steps are relative."""
TINY = 2.0**-126
"""Below it float32 has a fixed step, 2⁻¹⁴⁹, and fewer digits the smaller the number: a 30th power gets there."""
RAISE = 23
"""Powers of two by which these are multiplied, exactly, to have a leading one like the others."""
KEY_TINY = RAISE << (23 - FEW)
KEY_FINE = KEY_TINY + (_bits(FINE) >> FEW)
HALF = KEY_FINE + int((COARSE - FINE) * STEPS)
"""Key of 0.5; that of 0 is 0."""
ONE = 2 * HALF
"""Key of 1."""
KEY_FAR = HALF + ((_bits(FAR) - _bits(COARSE)) >> MANY)
SPAN = KEY_FAR + ((_bits(float(np.finfo(np.float32).max)) - _bits(FAR)) >> FEW)
"""Keys are in [-SPAN, ONE + SPAN]."""


def to_keys(values: Float32[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """The key of each finite value; of two values the higher never has the lower key."""
    upper = values >= np.float32(COARSE)
    # No digit is lost: neither between 1/2 and 2, nor beyond, where digits are coarser than those of the distance.
    distance = values - upper.astype(np.float32)
    keys = _taper(np.abs(distance))
    np.negative(keys, out=keys, where=distance < 0)
    keys += upper * np.int32(ONE)
    return keys


def from_keys(keys: Int32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The value that each key stands for: of all with that key the one nearest to 0 or 1."""
    upper = keys >= HALF
    distance = keys - upper * np.int32(ONE)
    values = _untaper(np.abs(distance))
    return np.where(distance < 0, -values, values) + upper.astype(np.float32)


def stored(values: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """The values as they are kept: gathered metrics are exact for these."""
    return from_keys(to_keys(values))


def _taper(distances: np.ndarray) -> np.ndarray:
    """Each zone counts the steps up to the distance, or all of its own."""
    bits = distances.view(np.int32)
    keys: np.ndarray = (np.minimum(bits, _bits(FINE)) >> FEW) + np.int32(KEY_TINY)
    if distances.min(initial=1) < TINY:
        tiny = distances < TINY
        keys[tiny] = np.ldexp(distances[tiny], RAISE).view(np.int32) >> FEW
    keys += ((np.clip(distances, FINE, COARSE) - np.float32(FINE)) * np.float32(STEPS)).astype(np.int32)
    if distances.max(initial=0) > COARSE:
        keys += (np.clip(bits, _bits(COARSE), _bits(FAR)) - _bits(COARSE)) >> MANY
        keys += (np.maximum(bits, _bits(FAR)) - _bits(FAR)) >> FEW
    return keys


def _untaper(keys: np.ndarray) -> np.ndarray:
    steps = (keys - KEY_FINE).astype(np.float32) / np.float32(STEPS) + np.float32(FINE)
    coarse = _bits(COARSE) + ((keys - HALF) << MANY)
    far = _bits(FAR) + ((keys - KEY_FAR) << FEW)
    bits = np.where(keys < KEY_FINE, (keys - KEY_TINY) << FEW, np.where(keys < KEY_FAR, coarse, far))
    first = KEY_TINY + (_bits(TINY) >> FEW)
    raised = (np.minimum(keys, first) << FEW).view(np.float32)
    relative = np.where(keys < first, np.ldexp(raised, -RAISE), bits.view(np.float32))
    return np.where((keys >= KEY_FINE) & (keys < HALF), steps, relative)


BLOCK = 2**15
"""Scores made keys at once: what stays in a processor's cache goes three times as fast."""


class Counter(ABC):
    """What gathered metrics are made of."""

    @abstractmethod
    def add(
        self,
        values: Float32[np.ndarray, "samples"],
        anomalous: Float32[np.ndarray, "anomalous"],
        shares: Float[np.ndarray, "anomalous"],
    ) -> None:
        """Count samples: all values, those of the anomalous ones, and the share of its region that each of these is."""

    @abstractmethod
    def merge(self, other: "Counter") -> None:
        """Count the samples of another, too.

        Raises:
            ConfigError: it is of another precision.
        """

    @abstractmethod
    def counts(self, regions: int) -> ScoreCounts:
        """The counts of all samples so far."""


class KeyTable(Counter):
    """Counts by key: 39 MB as long as scores are in [0, 1], 98 MB at most, whatever the number of samples.

    Its counts take up to that much again, by the number of keys that occur.
    """

    def __init__(self) -> None:
        self._allot(0, ONE + 1)

    def add(
        self,
        values: Float32[np.ndarray, "samples"],
        anomalous: Float32[np.ndarray, "anomalous"],
        shares: Float[np.ndarray, "anomalous"],
    ) -> None:
        for start in range(0, len(values), BLOCK):
            keys = to_keys(values[start : start + BLOCK])
            self._cover(int(keys.min()), int(keys.max()) + 1)
            np.add.at(self._total, keys - self._first, 1)
        keys = to_keys(anomalous) - self._first
        np.add.at(self._anomalous, keys, 1)
        np.add.at(self._overlap, keys, shares)

    def merge(self, other: Counter) -> None:
        if not isinstance(other, KeyTable):
            raise _other_precision("keys", "float32")
        self._cover(other._first, other._first + len(other._total))
        self._take(other._first, other._total, other._anomalous, other._overlap)

    def counts(self, regions: int) -> ScoreCounts:
        used = np.flatnonzero(self._total)
        values = from_keys((used + self._first).astype(np.int32))
        anomalous = self._anomalous[used]
        return ScoreCounts(values, self._total[used] - anomalous, anomalous, self._overlap[used], regions)

    def _allot(self, first: int, end: int) -> None:
        """Room for the keys from ``first`` to before ``end``; pages of it that are never written take no memory."""
        self._first = first
        self._total, self._anomalous = np.zeros(end - first, np.int64), np.zeros(end - first, np.int64)
        self._overlap = np.zeros(end - first)

    def _cover(self, first: int, end: int) -> None:
        """Make room for all scores below 0, or above 1, when the first of them comes."""
        last = self._first + len(self._total)
        if first >= self._first and end <= last:
            return
        old = self._first, self._total, self._anomalous, self._overlap
        self._allot(self._first if first >= self._first else -SPAN, last if end <= last else ONE + SPAN + 1)
        self._take(*old)

    def _take(self, first: int, total: np.ndarray, anomalous: np.ndarray, overlap: np.ndarray) -> None:
        there = np.flatnonzero(total)
        here = there + (first - self._first)
        self._total[here] += total[there]
        self._anomalous[here] += anomalous[there]
        self._overlap[here] += overlap[there]


class ValueList(Counter):
    """All values as they are: 4 bytes a sample, 12 more an anomalous one, and as much again to sort them."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = [np.zeros(0, np.float32)]
        self._anomalous: list[np.ndarray] = [np.zeros(0, np.float32)]
        self._shares: list[np.ndarray] = [np.zeros(0)]

    def add(
        self,
        values: Float32[np.ndarray, "samples"],
        anomalous: Float32[np.ndarray, "anomalous"],
        shares: Float[np.ndarray, "anomalous"],
    ) -> None:
        self._values.append(values.copy())
        self._anomalous.append(anomalous)
        self._shares.append(shares)

    def merge(self, other: Counter) -> None:
        if not isinstance(other, ValueList):
            raise _other_precision("float32", "keys")
        # Copies of the lists: a list may be merged into itself.
        self._values += list(other._values)
        self._anomalous += list(other._anomalous)
        self._shares += list(other._shares)

    def counts(self, regions: int) -> ScoreCounts:
        values, anomalous, shares = map(np.concatenate, (self._values, self._anomalous, self._shares))
        return count_values(values, anomalous, shares, regions)


def counter(precision: str) -> Counter:
    """An empty counter."""
    kinds: dict[str, type[Counter]] = {"keys": KeyTable, "float32": ValueList}
    if precision not in kinds:
        raise unknown_name("precision", precision, kinds)
    return kinds[precision]()


def _other_precision(ours: str, others: str) -> ConfigError:
    return ConfigError("metrics to merge have one precision", f"{ours} and {others}", "gather all parts with the same")
