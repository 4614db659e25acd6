"""``zsad data check LAYOUT:PATH...``: whether data sets are complete, readable, and apart from each other."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING

from zsad.cli import data_draw
from zsad.runtime import RuntimeConfig
from zsad.wording import say, shorten_middle

if TYPE_CHECKING:
    from zsad.data.checking.check import Checked, CheckedSet, ClassCount, Finding, RecordedTraining

DESCRIPTION = """Find files that are missing, unreadable, unpaired, duplicated or of the wrong size, also across data
sets. Exit status: 0 no errors, 1 errors that make results wrong, 2 the check could not run."""

MAX_CASES = 3
"""Cases that are named of a finding."""


def configure(parser: ArgumentParser) -> None:
    """Add the two parts of the command."""
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True)
    data_draw.configure(parts.add_parser("draw", help="draw a data set of defects to train on"))
    _configure_check(parts.add_parser("check", help="find errors in data sets"))


def _configure_check(parser: ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("data", nargs="+", metavar="[NAME=]LAYOUT:PATH", help="data set (zsad datasets)")
    parser.add_argument(
        "--train",
        action="append",
        default=[],
        metavar="LAYOUT:PATH",
        help="training data: images shared with the rest are errors",
    )
    parser.add_argument(
        "--detector",
        action="append",
        default=[],
        metavar="DIR|NAME",
        help="trained detector: images that it has seen are errors",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON, with all cases of every finding")
    RuntimeConfig.add_options(parser, "workers")
    parser.set_defaults(run=run)


def run(options: Namespace) -> int:
    """Check, and print the findings."""
    from tqdm import tqdm

    from zsad.data.checking.check import check

    checked = check(
        options.data,
        options.train,
        [_training(folder) for folder in options.detector],
        RuntimeConfig.from_options(options).workers,
        lambda facts, total: tqdm(facts, total=total, unit="image", disable=None),
    )
    say(json.dumps(as_json(checked), indent=2) if options.json else "\n".join(as_text(checked, _width())))
    return 1 if checked.has_errors else 0


def _training(detector: str) -> "RecordedTraining":
    """Of a folder, or of what the package brings for the name of a method."""
    from zsad import checkpoint, methods, shipped
    from zsad.data.checking.check import RecordedTraining

    heads = shipped.heads(detector) if detector in methods.names() else []
    folder = shipped.head(detector, heads[0]) if heads else Path(detector)
    checkpoint.read(folder)  # says so where this is no detector
    record = checkpoint.read_training_record(folder)
    return RecordedTraining(folder.resolve().name, frozenset(record.seen), tuple(record.training.get("classes", ())))


def _width() -> int:
    return max(get_terminal_size().columns, 40)


def as_json(checked: "Checked") -> dict[str, object]:
    """Everything, in numbers, strings, lists and objects; of each finding also what its kind means."""
    from zsad.data.checking.findings import KINDS

    findings = [asdict(finding) | {"means": KINDS[finding.kind]} for finding in checked.findings]
    return {"data_sets": [asdict(data_set) for data_set in checked.data_sets], "findings": findings}


def as_text(checked: "Checked", width: int) -> Iterator[str]:
    """Lines of at most ``width`` characters: each data set with its findings, then those between data sets."""
    for data_set in checked.data_sets:
        yield _title(data_set, width)
        yield from _table(data_set.classes, width)
        own = [finding for finding in checked.findings if finding.data_sets == (data_set.name,)]
        yield from _findings(own, width)
        yield ""
    between = [finding for finding in checked.findings if len(finding.data_sets) > 1]
    if between:
        yield "between data sets"
        yield from _findings(between, width)
        yield ""
    yield _summary(checked)


def _title(data_set: "CheckedSet", width: int) -> str:
    name = shorten_middle(data_set.name, width // 2)
    role = ", trained on" if data_set.is_trained_on else ""
    where = "" if data_set.name == data_set.specification else f": {data_set.specification}"
    return shorten_middle(f"{name}{role}{where}", width)


def _table(classes: Sequence["ClassCount"], width: int) -> Iterator[str]:
    """A line for each class."""
    if not classes:
        return
    states = ["train", "normal", "anomalous", *(["unlabelled"] if any(counts.unlabelled for counts in classes) else [])]
    rows = [[counts.class_name, *(_cell(counts, state) for state in states), f"{counts.masks}"] for counts in classes]
    heads = ["class", *states, "masks"]
    widths = [max(len(row[number]) for row in [heads, *rows]) for number in range(1, len(heads))]
    room = width - 2 - sum(widths) - 2 * len(widths)
    first = min(max(len(row[0]) for row in [heads, *rows]), max(room, 8))
    for name, *cells in [heads, *rows]:
        right = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
        yield f"  {shorten_middle(name, first):<{first}}{right}"


def _cell(counts: "ClassCount", state: str) -> str:
    """The number of images, and the published one where it is known."""
    there, published = getattr(counts, state), getattr(counts.published, state, None)
    return f"{there} of {published}" if published or (there and published == 0) else f"{there}"


def _findings(findings: Sequence["Finding"], width: int) -> Iterator[str]:
    if not findings:
        yield "  nothing found"
    order = ("error", "warning", "note")
    for finding in sorted(findings, key=lambda finding: order.index(finding.severity)):
        head = f"  {finding.severity:<9}"
        yield from wrap(
            f"{finding.kind}: {finding.message}",
            width,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        )
        for case in finding.cases[:MAX_CASES]:
            yield from _case(case.subject, case.detail, width)
        if len(finding.cases) > MAX_CASES:
            yield f"{'':13}… and {len(finding.cases) - MAX_CASES:,} more (--json names all)"


def _case(subject: str, detail: str, width: int) -> list[str]:
    """In one line if it fits, else in two."""
    line = f"{'':13}{subject}  {detail}".rstrip()
    if len(line) <= width:
        return [line]
    lines = [f"{'':13}{shorten_middle(subject, width - 13)}"]
    return [*lines, f"{'':15}{shorten_middle(detail, width - 15)}"] if detail else lines


def _summary(checked: "Checked") -> str:
    from zsad.wording import pluralised

    numbers = [
        pluralised(sum(finding.severity == severity for finding in checked.findings), severity)
        for severity in ("error", "warning", "note")
    ]
    return f"{pluralised(len(checked.data_sets), 'data set')}: {', '.join(numbers)}"
