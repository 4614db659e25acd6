"""Where gathered scores are counted: in a table of keys, or in a growing list of all of them."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float, Float32

from zsad.errors import ConfigError, unknown_name
from zsad.metrics.keys import ONE, SPAN, from_keys, to_keys
from zsad.metrics.score_counts import ScoreCounts, metrics_of_counts

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
    def tally(self, regions: int) -> ScoreCounts:
        """The counts of all samples so far."""


class KeyTable(Counter):
    """Counts by key: 39 MB as long as scores are in [0, 1], 98 MB at most, whatever the number of samples.

    A tally takes up to that much again, by the number of keys that occur.
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

    def tally(self, regions: int) -> ScoreCounts:
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

    def tally(self, regions: int) -> ScoreCounts:
        values, anomalous, shares = map(np.concatenate, (self._values, self._anomalous, self._shares))
        return metrics_of_counts(values, anomalous, shares, regions)


def counter(precision: str) -> Counter:
    """An empty counter."""
    kinds: dict[str, type[Counter]] = {"keys": KeyTable, "float32": ValueList}
    if precision not in kinds:
        raise unknown_name("precision", precision, kinds)
    return kinds[precision]()


def _other_precision(ours: str, others: str) -> ConfigError:
    return ConfigError("metrics to merge have one precision", f"{ours} and {others}", "gather all parts with the same")
