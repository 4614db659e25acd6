"""A comparison for a terminal of 80 columns, in percent."""

from collections.abc import Sequence
from textwrap import wrap

from zsad.evaluator.comparison import ComparedSet, Comparison
from zsad.evaluator.differences import A_BETTER, B_BETTER, Difference
from zsad.evaluator.results import METRICS, TITLES, DetectorInfo
from zsad.evaluator.table import COLUMNS, WIDTH
from zsad.wording import printable

MEAN = "{:<13}{:>7}{:>7}{:>8}  {:<16}{:>6}  {}"
CELL = 8
"""Width of the column of a metric."""


def text(found: Comparison) -> str:
    """What was compared, the mean of each data set, its classes, and how to read it."""
    a, b = found.shown
    head = [f"A  {_title(found.a, a)}", f"B  {_title(found.b, b)}"]
    parts = ["\n".join(head), *(_data_set(one, found.confidence) for one in found.data_sets), _legend(found)]
    said = [f"! {one}" for one in found.warnings]
    said += [f"Left out: {name}: {why}." for name, why in found.left_out.items()]
    return "\n\n".join([*parts, *(["\n".join(_wrapped(said))] if said else [])])


def _title(who: Sequence[DetectorInfo], shown: Sequence[str]) -> str:
    pairs = zip(who, shown or [""] * len(who), strict=True)
    names = list(dict.fromkeys(f"{one.name} ({words})" if words else one.name for one, words in pairs))
    several = f" ({len(who)} evaluations)" if len(who) > 1 else ""
    return "\n   ".join(wrap(", ".join(names) + several, WIDTH - 3))


def _data_set(found: ComparedSet, confidence: float) -> str:
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
    return "\n".join([*lines, *_wrapped(fewer), *(_classes(found) if len(found.classes) > 1 else [])])


def _mean_line(title: str, one: Difference) -> str:
    interval = "" if one.low is None else f"{_signed(one.low)} to {_signed(one.high)}"
    p = "" if one.p is None else f"{one.p:.3f}"
    verdict = one.verdict if one.difference is not None else ""
    return MEAN.format(title, _percent(one.a), _percent(one.b), _signed(one.difference), interval, p, verdict).rstrip()


def _classes(found: ComparedSet) -> list[str]:
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


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    """With its sign; what is rounded to nothing has none."""
    if value is None:
        return "n/a"
    return "0.0" if abs(value) < 0.0005 else f"{100 * value:+.1f}"
