"""Evaluations and comparisons for a terminal of 80 columns, in percent."""

from collections.abc import Sequence
from textwrap import wrap

from zsad.results.schema import (
    FURTHER_TITLES,
    IMAGE_METRICS,
    METRICS,
    PIXEL_METRICS,
    TITLES,
    ClassResult,
    DataSetResult,
    DetectorInfo,
    Evaluation,
)
from zsad.statistics.comparison import ComparedSet, Comparison
from zsad.statistics.differences import A_BETTER, B_BETTER, Difference
from zsad.wording import printable

COLUMNS = {
    "image_auroc": ("AUROC", 8),
    "image_ap": ("AP", 6),
    "image_f1_max": ("F1", 6),
    "pixel_auroc": ("AUROC", 8),
    "pixel_ap": ("AP", 6),
    "pixel_f1_max": ("F1", 6),
    "pixel_pro": ("PRO", 6),
    "pixel_pro_200": ("PRO-200", 9),
}
"""Title and width of the column of each metric."""

NAME = 80 - sum(width for _, width in COLUMNS.values())
WIDTH = 80


def evaluation_table(data_set: DataSetResult, confidence: float) -> str:
    """One line a class, the mean and its interval, and why there is no number where there is none.

    Args:
        data_set: of a data set.
        confidence: of its intervals.
    """
    lines = [
        _cut(data_set.name) + "".join(f" {f' {level} ':-^{_wide(level) - 1}}" for level in ("image", "pixel")),
        _cut("class") + "".join(f"{title:>{width}}" for title, width in COLUMNS.values()),
        *(
            _line(result.class_name, [_percent(result.metrics[name].value) for name in COLUMNS])
            for result in data_set.classes
        ),
        _line("mean", [_percent(data_set.means[name].value) for name in COLUMNS]),
    ]
    if any(metric.low is not None for metric in data_set.means.values()):
        lines.append(_line(f"{100 * confidence:g} % from", [_bound(data_set.means[name].low) for name in COLUMNS]))
        lines.append(_line("to", [_bound(data_set.means[name].high) for name in COLUMNS]))
    return "\n".join(
        [*lines, *(line for note in _notes(data_set) for line in wrap(note, WIDTH, subsequent_indent="  "))]
    )


def detectors_table(evaluations: Sequence[Evaluation], index: int) -> list[str]:
    """One line for the means of each detector, and its setting where that is not zero-shot.

    Args:
        evaluations: of the same data.
        index: of the data set.
    """
    data_set = evaluations[0].data_sets[index]
    lines = [
        _cut(data_set.name) + "".join(f" {f' {level} ':-^{_wide(level) - 1}}" for level in ("image", "pixel")),
        _cut("detector") + "".join(f"{title:>{width}}" for title, width in COLUMNS.values()),
    ]
    for evaluation in evaluations:
        detector, means = evaluation.detector, evaluation.data_sets[index].means
        mark = "" if detector.setting == "zero-shot" else f" ({detector.setting})"
        lines.append(_line(detector.name + mark, [_percent(means[name].value) for name in COLUMNS]))
    return lines


def further_table(data_set: DataSetResult) -> list[str]:
    """The metrics that were asked for besides: a line a class, the mean, and why there is no number."""
    names = [*data_set.further]
    titles = [FURTHER_TITLES[name] for name in names]
    widths = [max(len(title), 6) + 2 for title in titles]
    room = 80 - sum(widths)

    def line(first: str, cells: Sequence[str]) -> str:
        first = printable(first)
        first = first if len(first) <= room else first[: room - 1] + "…"
        return f"{first:<{room}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

    lines = [line("further metrics", titles)]
    lines += [
        line(result.class_name, [_percent(result.further[name].value) for name in names]) for result in data_set.classes
    ]
    lines.append(line("mean", [_percent(data_set.further[name].value) for name in names]))
    reasons = {
        f"n/a: {FURTHER_TITLES[name]}: {result.further[name].reason}"
        for result in data_set.classes
        for name in names
        if result.further[name].value is None
    }
    return [*lines, *_wrapped(sorted(reasons))]


def _notes(data_set: DataSetResult) -> list[str]:
    """Which numbers are missing and why, and which means leave out classes."""
    missing: dict[tuple[str, str], list[str]] = {}
    for result in data_set.classes:
        for reason, names in _reasons(result).items():
            missing.setdefault((", ".join(names), reason), []).append(result.class_name)
    notes = [f"n/a: {names} of {', '.join(classes)}: {reason}" for (names, reason), classes in missing.items()]
    means = data_set.means
    for over in sorted({means[name].classes for name in METRICS} - {0, len(data_set.classes)}):
        titles = ", ".join(TITLES[name] for name in METRICS if means[name].classes == over)
        notes.append(f"Means over {over} of {len(data_set.classes)} classes: {titles}")
    return notes


def _reasons(result: ClassResult) -> dict[str, list[str]]:
    """Titles of the metrics that a class does not define, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name in METRICS:
        if result.metrics[name].value is None:
            # "AUROC needs both" and "PRO needs both" are one reason.
            _, needs, rest = result.metrics[name].reason.partition("needs ")
            reasons.setdefault(needs + rest or result.metrics[name].reason, []).append(TITLES[name])
    return reasons


def _line(name: str, cells: Sequence[str]) -> str:
    widths = (width for _, width in COLUMNS.values())
    return (_cut(name) + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))).rstrip()


def _wide(level: str) -> int:
    """Of the columns of images, or of pixels, together."""
    return sum(width for name, (_, width) in COLUMNS.items() if name.startswith(level))


def _cut(name: str) -> str:
    name = printable(name)
    return f"{name if len(name) <= NAME else name[: NAME - 1] + '…':<{NAME}}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _bound(value: float | None) -> str:
    return "" if value is None else _percent(value)


MEAN = "{:<13}{:>7}{:>7}{:>8}  {:<16}{:>6}  {}"
CELL = 8
"""Width of the column of a metric."""
LEAST_NAME = 16
"""Width of the column of class names, for which a line may be wider than ``WIDTH``."""


def comparison_table(comparison: Comparison) -> str:
    """What was compared, the mean of each data set, its classes, and how to read it."""
    a, b = comparison.shown
    head = [f"A  {_title(comparison.a, a)}", f"B  {_title(comparison.b, b)}"]
    parts = [
        "\n".join(head),
        *(_compared_set(data_set, comparison.confidence) for data_set in comparison.data_sets),
        _legend(comparison),
    ]
    notes = [f"! {warning}" for warning in comparison.warnings]
    notes += [f"Left out: {name}: {why}." for name, why in comparison.left_out.items()]
    return "\n\n".join([*parts, *(["\n".join(_wrapped(notes))] if notes else [])])


def _title(detectors: Sequence[DetectorInfo], shown: Sequence[str]) -> str:
    pairs = zip(detectors, shown or [""] * len(detectors), strict=True)
    names = list(dict.fromkeys(_named(detector, shots) for detector, shots in pairs))
    several = f" ({len(detectors)} evaluations)" if len(detectors) > 1 else ""
    return "\n   ".join(wrap(", ".join(names) + several, WIDTH - 3))


def _named(detector: DetectorInfo, shots: str) -> str:
    """With its setting where that is not zero-shot; the number of shots says so, too."""
    setting = "" if detector.setting == "zero-shot" or (shots and detector.setting == "few-shot") else detector.setting
    said = ", ".join(filter(None, (setting, shots)))
    return f"{detector.name} ({said})" if said else detector.name


def _compared_set(data_set: ComparedSet, confidence: float) -> str:
    only = data_set.classes[0]
    title = f"mean of {len(data_set.classes)} classes" if len(data_set.classes) > 1 else f"its class {only.class_name}"
    normal = sum(result.normal for result in data_set.classes)
    anomalous = sum(result.anomalous for result in data_set.classes)
    counts = f"{normal} normal, {anomalous} anomalous"
    lines = _wrapped([f"{data_set.name}, {title}, {counts}"])
    lines.append(MEAN.format("", "A", "B", "B - A", f"{100 * confidence:g} % interval", "p", "").rstrip())
    lines += [_mean_line(TITLES[name], data_set.means[name]) for name in METRICS]
    over = {name: data_set.means[name].classes for name in METRICS}
    fewer = [
        f"{TITLES[name]}: over {count} classes" for name, count in over.items() if 0 < count < len(data_set.classes)
    ]
    return "\n".join([*lines, *_wrapped(fewer), *(_class_differences(data_set) if len(data_set.classes) > 1 else [])])


def _mean_line(title: str, difference: Difference) -> str:
    interval = "" if difference.low is None else f"{_signed(difference.low)} to {_signed(difference.high)}"
    p = "" if difference.p is None else f"{difference.p:.3f}"
    verdict = difference.verdict if difference.difference is not None else ""
    return MEAN.format(
        title, _percent(difference.a), _percent(difference.b), _signed(difference.difference), interval, p, verdict
    ).rstrip()


def _class_differences(data_set: ComparedSet) -> list[str]:
    """Differences, those that are shown with a star."""
    room = max(LEAST_NAME, WIDTH - CELL * len(METRICS))
    image, pixel = len(IMAGE_METRICS) * CELL - 2, len(PIXEL_METRICS) * CELL - 1
    lines = ["", "B - A".ljust(room) + f" {' image ':-^{image}} {' pixel ':-^{pixel}}"]
    lines.append("class".ljust(room) + "".join(f"{COLUMNS[name][0]:>{CELL - 1}} " for name in METRICS).rstrip())
    for result in data_set.classes:
        name = printable(result.class_name)
        name = name if len(name) < room else name[: room - 2] + "…"
        lines.append((name.ljust(room) + "".join(_cell(result.metrics[metric]) for metric in METRICS)).rstrip())
    return lines


def _cell(difference: Difference) -> str:
    star = "*" if difference.verdict in (A_BETTER, B_BETTER) else " "
    return f"{_signed(difference.difference):>{CELL - 1}}{star}"


def _legend(comparison: Comparison) -> str:
    at = comparison.protocol.resolution
    where = f"{at}×{at} px" if at else "each image's own size"
    several = len(comparison.a) > 1 or len(comparison.b) > 1
    resampled = "evaluations and images" if several else "images"
    sentences = [
        f"Percent; maps and masks compared at {where}.",
        f"{comparison.resamples} resamples of the {resampled}, with the same images for A and B; p is two-sided.",
    ]
    if any(len(data_set.classes) > 1 for data_set in comparison.data_sets):
        sentences.append(
            f"*: shown with {100 * comparison.confidence:g} % confidence, after Holm's correction for the number of "
            f"classes."
        )
    sentences.append("Nothing is corrected for the number of metrics or data sets: say beforehand which one counts.")
    return "\n".join(_wrapped([" ".join(sentences)], indent=""))


def _wrapped(sentences: Sequence[str], indent: str = "  ") -> list[str]:
    return [line for sentence in sentences for line in wrap(sentence, WIDTH, subsequent_indent=indent)]


def _signed(value: float | None) -> str:
    """With its sign; what is rounded to nothing has none."""
    if value is None:
        return "n/a"
    return "0.0" if abs(value) < 0.0005 else f"{100 * value:+.1f}"
