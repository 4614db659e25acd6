"""Zero-shot detection on labelled data, by the project's own evaluation, beside controls.

    python -m benchmarks.embedded detectors --data LAYOUT:PATH --controls --out runs/embedded

Controls are the same detector on random weights, and the CNN of the stem without the tower
(:mod:`benchmarks.embedded.neighbours`). What has been evaluated is not evaluated again.
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zsad
from benchmarks.embedded import neighbours
from benchmarks.embedded.markdown import leave, percent, table
from benchmarks.embedded.rows import METRICS, Row, check, defining, mean, row
from zsad import demo
from zsad.backbones.config import RANDOM
from zsad.checkpoint import trained_state
from zsad.cli.evaluate import Bars, resolution
from zsad.data.specification import DataSet, data_set
from zsad.files import unique_name
from zsad.loading import DEFAULT_DETECTOR
from zsad.predictor import Detector
from zsad.results.schema import TITLES

EVALUATIONS = "evaluations"


def add(verbs: Any) -> None:
    """Add the command."""
    parser: ArgumentParser = verbs.add_parser("detectors", help="zero-shot detection, beside controls")
    parser.add_argument("--data", nargs="+", default=[], metavar="[NAME=]LAYOUT:PATH")
    parser.add_argument("--elpv", action="store_true", help="also the solar cells of the package elpv-dataset")
    parser.add_argument("--detector", nargs="+", default=[DEFAULT_DETECTOR], metavar="NAME|DIR")
    parser.add_argument("--controls", action="store_true", help="also random weights, and the CNN alone")
    parser.add_argument(
        "--beside", nargs="+", type=labelled, default=[], metavar="LABEL=DIR", help="evaluations that are there already"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--resolution", type=resolution, default=518, metavar="PX|own", help="as of zsad evaluate")
    parser.add_argument("--max-images", type=int, metavar="N", help="images of each class and state, drawn with seed 0")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="default: 1000")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="default: 8")
    parser.add_argument("--overwrite", action="store_true", help="evaluate again what other weights have left")
    parser.set_defaults(run=run)


def run(options: Namespace) -> None:
    """Evaluate what is missing, and print the tables."""
    data = [data_set(one) for one in [*options.data, *([f"elpv:{demo.photographs()}"] if options.elpv else [])]]
    names, taken, rows = [one.name for one in data], set[str](), []
    for label, detector in entrants(options.detector, options.controls, options.batch_size):
        folder = options.out / EVALUATIONS / unique_name(label, taken, "detector")
        for one in data:
            evaluate(detector, one, folder / one.name, options)
        rows.append(row(label, folder, names))
    rows += [row(label, folder, names) for label, folder in options.beside]
    check(rows)
    leave("detectors", text(rows), numbers(rows), options.out)


def labelled(words: str) -> tuple[str, Path]:
    """``LABEL=DIR``.

    >>> labelled("before=runs/a=b")[0]
    'before'
    """
    label, equals, folder = words.partition("=")
    if not (label and equals and folder):
        raise ArgumentTypeError(f"{words!r} is no LABEL=DIR")
    return label, Path(folder)


def entrants(detectors: Sequence[str], controls: bool, batch_size: int) -> Iterator[tuple[str, Detector]]:
    """What is evaluated; one that has been trained has no counterpart on random weights."""
    loaded = [zsad.load(one, batch_size=batch_size) for one in detectors]
    yield from ((one.name, one) for one in loaded)
    if not controls:
        return
    for name, one in zip(detectors, loaded, strict=True):
        if not trained_state(one.method):
            yield f"{one.name}, random weights", zsad.load(name, weights=RANDOM, batch_size=batch_size)
    yield "CNN alone, nearest neighbours", neighbours.of(loaded[0])


def evaluate(detector: Detector, data: DataSet, folder: Path, options: Namespace) -> None:
    """Hold a detector against a data set, in a folder of its own."""
    bars = Bars()
    try:
        zsad.evaluate(
            detector,
            [data],
            folder,
            resolution=options.resolution,
            max_images=options.max_images,
            resamples=options.resamples,
            overwrite=options.overwrite,
            watch=bars.show,
        )
    finally:
        bars.close()


def text(rows: Sequence[Row]) -> str:
    """A table a metric, and what a reader must know."""
    tables = [_table(rows, name) for name in METRICS if defining(rows, name)]
    return "\n\n".join([*tables, "\n".join(_notes(rows))])


def numbers(rows: Sequence[Row]) -> dict[str, object]:
    """All of it as fractions."""
    return {"protocol": asdict(rows[0].evaluation.protocol), "rows": [_numbers(rows, one) for one in rows]}


def _table(rows: Sequence[Row], name: str) -> str:
    """Data sets, their mean, and how far the first row is above each other one in it."""
    sets, confidence = defining(rows, name), rows[0].evaluation.protocol.confidence
    head = [TITLES[name], *sets, *(["mean"] if len(sets) > 1 else []), "first row less this one"]
    lines = []
    for one in rows:
        cells = [percent(one.metric(data, name)) for data in sets]
        if len(sets) > 1:
            cells.append(percent(mean(one, name, sets, confidence)))
        less = "" if one is rows[0] else percent(mean(rows[0], name, sets, confidence, less=one), signed=True)
        lines.append([one.label, *cells, less])
    return table(head, lines)


def _numbers(rows: Sequence[Row], one: Row) -> dict[str, object]:
    confidence = one.evaluation.protocol.confidence
    sets = {name: defining(rows, name) for name in METRICS}
    return {
        "label": one.label,
        "detector": asdict(one.evaluation.detector),
        "version": one.evaluation.version,
        "data_sets": {data: {name: asdict(one.metric(data, name)) for name in METRICS} for data in one.found},
        "means": {name: asdict(mean(one, name, sets[name], confidence)) for name in METRICS},
        "first_row_less_this_one": {
            name: asdict(mean(rows[0], name, sets[name], confidence, less=one)) for name in METRICS
        },
    }


def _notes(rows: Sequence[Row]) -> list[str]:
    first, protocol = rows[0], rows[0].evaluation.protocol
    at = f"{protocol.resolution}×{protocol.resolution} px" if protocol.resolution else "each image's own size"
    counted = []
    for name in first.found:
        classes = first.result(name).classes
        states = [sum(getattr(one, state) for one in classes) for state in ("normal", "anomalous", "unlabelled")]
        counted.append(
            f"{name} {states[0]:,} normal and {states[1]:,} anomalous" + f", {states[2]:,} left out" * bool(states[2])
        )
    return [
        f"* Percent; in brackets the {100 * protocol.confidence:g} % bootstrap interval over images; maps and masks "
        f"compared at {at}; classes count alike, and so do data sets in a mean.",
        f"* Images: {'; '.join(counted)}.",
        *(f"* {one.label}: {_subject(one)}." for one in rows),
        *_warnings(rows),
    ]


def _warnings(rows: Sequence[Row]) -> list[str]:
    """What evaluations say of themselves, each sentence once, with the data sets, and the rows where not all say it."""
    said: dict[str, dict[str, list[str]]] = {}
    for one in rows:
        for name in one.found:
            for words in one.result(name).warnings:
                said.setdefault(words, {}).setdefault(name, []).append(one.label)
    places = {
        words: [name if len(by) == len(rows) else f"{name} ({', '.join(by)})" for name, by in found.items()]
        for words, found in said.items()
    }
    return [f"* {', '.join(names)}: {words}" for words, names in places.items()]


def _subject(row: Row) -> str:
    who = row.evaluation.detector
    return f"{who.method} on {who.backbone}, {who.weights}, {who.image_size} px, fingerprint {who.fingerprint[:12]}"
