"""Evaluations as rows of one table: every row is of the same images, and so is every mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from zsad.errors import InputError
from zsad.results import store
from zsad.results.schema import DataSetResult, Evaluation, Metric
from zsad.statistics.differences import average
from zsad.statistics.intervals import interval
from zsad.statistics.pairing import OpenEvaluation, check_protocols, names, opened

METRICS = ("pixel_auroc", "pixel_pro", "pixel_ap", "image_auroc")
"""What is measured; the first is the one that counts."""
NOT_ALL = "not on all data sets"
Draws = Float[np.ndarray, "draws"]


@dataclass(frozen=True)
class Row:
    """What a detector reaches.

    Attributes:
        label: what the table calls it.
        found: its evaluation of each data set, by name.
    """

    label: str
    found: dict[str, OpenEvaluation]

    @property
    def evaluation(self) -> Evaluation:
        """Any of them: all are of one detector under one protocol."""
        return next(iter(self.found.values())).evaluation

    def result(self, data_set: str) -> DataSetResult:
        """What was found of a data set."""
        return next(one for one in self.found[data_set].evaluation.data_sets if one.name == data_set)

    def metric(self, data_set: str, name: str) -> Metric:
        """Mean over the classes of a data set; no value where it was not looked at."""
        return self.result(data_set).means[name] if data_set in self.found else Metric(None, reason=NOT_ALL)

    def draws(self, data_set: str, name: str) -> Draws | None:
        """The same in each resample; None where there are none."""
        classes = [one for one in self.result(data_set).classes if one.metrics[name].value is not None]
        folders = [self.found[data_set].folders[data_set, one.class_name] for one in classes]
        drawn = [store.read_draws(folder) for folder in folders]
        return np.mean([one[name] for one in drawn], 0) if all(name in one for one in drawn) else None


def row(label: str, folder: Path, data_sets: Sequence[str]) -> Row:
    """What the evaluations of one detector in a folder, at any depth, say of some data sets.

    Raises:
        InputError: they say nothing, something twice, or are of several detectors.
        ConfigError: one of them was written in another format.
    """
    everything = [opened(path.parent) for path in sorted(folder.rglob(store.EVALUATION))]
    known = [(data.name, one) for one in everything for data in one.evaluation.data_sets if data.name in data_sets]
    detectors = {one.evaluation.detector.fingerprint for _, one in known}
    if len(detectors) != 1 or len(dict(known)) != len(known):
        value = f"{len(known)} results of {len(dict(known))} data sets and {len(detectors)} detectors in {folder}"
        raise InputError("a row is one detector, once on each data set", value, "name the folder of one detector")
    return Row(label, {name: dict(known)[name] for name in data_sets if name in dict(known)})


def check(rows: Sequence[Row]) -> None:
    """Rows that stand together are of the same images and truths under the same protocol.

    Raises:
        InputError: they are not.
    """
    evaluations = [one.evaluation for row in rows for one in row.found.values()]
    check_protocols(evaluations)
    if len(confidences := {one.protocol.confidence for one in evaluations}) > 1:
        value = " and ".join(f"{one:g}" for one in sorted(confidences))
        raise InputError("rows of a table have one confidence", value, "evaluate all of them alike")
    for other in rows[1:]:
        for data_set in other.found.keys() & rows[0].found.keys():
            if _truth(rows[0], data_set) != _truth(other, data_set):
                rule = f"the rows are of the same images and masks of {data_set}"
                raise InputError(rule, f"others in {other.label}", "evaluate the same data")


def defining(rows: Sequence[Row], name: str) -> list[str]:
    """The data sets of the first row that define a metric there."""
    return [one for one in rows[0].found if rows[0].metric(one, name).value is not None]


def mean(row: Row, name: str, data_sets: Sequence[str], confidence: float, less: Row | None = None) -> Metric:
    """Mean over data sets, each counting alike, with the interval of the mean of their resamples.

    Args:
        row: a detector.
        name: of the metric.
        data_sets: over which the mean is taken; without one of them there is none.
        confidence: of the interval.
        less: another detector, whose mean is taken off; resamples draw the same images for both.
    """
    value, draws = _mean(row, name, data_sets)
    if less is not None:
        others, theirs = _mean(less, name, data_sets)
        value = None if value is None or others is None else value - others
        draws = draws - theirs if draws is not None and theirs is not None and len(draws) == len(theirs) else None
    if value is None:
        return Metric(None, reason=NOT_ALL, classes=0)
    low, high = (None, None) if draws is None else interval(draws, confidence)
    return Metric(value, low, high, classes=len(data_sets))


def _mean(row: Row, name: str, data_sets: Sequence[str]) -> tuple[float | None, Draws | None]:
    """The mean, and that of the resamples, where each data set has one."""
    value = average([row.metric(one, name).value for one in data_sets])
    if value is None:
        return None, None
    drawn = [draws for one in data_sets if (draws := row.draws(one, name)) is not None]
    return value, np.mean(drawn, 0) if len(drawn) == len(data_sets) else None


def _truth(row: Row, data_set: str) -> list[tuple[object, ...]]:
    """What was looked at, in the order on which resamples depend."""
    one = row.found[data_set]
    classes = [name for name in names(one.evaluation) if name[0] == data_set]
    return [
        (*name, image.content, image.label, image.truth)
        for name in classes
        for image in store.read_images(one.folders[name])
    ]
