"""The page of an evaluation, for a person who must decide whether to believe a number.

It is one file without network, and can be read without scripts: these only sort and filter. What casts doubt on the
numbers comes before them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.memory_bank import summary
from zsad.reports import pages
from zsad.reports.evaluation_class import SIDE, class_section
from zsad.results import store
from zsad.results.schema import (
    FURTHER_TITLES,
    IMAGE_METRICS,
    METRICS,
    PIXEL_METRICS,
    SETTINGS,
    TITLES,
    UNMEASURED,
    ClassResult,
    DataSetResult,
    DetectorInfo,
    Evaluation,
    Metric,
    Protocol,
)
from zsad.wording import pluralised

WORST_IMAGES = 300
"""Worst images shown on a page; with three thumbnails each they stay below 18 MB."""

MOST_OF_CLASS, LEAST_OF_CLASS = 9, 3
"""Worst images shown of a class: at most, and however many classes there are."""


@dataclass(frozen=True)
class TableRow:
    """A line of a table: a class, or the mean of a data set.

    Attributes:
        name: in its first cell.
        link: the anchor that the name leads to; empty where there is none.
        key: the name that it is sorted and filtered by.
        is_seen: whether images were seen in training.
        metrics: in the order of ``METRICS``.
        images: numbers: normal, anomalous, without mask, unreadable.
        seconds: an image; None where there is none.
        classes: among how many a mean was to be taken; 1 for a class.
    """

    name: str
    link: str
    key: str
    is_seen: bool
    metrics: tuple[Metric, ...]
    images: tuple[int, ...]
    seconds: float | None
    classes: int = 1


@dataclass(frozen=True)
class MetricTable:
    """A table of metrics with, below it, why some are n/a.

    Attributes:
        caption: what it shows.
        first: title of the first column.
        rows: its lines.
        mean: the last line, which sorting leaves where it is.
        place: begins the anchors of the footnotes, which no other table of the page has.
    """

    caption: str
    first: str
    rows: tuple[TableRow, ...]
    mean: TableRow | None
    place: str

    @property
    def reasons(self) -> list[str]:
        """Why metrics are n/a, each once."""
        rows = [*self.rows, *([self.mean] if self.mean else [])]
        return list(dict.fromkeys(metric.reason for row in rows for metric in row.metrics if metric.value is None))


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write report.html from an evaluation and the files of its classes in the folder.

    Raises:
        InputError: a file of a class cannot be read, or the page cannot be written.
        ConfigError: a file of a class has unknown, missing or wrong entries.
    """
    content = page(evaluation, store.class_folders(folder)).encode("utf-8", "backslashreplace")
    try:
        write_atomically(folder / store.PAGE, content)
    except OSError as error:
        raise InputError("the output folder must be writable", error, "choose another --out") from error


def page(evaluation: Evaluation, folders: Mapping[tuple[str, str], Path]) -> str:
    """The page as HTML.

    Args:
        evaluation: what it shows.
        folders: where the files of a class lie, by the names of its data set and its own; what is missing is said.
    """
    data_sets = evaluation.data_sets
    places = [f"set-{number}" for number in range(1, len(data_sets) + 1)]
    classes = sum(len(data_set.classes) for data_set in data_sets)
    max_worst = min(MOST_OF_CLASS, max(LEAST_OF_CLASS, WORST_IMAGES // max(1, classes)))
    return pages.rendered(
        "evaluation.html",
        evaluation=evaluation,
        detector=evaluation.detector,
        caveat=pages.caveat(evaluation.detector.backbone, evaluation.detector.weights),
        warnings=_warnings(evaluation),
        facts=_facts(evaluation),
        protocol=in_words(evaluation.protocol),
        overview=_overview(data_sets, places) if len(data_sets) > 1 else None,
        sections=[_section(*pair, folders, max_worst) for pair in zip(data_sets, places, strict=True)],
        columns=_columns(),
        side=SIDE,
    )


def in_words(protocol: Protocol) -> list[str]:
    """A protocol in sentences for people."""
    images = f"Images are those of the split “{protocol.split}”"
    if protocol.max_images is not None:
        images += f", of each class and state {protocol.max_images} at most"
    size = "Maps and masks are compared at each image's own size."
    if protocol.resolution is not None:
        side = protocol.resolution
        size = f"Maps and masks are compared at {side} × {side} px, whatever size an image or the detector has."
    shots = []
    if protocol.shots:
        shots = [
            f"Few-shot: for each class the memory bank holds {pluralised(protocol.shots, 'normal image')} of the train "
            f"split of that class, drawn with seed {protocol.shots_seed}, and none of any other class."
        ]
    further = protocol.further
    intervals = "There are no intervals."
    if protocol.resamples:
        intervals = (
            f"Small numbers below a metric are its {100 * protocol.confidence:g} % bootstrap interval, over "
            f"{protocol.resamples:,} resamples of the images: how far the number may be off for want of images. "
            "PRO-200 has none."
        )
    return [
        f"{images}.",
        *shots,
        size,
        intervals,
        "Means count each class alike, however many images it has; one that does not define a metric is left out.",
        "F1-max is taken at the threshold that is best for the very images it is measured on, so it flatters.",
        "PRO is exact: the mean share of a defect that is found, up to a false positive rate of 0.3.",
        "PRO-200 is PRO as most published code takes it, at 200 thresholds: compare this one with tables in papers.",
        *(["FPR95 is a false positive rate at which 95 % are found: lower is better."] if "fpr95" in further else []),
        "Results of different protocols are not comparable.",
    ]


def _warnings(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names of data sets, and a warning that holds for these."""
    texts = dict.fromkeys(warning for data_set in evaluation.data_sets for warning in data_set.warnings)
    return [
        (", ".join(data_set.name for data_set in evaluation.data_sets if text in data_set.warnings), text)
        for text in texts
    ]


def _facts(evaluation: Evaluation) -> dict[str, str]:
    """What ran, by name."""
    detector = evaluation.detector
    options = ", ".join(f"{name} {value}" for name, value in detector.options.items())
    return {
        "detector": f"{detector.name} ({detector.method})",
        "options": options or "as published",
        "setting": f"{detector.setting}: {SETTINGS[detector.setting]}",
        "backbone": detector.backbone,
        "weights": detector.weights,
        "image size": f"{detector.image_size} px" if detector.image_size else "unknown",
        "precision": f"{detector.precision} on {detector.device}",
        "trained on": _training(detector),
        "memory bank": _memory(evaluation),
        "fingerprint": detector.fingerprint,
        "data sets": "; ".join(f"{data_set.name}: {_size(data_set)}" for data_set in evaluation.data_sets),
        "date": evaluation.created,
        "version": f"zsad {evaluation.version}",
        "machine": evaluation.machine,
    }


def _training(detector: DetectorInfo) -> str:
    if not detector.trained_on:
        return "nothing that is on record"
    classes = ", ".join(f"{name} ({number:,})" for name, number in detector.trained_on.items())
    epochs = [] if detector.epochs is None else [pluralised(detector.epochs, "epoch")]
    seed = [] if detector.seed is None else [f"seed {detector.seed}"]
    return "; ".join([f"{pluralised(sum(detector.trained_on.values()), 'image')}: {classes}", *epochs, *seed])


def _memory(evaluation: Evaluation) -> str:
    """The normal images in the memory bank of the detector."""
    detector, protocol = evaluation.detector, evaluation.protocol
    if protocol.shots:
        images = pluralised(protocol.shots, "normal image")
        return f"{images} of the class that is scored, drawn with seed {protocol.shots_seed}"
    return summary(detector.remembers, detector.memory, detector.unlabelled) or "empty"


def _size(data_set: DataSetResult) -> str:
    images = sum(result.normal + result.anomalous for result in data_set.classes)
    size = f"{pluralised(len(data_set.classes), 'class', 'classes')}, {pluralised(images, 'image')}"
    return size if data_set.layout == data_set.name else f"{size}, laid out as {data_set.layout}"


def _overview(data_sets: Sequence[DataSetResult], places: Sequence[str]) -> MetricTable:
    """The means of all data sets, a line each, linked to their classes."""
    pairs = zip(data_sets, places, strict=True)
    rows = tuple(_mean(data_set, place, data_set.name, data_set.name) for data_set, place in pairs)
    return MetricTable("Means of the data sets, each class counting alike", "data set", rows, None, "overview")


def _section(
    data_set: DataSetResult, place: str, folders: Mapping[tuple[str, str], Path], max_worst: int
) -> dict[str, object]:
    """A data set: its table, linked to its classes."""
    links = [f"{place}-class-{number}" for number in range(1, len(data_set.classes) + 1)]
    rows = tuple(_class_row(result, link) for result, link in zip(data_set.classes, links, strict=True))
    mean = _mean(data_set, "", f"mean of {pluralised(len(rows), 'class', 'classes')}", "")
    caption = f"{data_set.name}: metrics of each class"
    return {
        "place": place,
        "name": data_set.name,
        "size": _size(data_set),
        "table": MetricTable(caption, "class", rows, mean, place),
        "further": _further(data_set),
        "classes": [
            class_section(result, folders.get((data_set.name, result.class_name)), link, max_worst)
            for result, link in zip(data_set.classes, links, strict=True)
        ],
    }


def _further(data_set: DataSetResult) -> tuple[list[str], list[tuple[str, list[Metric]]]] | None:
    """Titles of the metrics that were asked for besides, and these for each class and on average; None without any."""
    if not data_set.further:
        return None
    names = [*data_set.further]
    rows = [
        (result.class_name, [result.further.get(name, UNMEASURED) for name in names]) for result in data_set.classes
    ]
    return [FURTHER_TITLES[name] for name in names], [*rows, ("mean", [data_set.further[name] for name in names])]


def _class_row(result: ClassResult, link: str) -> TableRow:
    return TableRow(
        name=result.class_name,
        link=link,
        key=result.class_name,
        is_seen=bool(result.seen_in_training),
        metrics=_in_order(result.metrics),
        images=_images(result),
        seconds=_seconds([result]),
    )


def _mean(data_set: DataSetResult, link: str, name: str, key: str) -> TableRow:
    """A data set as one line: its means, and the sums of its images."""
    return TableRow(
        name=name,
        link=link,
        key=key,
        is_seen=any(result.seen_in_training for result in data_set.classes),
        metrics=_in_order(data_set.means),
        images=tuple(map(sum, zip(*map(_images, data_set.classes), strict=True))),
        seconds=_seconds(data_set.classes),
        classes=len(data_set.classes),
    )


def _in_order(metrics: Mapping[str, Metric]) -> tuple[Metric, ...]:
    known = [metrics.get(name, UNMEASURED) for name in METRICS]
    return tuple(UNMEASURED if metric.value is None and not metric.reason else metric for metric in known)


def _images(result: ClassResult) -> tuple[int, int, int, int]:
    return result.normal, result.anomalous, result.without_mask, len(result.unreadable)


def _seconds(results: Sequence[ClassResult]) -> float | None:
    """For an image, on average; None where there is no image."""
    images = sum(result.normal + result.anomalous for result in results)
    return sum(result.seconds for result in results) / images if images else None


def _columns() -> dict[str, list[str]]:
    """Titles of the metrics by the level of which they are."""
    return {
        level: [TITLES[name].removeprefix(f"{level} ") for name in names]
        for level, names in (("image", IMAGE_METRICS), ("pixel", PIXEL_METRICS))
    }
