"""Checks of data sets before they are evaluated on: complete, readable, and free of leakage.

    specifications -> DataSet -> SampleFacts of every image -> class counts and findings

Every image and mask is decoded completely, once; a few hundred bytes of each stay in memory. Copies are found by their
decoded pixels, in any lossless format; an image that was compressed again, scaled or rotated counts as another image.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zsad.config import check_workers
from zsad.data.checking.counts import ClassCount, class_counts, count_findings
from zsad.data.checking.findings import Finding, FindingCase
from zsad.data.checking.ground_truth import ground_truth_findings
from zsad.data.checking.inspection import InspectedDataSet, SampleFacts, inspect
from zsad.data.checking.leakage import (
    RecordedTraining,
    class_names_between,
    copies_between,
    copies_within,
    training_findings,
)
from zsad.data.layouts import Sample
from zsad.data.specification import DataSet, data_set
from zsad.errors import InputError

__all__ = ["Checked", "CheckedSet", "ClassCount", "Finding", "FindingCase", "RecordedTraining", "check"]

Follow = Callable[[Iterable[SampleFacts], int], Iterable[SampleFacts]]
"""Takes the facts and their total number, yields them unchanged, and may report progress."""

Opened = Mapping[str, DataSet | InputError]
"""By specification: the data set, or the error with which its layout refuses the folder."""


@dataclass(frozen=True)
class CheckedSet:
    """A data set that was checked.

    Attributes:
        name: as used in findings.
        specification: as given by the user.
        is_trained_on: whether the user said so.
        classes: counts of each class; () where the folder does not have the layout.
    """

    name: str
    specification: str
    is_trained_on: bool
    classes: tuple[ClassCount, ...]


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        data_sets: in the order they were named.
        findings: those of each data set in that order, then those between data sets.
    """

    data_sets: tuple[CheckedSet, ...]
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        """Whether metrics would be wrong."""
        return any(finding.severity == "error" for finding in self.findings)


def check(
    specifications: Sequence[str],
    trained_on: Sequence[str] = (),
    detectors: Sequence[RecordedTraining] = (),
    workers: int = 2,
    follow: Follow = lambda facts, total: facts,
) -> Checked:
    """Check every image and mask of some data sets, and compare the data sets with each other.

    Args:
        specifications: each ``[NAME=]LAYOUT:PATH``.
        trained_on: data sets, of these or others, that are trained on before testing on the rest.
        detectors: their training images must not be in the data.
        workers: threads that read.
        follow: gets the facts of all images as they are read, with their total number.

    Raises:
        ConfigError: not a specification, or an unknown layout.
        InputError: a path does not exist.
        DependencyError: a format needs an extra that is not installed, such as DICOM.
    """
    check_workers(workers)
    training = [_normalised(specification) for specification in trained_on]
    opened = {
        specification: _open(specification)
        for specification in dict.fromkeys([*map(_normalised, specifications), *training])
    }
    names = _names(opened)
    inspected = _inspect_all(opened, names, training, lambda samples: follow(inspect(samples, workers), len(samples)))
    classes = {data_set_facts.name: class_counts(data_set_facts) for data_set_facts in inspected}
    checked = [CheckedSet(names[key], key, key in training, classes.get(names[key], ())) for key in opened]
    findings = [
        *(_not_the_layout(names[key], error) for key, error in opened.items() if isinstance(error, InputError)),
        *(
            finding
            for data_set_facts in inspected
            for finding in _findings_in(data_set_facts, classes[data_set_facts.name], detectors)
        ),
        *copies_between(inspected),
        *class_names_between(inspected),
    ]
    return Checked(tuple(checked), tuple(findings))


def _inspect_all(
    opened: Opened,
    names: Mapping[str, str],
    training: Sequence[str],
    read: Callable[[list[Sample]], Iterable[SampleFacts]],
) -> list[InspectedDataSet]:
    """All data sets that could be opened, read in one pass."""
    data_sets = {key: data_set for key, data_set in opened.items() if isinstance(data_set, DataSet)}
    facts = iter(list(read([sample for data_set in data_sets.values() for sample in data_set.samples])))
    return [
        InspectedDataSet(names[key], data_set, tuple(islice(facts, len(data_set.samples))), key in training)
        for key, data_set in data_sets.items()
    ]


def _normalised(specification: str) -> str:
    """With a normalised path, so that a data set that is named twice is one."""
    head, _, path = specification.partition(":")
    return f"{head}:{Path(path)}" if path else specification


def _open(specification: str) -> DataSet | InputError:
    """The data set, or the error with which its layout refuses the folder; a missing folder is raised."""
    try:
        return data_set(specification)
    except InputError as error:
        if not Path(specification.partition(":")[2]).exists():
            raise
        return error


def _names(opened: Opened) -> dict[str, str]:
    """A name for each specification; the specification itself where the name is missing or not unique."""
    names = {key: data_set.name if isinstance(data_set, DataSet) else key for key, data_set in opened.items()}
    frequency = Counter(names.values())
    return {key: name if frequency[name] == 1 else key for key, name in names.items()}


def _not_the_layout(name: str, error: InputError) -> Finding:
    return Finding("layout", "error", (name,), str(error))


def _findings_in(
    inspected: InspectedDataSet, classes: tuple[ClassCount, ...], detectors: Sequence[RecordedTraining]
) -> Iterator[Finding]:
    yield from count_findings(inspected, classes)
    yield from ground_truth_findings(inspected)
    yield from copies_within(inspected)
    for detector in detectors:
        yield from training_findings(inspected, detector)
