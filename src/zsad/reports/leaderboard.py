"""The leaderboard on disk: Markdown, CSV, JSON, and one page for a browser, which can be read without scripts."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from zsad import published
from zsad.errors import InputError
from zsad.files import write_atomically
from zsad.published import PublishedNumber
from zsad.reports import pages
from zsad.reports._leaderboard_html import Cell, link, measured, table
from zsad.reports.leaderboard_tables import (
    Footnotes,
    PublishedRow,
    caution,
    everything,
    groups,
    lines,
    markdown,
    metrics_of,
    seeds_of,
    trained_on,
    undone,
)
from zsad.results.leaderboard import Leaderboard, LeaderboardRow, PublishedResult, Table, source_of
from zsad.results.schema import METRICS, TITLES
from zsad.results.store import PAGE
from zsad.wording import pluralised


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
    """The leaderboard as HTML; links lead to the pages of the evaluations beside it."""
    notes = Footnotes()
    splits = list(dict.fromkeys((one.split, one.train) for one in board.tables))
    sections = "".join(
        _split(name, train, [one for one in board.tables if one.split == name], f"split-{number}", notes)
        for number, (name, train) in enumerate(splits, 1)
    )
    parts = {
        "TITLE": escape(board.title),
        "ABOUT": f'<p class="sub">{escape(board.about)}</p>' if board.about else "",
        "CAUTION": _caution(board),
        "UNDONE": _panel("Not done", undone(board)),
        "FACTS": _panel("How it was made", [*board.facts, *board.warnings]),
        "METRICS": "".join(f'<option value="{name}">{TITLES[name]}</option>' for name in METRICS),
        "SPLITS": sections,
        "NOTES": _notes(notes),
        "FOOT": escape(f"zsad {board.version} · {board.created} · {board.command}"),
    }
    return pages.filled("leaderboard.html", parts)


def _caution(board: Leaderboard) -> str:
    if not board.differs:
        return ""
    phrases = "".join(f"<li>{escape(words)}</li>" for words in board.differs)
    return (
        f'<section class="warnings" aria-labelledby="caution"><h2 id="caution">{escape(caution(board))}</h2>'
        f"<p>Ours are of another experiment; what the papers print of theirs stands in parentheses.</p>"
        f"<ul>{phrases}</ul></section>"
    )


def _panel(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(one)}</li>" for one in sentences)
    return f'<section class="panel"><h2>{title}</h2><ul>{items}</ul></section>'


def _split(name: str, train: tuple[str, ...], tables: Sequence[Table], place: str, notes: Footnotes) -> str:
    overviews = "".join(_overview(tables, metric, f"{name}, {TITLES[metric]}") for metric in METRICS)
    places = [f"{place}-{number}" for number, _ in enumerate(tables, 1)]
    links = " · ".join(link(f"#{one}", found.data_set) for one, found in zip(places, tables, strict=True))
    sections = "".join(_data_set(found, one, notes) for one, found in zip(places, tables, strict=True))
    return (
        f'<section class="split"><h2>{escape(name)}: trained on {escape(trained_on(train))}</h2>'
        f'<p class="sub">{links}</p>{overviews}{sections}</section>'
    )


def _overview(tables: Sequence[Table], metric: str, caption: str) -> str:
    """Detectors by data sets; of the metrics one is shown."""
    titles = dict.fromkeys((line.detector, line.title) for one in tables for line in one.lines)
    found = [{line.detector: line for line in one.lines} for one in tables]
    head = ["detector", *(escape(one.data_set) for one in tables)]
    rows = [
        (
            title,
            [escape(title)],
            [_of(by_name.get(name), metric, one) for by_name, one in zip(found, tables, strict=True)],
        )
        for name, title in titles
    ]
    shown = table(caption, head, rows)
    return f'<div class="overview" data-metric="{metric}"><h3>{TITLES[metric]}, %</h3>{shown}</div>'


def _of(line: LeaderboardRow | None, metric: str, one: Table) -> Cell:
    return Cell("–") if line is None else measured(line.means[metric], one.best.get(metric))


def _data_set(one: Table, place: str, notes: Footnotes) -> str:
    said = "".join(f"<li>{escape(words)}</li>" for words in one.warnings)
    return (
        f'<section class="set" id="{place}"><h3>{escape(_title(one.data_set))}</h3>'
        f"{f'<ul class=said>{said}</ul>' if said else ''}"
        f"{_ours(one)}{_beside(one, notes)}{_classes(one)}{_others(one, notes)}</section>"
    )


def _title(data_set: str) -> str:
    known = published.data_sets().get(data_set, "")
    return f"{data_set} ({known})" if known and known.casefold() != data_set else data_set


def _ours(one: Table) -> str:
    if not one.lines:
        return '<p class="sub">No run is done yet.</p>'
    head = ["detector", *(TITLES[name] for name in METRICS), "runs"]
    rows = [
        (
            line.title,
            [escape(line.title)],
            [*(measured(line.means[name], one.best.get(name)) for name in METRICS), _runs(line)],
        )
        for line in one.lines
    ]
    reasons = dict.fromkeys(score.reason for line in one.lines for score in line.means.values() if score.reason)
    below = f'<p class="sub">n/a: {escape("; ".join(reasons))}</p>' if reasons else ""
    return table(f"Ours on {one.data_set}", head, rows) + below


def _runs(line: LeaderboardRow) -> Cell:
    seeds = zip(line.seeds, line.evaluations, strict=True)
    links = " ".join(
        link(quote(f"{folder}/{PAGE}"), "report" if seed == "-" else f"seed {seed}") for seed, folder in seeds
    )
    return Cell(f"{seeds_of(line)}<small>{links}</small>", len(line.seeds))


def _beside(one: Table, notes: Footnotes) -> str:
    found = groups(one)
    if not found:
        return ""
    metrics = metrics_of(found)
    rows = [
        (
            group.title,
            [escape(group.title), escape(group.source)],
            [cell for name in metrics for cell in _pair(group, name, notes)],
        )
        for group in found
    ]
    pairs = [f"{TITLES[name]}, %" for name in metrics]
    shown = table(f"The papers' numbers on {one.data_set}", ["detector", "published in"], rows, pairs)
    return f"<details open><summary>Beside what the papers print</summary>{shown}</details>"


def _pair(group: PublishedRow, metric: str, notes: Footnotes) -> Iterator[Cell]:
    if metric not in group.printed:
        yield from (Cell("", start=True), Cell(""))
        return
    printed = group.printed[metric]
    ours = measured(group.ours.means[metric], None) if group.ours is not None else Cell("–")
    yield Cell(ours.html, ours.value, start=True)
    value = f"{100 * printed.value:.1f}"
    shown = f"({value})" if printed.differs else value
    yield Cell(shown + _marks(printed, notes), printed.value)


def _marks(number: PublishedResult | PublishedNumber, notes: Footnotes) -> str:
    marks = " ".join(
        f'<a href="#note-{place}">{mark}{place}</a>' for mark, place in notes.of(number.suspect, number.note)
    )
    return f"<sup>{marks}</sup>" if marks else ""


def _classes(one: Table) -> str:
    rows = [
        (
            f"{class_name} {line.title}",
            [escape(class_name), escape(line.title)],
            [measured(scores[name], None) for name in METRICS],
        )
        for line in one.lines
        for class_name, scores in line.classes.items()
    ]
    if len({class_name for line in one.lines for class_name in line.classes}) < 2:
        return ""
    head = ["class", "detector", *(TITLES[name] for name in METRICS)]
    return f"<details><summary>Class by class</summary>{table(f'Classes of {one.data_set}', head, rows)}</details>"


def _others(one: Table, notes: Footnotes) -> str:
    """All methods that the papers compare on a data set."""
    if not one.others:
        return ""
    found: dict[tuple[str, str], dict[str, PublishedNumber]] = {}
    for row in one.others:
        shown = f", {pluralised(row.shots, 'shot')}" if row.shots else ""
        found.setdefault((published.methods()[row.method] + shown, source_of(row)), {})[row.metric] = row
    metrics = [name for name in published.METRICS if any(name in values for values in found.values())]
    head = ["method", "published in", *(TITLES[name].removesuffix("-200") for name in metrics)]
    rows = [
        (
            method,
            [escape(method), escape(source)],
            [_published(values.get(name), notes) for name in metrics],
        )
        for (method, source), values in found.items()
    ]
    kinds = sorted({"few-shot" if row.shots else "zero-shot" for row in one.others}, reverse=True)
    summary = f"All {' and '.join(kinds)} numbers of the papers on {escape(one.data_set)}"
    return f"<details><summary>{summary}</summary>{table(f'Published on {one.data_set}', head, rows)}</details>"


def _published(row: PublishedNumber | None, notes: Footnotes) -> Cell:
    return Cell("") if row is None else Cell(f"{row.value:.1f}{_marks(row, notes)}", row.value)


def _notes(notes: Footnotes) -> str:
    if not notes.texts:
        return ""
    items = "".join(f'<li id="note-{number}">{escape(text)}</li>' for number, text in enumerate(notes.texts, 1))
    return f'<h2>Notes on published numbers</h2><p class="sub">† is suspect.</p><ol class="footnotes">{items}</ol>'
