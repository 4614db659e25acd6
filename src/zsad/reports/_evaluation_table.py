"""The tables on the page of an evaluation. Scripts make them sortable; nothing else needs any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from zsad.results.schema import IMAGE_METRICS, METRICS, PIXEL_METRICS, TITLES, ClassResult, DataSetResult, Metric
from zsad.wording import pluralised

UNMEASURED = Metric(None, reason="this evaluation did not measure it")

IMAGES = ("normal", "anomalous", "without mask", "unreadable")


@dataclass(frozen=True)
class TableRow:
    """A line of a table.

    Attributes:
        name: HTML of its first cell.
        key: the name that it is sorted and filtered by.
        metrics: by the names of ``METRICS``.
        images: numbers, as ``IMAGES`` names them.
        seconds: an image; None where there is none.
        of: among how many classes a mean was to be taken; 1 for a class.
    """

    name: str
    key: str
    metrics: Mapping[str, Metric]
    images: tuple[int, int, int, int]
    seconds: float | None
    of: int = 1


def overview(data_sets: Sequence[DataSetResult], links: Sequence[str]) -> str:
    """The means of all data sets, a line each, linked to what was found of its classes."""
    rows = [
        total(found, f'<a href="#{link}">{escape(found.name)}</a>', found.name)
        for found, link in zip(data_sets, links, strict=True)
    ]
    return table("Means of the data sets, each class counting alike", "data set", rows, None, "overview")


def of_classes(found: DataSetResult, links: Sequence[str], place: str) -> str:
    """The classes of a data set, each linked to more about it, and their mean."""
    rows = [
        TableRow(
            f'<a href="#{link}">{escape(one.class_name)}</a>{doubt([one])}',
            one.class_name,
            one.metrics,
            images_of(one),
            seconds_of([one]),
        )
        for one, link in zip(found.classes, links, strict=True)
    ]
    mean = total(found, f"mean of {pluralised(len(rows), 'class', 'classes')}", "")
    return table(f"{found.name}: what was found of each class", "class", rows, mean, place)


def total(found: DataSetResult, name: str, key: str) -> TableRow:
    """A data set as one line: its means, and the sums of its images."""
    normal, anomalous, without_mask, unreadable = (
        sum(numbers) for numbers in zip(*map(images_of, found.classes), strict=True)
    )
    images = normal, anomalous, without_mask, unreadable
    marked = name + doubt(found.classes)
    return TableRow(marked, key, found.means, images, seconds_of(found.classes), len(found.classes))


def doubt(found: Sequence[ClassResult]) -> str:
    """A mark for numbers that rest on images which the detector had seen; empty where there is none."""
    return ' <span class="badge bad">seen in training</span>' if any(one.seen_in_training for one in found) else ""


def images_of(found: ClassResult) -> tuple[int, int, int, int]:
    """As ``IMAGES`` names them."""
    return found.normal, found.anomalous, found.without_mask, len(found.unreadable)


def seconds_of(found: Sequence[ClassResult]) -> float | None:
    """For an image, on average; None where there is no image."""
    images = sum(one.normal + one.anomalous for one in found)
    return sum(one.seconds for one in found) / images if images else None


def table(caption: str, first: str, rows: Sequence[TableRow], mean: TableRow | None, place: str) -> str:
    """A table with what its n/a mean below it.

    Args:
        caption: what it shows.
        first: title of the first column.
        rows: its lines.
        mean: the last line, which sorting leaves where it is.
        place: begins the names of the footnotes, which no other table of the page has.
    """
    every = [*rows, *([mean] if mean else [])]
    found = [row.metrics.get(name, UNMEASURED) for row in every for name in METRICS]
    reasons = list(dict.fromkeys(metric.reason or UNMEASURED.reason for metric in found if metric.value is None))
    lines = [_line(row, reasons, place) for row in every]
    foot = f"<tfoot>{lines.pop()}</tfoot>" if mean else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table><caption class="unseen">{escape(caption)}</caption>{_head(first)}'
        f"<tbody>{''.join(lines)}</tbody>{foot}</table></div>{_footnotes(reasons, place)}"
    )


def percent(value: float) -> str:
    """A fraction for people, in percent with one decimal.

    >>> percent(0.98765)
    '98.8'
    """
    return f"{100 * value:.1f}"


def interval(metric: Metric) -> str:
    """From where to where a metric may be, in percent; empty where that is not known.

    >>> interval(Metric(0.5, 0.401, 0.6))
    '40.1–60.0'
    """
    return "" if metric.low is None or metric.high is None else f"{percent(metric.low)}–{percent(metric.high)}"


def _head(first: str) -> str:
    groups = (
        f'<th scope="col" rowspan="2" data-text>{first}</th>'
        f'<th scope="colgroup" colspan="{len(IMAGE_METRICS)}">image, %</th>'
        f'<th scope="colgroup" colspan="{len(PIXEL_METRICS)}">pixel, %</th>'
        f'<th scope="colgroup" colspan="{len(IMAGES)}">images</th>'
        '<th scope="col" rowspan="2" title="reading, the detector, and counting">seconds an image</th>'
    )
    names = [TITLES[name].removeprefix("image ").removeprefix("pixel ") for name in METRICS]
    starts = IMAGE_METRICS[0], PIXEL_METRICS[0], IMAGES[0]
    titles = "".join(
        f'<th scope="col"{" class=start" if key in starts else ""}>{name}</th>'
        for key, name in zip((*METRICS, *IMAGES), (*names, *IMAGES), strict=True)
    )
    return f"<thead><tr>{groups}</tr><tr>{titles}</tr></thead>"


def _line(row: TableRow, reasons: Sequence[str], place: str) -> str:
    metrics = "".join(
        _cell(row.metrics.get(name, UNMEASURED), row.of, reasons, place, name in (IMAGE_METRICS[0], PIXEL_METRICS[0]))
        for name in METRICS
    )
    images = "".join(
        f'<td data-value="{number}"{"" if position else " class=start"}>{number:,}</td>'
        for position, number in enumerate(row.images)
    )
    seconds = '<td class="start">–</td>'
    if row.seconds is not None:
        seconds = f'<td class="start" data-value="{row.seconds!r}">{row.seconds:.2f}</td>'
    return f'<tr data-key="{escape(row.key)}"><th scope="row">{row.name}</th>{metrics}{images}{seconds}</tr>'


def _cell(metric: Metric, of: int, reasons: Sequence[str], place: str, starts: bool) -> str:
    start = " class=start" if starts else ""
    if metric.value is None:
        reason = metric.reason or UNMEASURED.reason
        number = reasons.index(reason) + 1
        note = f'<sup><a href="#{place}-note-{number}">{number}</a></sup>'
        return f'<td{start}><abbr title="{escape(reason)}">n/a</abbr>{note}</td>'
    below = "".join(f"<small>{words}</small>" for words in (interval(metric), _over(metric, of)) if words)
    return f'<td{start} data-value="{metric.value!r}">{percent(metric.value)}{below}</td>'


def _over(metric: Metric, of: int) -> str:
    return f"over {metric.classes} of {of}" if metric.classes < of else ""


def _footnotes(reasons: Sequence[str], place: str) -> str:
    if not reasons:
        return ""
    items = "".join(
        f'<li id="{place}-note-{number}">n/a: {escape(reason)}</li>' for number, reason in enumerate(reasons, 1)
    )
    return f'<ol class="footnotes">{items}</ol>'
