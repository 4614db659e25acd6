"""The leaderboard on disk: Markdown, CSV, JSON, and one page for a browser, which can be read without scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from zsad import published
from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.published import PublishedNumber
from zsad.reports import pages
from zsad.reports.leaderboard_tables import (
    Footnotes,
    caution,
    everything,
    groups,
    heading,
    lines,
    markdown,
    metrics_of,
    seeds_of,
    setting_note,
    undefined_reasons,
    undone,
)
from zsad.results.leaderboard import Leaderboard, LeaderboardRow, Score, Table, source_of
from zsad.results.schema import METRICS, TITLES
from zsad.results.store import PAGE
from zsad.wording import pluralised


@dataclass(frozen=True)
class PublishedTable:
    """All methods that the papers compare on a data set.

    Attributes:
        kinds: zero-shot, few-shot or both.
        metrics, titles: of the columns.
        rows: numbers by metric, by the names of method and source.
    """

    kinds: list[str]
    metrics: list[str]
    titles: list[str]
    rows: Mapping[tuple[str, str], Mapping[str, PublishedNumber]]


def write(board: Leaderboard, out: Path) -> None:
    """Write leaderboard.md, .csv, .json and .html.

    Raises:
        InputError: the folder cannot be written.
    """
    contents = {"md": markdown(board), "csv": lines(board), "json": everything(board), "html": page(board)}
    try:
        for ending, content in contents.items():
            write_atomically(out / f"leaderboard.{ending}", content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError("the folder of a benchmark must be writable", error, "choose another --out") from error


def page(board: Leaderboard) -> str:
    """The leaderboard as HTML; links lead to the pages of the evaluations below it."""
    return pages.rendered(
        "leaderboard.html",
        board=board,
        caution=caution(board),
        undone=undone(board),
        sections=[list(tables) for _, tables in groupby(board.tables, heading)],
        titles={name: TITLES[name] for name in METRICS},
        notes=Footnotes(),  # numbered as the page goes
        report=PAGE,
        class_rows=_class_rows,
        groups=groups,
        heading=heading,
        metrics_of=metrics_of,
        overview_rows=_overview_rows,
        published_table=_published_table,
        seeds_of=seeds_of,
        setting_note=setting_note,
        title_of=_title,
        undefined_reasons=undefined_reasons,
    )


def _title(data_set: str) -> str:
    title = published.data_sets().get(data_set, "")
    return f"{data_set} ({title})" if title and title.casefold() != data_set else data_set


def _overview_rows(tables: Sequence[Table]) -> list[tuple[str, list[LeaderboardRow | None]]]:
    """Detectors by data sets."""
    titles = dict.fromkeys((row.detector, row.title) for table in tables for row in table.lines)
    by_detector = [{row.detector: row for row in table.lines} for table in tables]
    return [(title, [rows.get(name) for rows in by_detector]) for name, title in titles]


def _class_rows(table: Table) -> list[tuple[str, str, Mapping[str, Score]]]:
    """Class, detector and scores; none where there is one class only."""
    if len({class_name for row in table.lines for class_name in row.classes}) < 2:
        return []
    return [(class_name, row.title, scores) for row in table.lines for class_name, scores in row.classes.items()]


def _published_table(table: Table) -> PublishedTable | None:
    rows: dict[tuple[str, str], dict[str, PublishedNumber]] = {}
    for number in table.others:
        shots = f", {pluralised(number.shots, 'shot')}" if number.shots else ""
        rows.setdefault((published.methods()[number.method] + shots, source_of(number)), {})[number.metric] = number
    if not rows:
        return None
    metrics = [name for name in published.METRICS if any(name in numbers for numbers in rows.values())]
    kinds = sorted({"few-shot" if number.shots else "zero-shot" for number in table.others}, reverse=True)
    return PublishedTable(kinds, metrics, [TITLES[name].removesuffix("-200") for name in metrics], rows)
