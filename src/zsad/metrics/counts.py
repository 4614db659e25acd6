"""How many samples of each state have each score: all that any metric of this room needs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy.typing import ArrayLike

from zsad.errors import ConfigError, InputError, unknown_name
from zsad.metrics.checks import paired_scores
from zsad.metrics.keys import ONE, SPAN, from_keys, to_keys


@dataclass(frozen=True)
class Undefined:
    """A metric that these data do not define.

    Attributes:
        rule: what must hold for the metric to exist.
        value: what was found instead.
        remedy: what to do about it.

    >>> print(Undefined("AUROC needs normal and anomalous samples", "4 and 0", "add the missing class"))
    n/a (AUROC needs normal and anomalous samples; got 4 and 0)
    """

    rule: str
    value: str
    remedy: str

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return f"{self.rule}; got {self.value}"

    def __str__(self) -> str:
        return f"n/a ({self.reason})"


@dataclass(frozen=True)
class ScoreCounts:
    """Samples counted by score. Equal scores are one entry, so that ties cannot be told apart by their order.

    Attributes:
        values: the distinct scores, ascending.
        normal: normal samples with that score.
        anomalous: anomalous samples with that score.
        overlap: of pixels, the sum over all regions of the share of the region that has that score; of images, 0.
        regions: number of anomalous regions; of images, 0.
    """

    values: Float[np.ndarray, "values"]
    normal: Int[np.ndarray, "values"]
    anomalous: Int[np.ndarray, "values"]
    overlap: Float[np.ndarray, "values"]
    regions: int

    def missing(self, metric: str) -> Undefined | None:
        """Why a metric that needs both states does not exist, or None."""
        normal, anomalous = int(self.normal.sum()), int(self.anomalous.sum())
        if normal and anomalous:
            return None
        rule = f"{metric} needs normal and anomalous samples"
        return Undefined(rule, f"{normal} and {anomalous}", "add the missing class")


def metrics_of_counts(
    values: Float[np.ndarray, "samples"],
    anomalous: Float[np.ndarray, "anomalous"],
    shares: Float[np.ndarray, "anomalous"],
    regions: int,
) -> ScoreCounts:
    """Count by sorting; ``values`` are all scores, ``anomalous`` those of them that are, ``shares`` 1 / region area."""
    distinct, counts = np.unique(values, return_counts=True)
    at = np.searchsorted(distinct, anomalous)
    hits = np.bincount(at, minlength=len(distinct))
    # Without samples bincount counts in integers, weights or not.
    overlap = np.bincount(at, shares, len(distinct)).astype(np.float64)
    return ScoreCounts(distinct, counts - hits, hits, overlap, regions)


def tally_scores(scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
    """Count scores and labels in double precision, after checking them."""
    values, truth = paired_scores(scores, labels)
    return metrics_of_counts(values, values[truth], np.zeros(int(truth.sum())), 0)


def from_above(counts: np.ndarray) -> np.ndarray:
    """How many samples are at or above each value, the highest value first; values are along the last axis."""
    return np.cumsum(counts[..., ::-1], axis=-1)


def defined(result: float | Undefined) -> float:
    """The number.

    Raises:
        InputError: there is none.
    """
    if isinstance(result, Undefined):
        raise InputError(result.rule, result.value, result.remedy)
    return result


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
