"""Evaluations and comparisons for a terminal of 80 columns, in percent."""

from collections.abc import Sequence
from textwrap import wrap

from zsad.results.schema import METRICS, TITLES, ClassResult, DataSetResult, DetectorInfo
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


def evaluation_table(found: DataSetResult, confidence: float) -> str:
    """One line a class, the mean and its interval, and why there is no number where there is none.

    Args:
        found: of a data set.
        confidence: of its intervals.
    """
    lines = [
        _cut(found.name) + "".join(f" {f' {level} ':-^{_wide(level) - 1}}" for level in ("image", "pixel")),
        _cut("class") + "".join(f"{title:>{width}}" for title, width in COLUMNS.values()),
        *(_line(one.class_name, [_percent(one.metrics[name].value) for name in COLUMNS]) for one in found.classes),
        _line("mean", [_percent(found.means[name].value) for name in COLUMNS]),
    ]
    if any(metric.low is not None for metric in found.means.values()):
        lines.append(_line(f"{100 * confidence:g} % from", [_bound(found.means[name].low) for name in COLUMNS]))
        lines.append(_line("to", [_bound(found.means[name].high) for name in COLUMNS]))
    return "\n".join([*lines, *(line for note in _notes(found) for line in wrap(note, WIDTH, subsequent_indent="  "))])


def _notes(found: DataSetResult) -> list[str]:
    """Which numbers are missing and why, and which means leave out classes."""
    missing: dict[tuple[str, str], list[str]] = {}
    for one in found.classes:
        for reason, names in _reasons(one).items():
            missing.setdefault((", ".join(names), reason), []).append(one.class_name)
    notes = [f"n/a: {names} of {', '.join(classes)}: {reason}" for (names, reason), classes in missing.items()]
    means = found.means
    for over in sorted({means[name].classes for name in METRICS} - {0, len(found.classes)}):
        titles = ", ".join(TITLES[name] for name in METRICS if means[name].classes == over)
        notes.append(f"Means over {over} of {len(found.classes)} classes: {titles}")
    return notes


def _reasons(one: ClassResult) -> dict[str, list[str]]:
    """Titles of the metrics that a class does not define, by the reason."""
    found: dict[str, list[str]] = {}
    for name in METRICS:
        if one.metrics[name].value is None:
            # "AUROC needs both" and "PRO needs both" are one reason.
            _, needs, rest = one.metrics[name].reason.partition("needs ")
            found.setdefault(needs + rest or one.metrics[name].reason, []).append(TITLES[name])
    return found


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


def comparison_table(found: Comparison) -> str:
    """What was compared, the mean of each data set, its classes, and how to read it."""
    a, b = found.shown
    head = [f"A  {_title(found.a, a)}", f"B  {_title(found.b, b)}"]
    parts = ["\n".join(head), *(_compared_set(one, found.confidence) for one in found.data_sets), _legend(found)]
    said = [f"! {one}" for one in found.warnings]
    said += [f"Left out: {name}: {why}." for name, why in found.left_out.items()]
    return "\n\n".join([*parts, *(["\n".join(_wrapped(said))] if said else [])])


def _title(who: Sequence[DetectorInfo], shown: Sequence[str]) -> str:
    pairs = zip(who, shown or [""] * len(who), strict=True)
    names = list(dict.fromkeys(f"{one.name} ({words})" if words else one.name for one, words in pairs))
    several = f" ({len(who)} evaluations)" if len(who) > 1 else ""
    return "\n   ".join(wrap(", ".join(names) + several, WIDTH - 3))


def _compared_set(found: ComparedSet, confidence: float) -> str:
    only = found.classes[0]
    what = f"mean of {len(found.classes)} classes" if len(found.classes) > 1 else f"its class {only.class_name}"
    counts = (
        f"{sum(one.normal for one in found.classes)} normal, {sum(one.anomalous for one in found.classes)} anomalous"
    )
    lines = _wrapped([f"{found.name}, {what}, {counts}"])
    lines.append(MEAN.format("", "A", "B", "B - A", f"{100 * confidence:g} % interval", "p", "").rstrip())
    lines += [_mean_line(TITLES[name], found.means[name]) for name in METRICS]
    over = {name: found.means[name].classes for name in METRICS}
    fewer = [f"{TITLES[name]}: over {count} classes" for name, count in over.items() if 0 < count < len(found.classes)]
    return "\n".join([*lines, *_wrapped(fewer), *(_class_differences(found) if len(found.classes) > 1 else [])])


def _mean_line(title: str, one: Difference) -> str:
    interval = "" if one.low is None else f"{_signed(one.low)} to {_signed(one.high)}"
    p = "" if one.p is None else f"{one.p:.3f}"
    verdict = one.verdict if one.difference is not None else ""
    return MEAN.format(title, _percent(one.a), _percent(one.b), _signed(one.difference), interval, p, verdict).rstrip()


def _class_differences(found: ComparedSet) -> list[str]:
    """Differences, those that are shown with a star."""
    room = WIDTH - CELL * len(METRICS)
    lines = ["", "B - A".ljust(room) + f" {' image ':-^{3 * CELL - 2}} {' pixel ':-^{5 * CELL - 1}}".rstrip()]
    lines.append("class".ljust(room) + "".join(f"{COLUMNS[name][0]:>{CELL - 1}} " for name in METRICS).rstrip())
    for one in found.classes:
        name = printable(one.class_name)
        name = name if len(name) < room else name[: room - 2] + "…"
        lines.append((name.ljust(room) + "".join(_cell(one.metrics[metric]) for metric in METRICS)).rstrip())
    return lines


def _cell(one: Difference) -> str:
    star = "*" if one.verdict in (A_BETTER, B_BETTER) else " "
    return f"{_signed(one.difference):>{CELL - 1}}{star}"


def _legend(found: Comparison) -> str:
    at = found.protocol.resolution
    where = f"{at}×{at} px" if at else "each image's own size"
    several = len(found.a) > 1 or len(found.b) > 1
    what = "evaluations and images" if several else "images"
    said = [
        f"Percent; maps and masks compared at {where}.",
        f"{found.resamples} resamples of the {what}, with the same images for A and B; p is two-sided.",
    ]
    if any(len(one.classes) > 1 for one in found.data_sets):
        said.append(
            f"*: shown with {100 * found.confidence:g} % confidence, after Holm's correction for the number of classes."
        )
    said.append("Nothing is corrected for the number of metrics or data sets: say beforehand which one counts.")
    return "\n".join(_wrapped([" ".join(said)], indent=""))


def _wrapped(said: Sequence[str], indent: str = "  ") -> list[str]:
    return [line for one in said for line in wrap(one, WIDTH, subsequent_indent=indent)]


def _signed(value: float | None) -> str:
    """With its sign; what is rounded to nothing has none."""
    if value is None:
        return "n/a"
    return "0.0" if abs(value) < 0.0005 else f"{100 * value:+.1f}"
