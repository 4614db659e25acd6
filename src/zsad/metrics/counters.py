"""Where gathered scores are counted: in a table of keys, or in a growing list of all of them."""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from zsad.errors import ConfigError, unknown_name
from zsad.metrics.keys import ONE, SPAN, from_keys, to_keys
from zsad.metrics.tally import Tally, tally_values

Precision = Literal["keys", "float32"]


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
    def tally(self, regions: int) -> Tally:
        """The counts of all samples so far."""


class KeyTable(Counter):
    """Counts by key: 35 MiB as long as scores are in [0, 1], 82 MiB at most, whatever the number of samples."""

    def __init__(self) -> None:
        self._first = 0
        self._allot(ONE + 1)

    def add(
        self,
        values: Float32[np.ndarray, "samples"],
        anomalous: Float32[np.ndarray, "anomalous"],
        shares: Float[np.ndarray, "anomalous"],
    ) -> None:
        keys = to_keys(values)
        if keys.min() < self._first or keys.max() >= self._first + len(self._total):
            self._widen()
        np.add.at(self._total, keys - self._first, 1)
        keys = to_keys(anomalous) - self._first
        np.add.at(self._anomalous, keys, 1)
        np.add.at(self._overlap, keys, shares)

    def merge(self, other: Counter) -> None:
        if not isinstance(other, KeyTable):
            raise _other_precision("keys", "float32")
        if len(other._total) > len(self._total):
            self._widen()
        there = np.flatnonzero(other._total)
        here = there + other._first - self._first
        self._total[here] += other._total[there]
        self._anomalous[here] += other._anomalous[there]
        self._overlap[here] += other._overlap[there]

    def tally(self, regions: int) -> Tally:
        used = np.flatnonzero(self._total)
        anomalous = self._anomalous[used]
        values = from_keys((used + self._first).astype(np.int32))
        return Tally(values, self._total[used] - anomalous, anomalous, self._overlap[used], regions)

    def _allot(self, keys: int) -> None:
        self._total, self._anomalous = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
        self._overlap = np.zeros(keys)

    def _widen(self) -> None:
        """From keys of [0, 1] to keys of all float32."""
        narrow = self._total, self._anomalous, self._overlap
        self._first = -SPAN
        self._allot(ONE + 2 * SPAN + 1)
        for wide, counts in zip((self._total, self._anomalous, self._overlap), narrow, strict=True):
            wide[SPAN : SPAN + len(counts)] = counts


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

    def tally(self, regions: int) -> Tally:
        values, anomalous, shares = map(np.concatenate, (self._values, self._anomalous, self._shares))
        return tally_values(values, anomalous, shares, regions)


def counter(precision: str) -> Counter:
    """An empty counter."""
    kinds: dict[str, type[Counter]] = {"keys": KeyTable, "float32": ValueList}
    if precision not in kinds:
        raise unknown_name("precision", precision, kinds)
    return kinds[precision]()


def _other_precision(ours: str, others: str) -> ConfigError:
    return ConfigError("metrics to merge have one precision", f"{ours} and {others}", "gather all parts with the same")
