"""Printed tables -> one row per number."""

import csv
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files as resources
from typing import Any, Literal

from zsad.config import from_mapping


@dataclass(frozen=True)
class Pack:
    """A version of a data set whose images differ from those published.

    Attributes:
        about: a description.
        total: normal and anomalous test images of all classes; None if unknown.
    """

    about: str
    total: tuple[int, int] | None


@dataclass(frozen=True)
class PublishedNumber:
    """One number of one table of one paper.

    Attributes:
        paper: the name of the paper's own method.
        table: as numbered in the paper, such as ``"Table 1"``.
        method: the name in this package, not that of the paper; see :func:`zsad.published.methods`.
        variant: of the paper's own method, where the table has several; else ``""``.
        data_set: the name in this package, not that of the paper; see :func:`zsad.published.data_sets`.
        metric: one of ``zsad.published.METRICS``.
        value: in percent, as printed.
        shots: number of normal images given to the method; 0 in zero-shot tables.
        trained_on: data set that the paper's own method was trained on; ``""`` for others and where it is not given.
        backbone: of the paper's own method; ``""`` for others, for which the papers do not give it.
        note: remarks on the number or its data set, in full sentences.
        suspect: why the number or its description is not reliable; ``""`` if nothing is known against it.
        activation: of the backbone of the paper's own method, where it differs from that of the weights.
        options: fields of the method's configuration and training that its authors set otherwise for the data set than
            they are by default.
        pack: the version of the data set; None for the published one.
    """

    paper: str
    table: str
    method: str
    variant: str
    data_set: str
    metric: str
    value: float
    shots: int
    trained_on: str
    backbone: str
    note: str
    suspect: str
    activation: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    pack: Pack | None = None


@dataclass(frozen=True)
class PublishedPaper:
    """A paper with tables in this package.

    Attributes:
        name: that of its own method.
        title, source: of the publication.
        remarks: contradictions between text and tables, and remarks on all of its numbers, in full sentences.
    """

    name: str
    title: str
    source: str
    remarks: tuple[str, ...]


CELL = re.compile(r"(?P<number>\d+(\.\d+)?)(\^(?P<marks>[a-z0-9]+))?( \(\+\d+\.\d\))?")
NOTHING = "-"


@dataclass(frozen=True)
class Grid:
    """A table, or a part of one with a header of its own.

    Attributes:
        table, about: which table, and which part of it.
        rows, columns: the meaning of lines and columns. A method may be followed by a comma and its variant.
        cells: lines of columns separated by ``|``; a second header line if ``metrics_of`` is given. Metrics in one cell
            are separated by ``/``.
        metrics: of every cell, in order.
        metrics_of: the same, by the second header line.
        shots: number of normal images given to the methods.
        note: on all of its numbers.
    """

    table: str
    about: str
    rows: Literal["data set", "method", "variant"]
    columns: Literal["data set", "method"]
    cells: str
    metrics: tuple[str, ...] = ()
    metrics_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shots: int = 0
    note: str = ""


@dataclass(frozen=True)
class PaperTables:
    """The tables of one paper.

    Attributes:
        title, source, remarks: as of :class:`zsad.published._tables.PublishedPaper`.
        method, backbone: of the paper.
        trained_on: training data set of its method, except for test data sets in ``trained_on_for``.
        suspects, notes: the meaning of marks at numbers.
        data_sets: remarks on a data set, by its printed name.
        grids: in the order of the paper.
    """

    title: str
    source: str
    method: str
    backbone: str
    trained_on: str
    trained_on_for: dict[str, str]
    remarks: tuple[str, ...]
    suspects: dict[str, str]
    notes: dict[str, str]
    data_sets: dict[str, str]
    grids: tuple[Grid, ...]


@cache
def all_rows() -> tuple[PublishedNumber, ...]:
    """All numbers of all papers, each with the values of other papers for the same."""
    numbers = [row for name in sorted(files()) for grid in files()[name].grids for row in _rows_of(name, grid)]
    alike = defaultdict(list)
    for row in numbers:
        if not row.variant:
            alike[_key(row)].append(row)
    return tuple(replace(row, note=_joined(row.note, _elsewhere(row, alike[_key(row)]))) for row in numbers)


@cache
def files() -> dict[str, PaperTables]:
    """The files by the names of their papers."""
    files_here = (item for item in resources("zsad.published").iterdir() if item.name.endswith(".toml"))
    texts = {item.name.removesuffix(".toml"): item.read_text(encoding="utf-8") for item in files_here}
    return {name: from_mapping(PaperTables, tomllib.loads(text), f"tables of {name}") for name, text in texts.items()}


def titles(kind: Literal["methods", "data_sets"]) -> dict[str, str]:
    """Display names by our names."""
    return {line[kind.removesuffix("s")]: line["title"] for line in _names(kind)}


@cache
def packs() -> dict[tuple[str, str], Pack]:
    """Versions of data sets that differ from those published, by paper and data set."""
    return {
        (line["paper"], line["data_set"]): Pack(
            line["about"], (int(line["normal"]), int(line["anomalous"])) if line["normal"] else None
        )
        for line in _names("packs")
    }


@cache
def settings() -> dict[tuple[str, str], dict[str, str]]:
    """Settings that the authors of a method publish, by method and data set; ``""`` is all other data sets."""
    return {(line["method"], line["data_set"]): line for line in _names("settings")}


@cache
def _names(kind: str) -> tuple[dict[str, str], ...]:
    text = (resources("zsad.published") / f"{kind}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def _ours(kind: str, paper: str) -> dict[str, str]:
    """Our names by the names in a paper."""
    return {line[paper]: line[kind.removesuffix("s")] for line in _names(kind) if line[paper]}


def _rows_of(paper: str, grid: Grid) -> Iterator[PublishedNumber]:
    names, *lines = [[part.strip() for part in line.split("|")] for line in grid.cells.strip("\n").splitlines()]
    levels = lines.pop(0)[1:] if grid.metrics_of else [""] * len(names[1:])
    for label, *cells in lines:
        for name, level, cell in zip(names[1:], levels, cells, strict=True):
            metrics = grid.metrics_of.get(level, grid.metrics)
            yield from _rows_of_cell(paper, grid, {grid.columns: name} | {grid.rows: label}, metrics, cell)


def _rows_of_cell(
    paper: str, grid: Grid, place: dict[str, str], metrics: tuple[str, ...], cell: str
) -> Iterator[PublishedNumber]:
    file = files()[paper]
    method, _, variant = place.get("method", "").partition(", ")
    method = _ours("methods", paper)[method] if method else file.method
    data_set = _ours("data_sets", paper)[place["data set"]]
    own = method == file.method
    setting = settings().get((method, ""), {}) | settings().get((method, data_set), {})
    for metric, number in zip(metrics, (part.strip() for part in cell.split("/")), strict=True):
        if number == NOTHING:
            continue
        match = CELL.fullmatch(number)
        assert match, f"{paper}, {grid.table}: {number!r}"
        marks = match["marks"] or ""
        notes = [file.notes[mark] for mark in marks if mark in file.notes]
        yield PublishedNumber(
            paper=paper,
            table=grid.table,
            method=method,
            variant=place.get("variant", variant),
            data_set=data_set,
            metric=metric,
            value=float(match["number"]),
            shots=grid.shots,
            trained_on=file.trained_on_for.get(data_set, file.trained_on) if own else "",
            backbone=file.backbone if own else "",
            note=_joined(*notes, file.data_sets.get(place["data set"], ""), grid.note, setting.get("note", "")),
            suspect=_joined(*(file.suspects[mark] for mark in marks if mark not in file.notes)),
            activation=setting.get("activation", ""),
            options=_options(setting.get("options", "")),
            pack=packs().get((paper, data_set)),
        )


def _options(text: str) -> dict[str, float]:
    """Numbers by their names, as in ``sigma=21 map_weight=0.5``."""
    return {key: float(value) for key, _, value in (option.partition("=") for option in text.split())}


def _key(row: PublishedNumber) -> tuple[str, str, str, int]:
    return row.method, row.data_set, row.metric, row.shots


def _elsewhere(row: PublishedNumber, alike: list[PublishedNumber]) -> str:
    """Values of other papers that differ; not for variants of the paper's own method."""
    other_values: dict[float, list[str]] = {}
    for row_alike in alike if not row.variant else ():
        if row_alike.value != row.value:
            other_values.setdefault(row_alike.value, []).append(titles("methods")[row_alike.paper])
    values = [f"{value} ({', '.join(papers)})" for value, papers in other_values.items()]
    return f"Elsewhere: {'; '.join(values)}." if values else ""


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))
