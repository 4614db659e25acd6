"""The numbers of a data set for a terminal of 80 columns, in percent."""

from collections.abc import Sequence
from textwrap import wrap

from zsad.evaluator.results import METRICS, TITLES, ClassResult, DataSetResult
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


def table(found: DataSetResult, confidence: float) -> str:
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
