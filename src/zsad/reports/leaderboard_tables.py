"""A leaderboard as Markdown, CSV and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from zsad import spreadsheets
from zsad.results.leaderboard import Leaderboard, LeaderboardRow, PublishedResult, Score, Table
from zsad.results.schema import METRICS, SETTINGS, TITLES
from zsad.wording import in_markdown, markdown_code

MEAN = "mean"
"""What stands for a class in the line of a mean."""

COLUMNS = (
    *("split", "train", "setting", "detector", "title", "method", "backbone", "data_set", "class"),
    *("metric", "value", "std", "n", "low", "high", "reason"),
)

NONE = "The papers' numbers stand here for orientation: they are not comparable with ours."
SOME = "Not all of the papers' numbers are comparable with ours: those in parentheses stand here for orientation."


@dataclass
class Footnotes:
    """Footnotes of a page, each once.

    Attributes:
        texts: in order; the first has the number 1.
    """

    texts: list[str] = field(default_factory=list)

    def of(self, suspect: str, note: str) -> list[tuple[str, int]]:
        """Marks and numbers of what is to be known of a printed number: † where it is suspect."""
        words = (("†", suspect), ("", note))
        return [(mark, self._number(f"{mark} {text}".strip())) for mark, text in words if text]

    def _number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass(frozen=True)
class PublishedRow:
    """What one paper, or one row of it, prints of a detector on a data set.

    Attributes:
        title: of the detector.
        ours: of the detector; None where no run is done.
        printed: by metric.
    """

    title: str
    ours: LeaderboardRow | None
    printed: dict[str, PublishedResult]

    @property
    def source(self) -> str:
        """Paper and tables."""
        first, *more = dict.fromkeys(number.source for number in self.printed.values())
        return "; ".join([first, *(source.rpartition(", ")[2] for source in more)])


def markdown(board: Leaderboard) -> str:
    """The leaderboard for people who read text."""
    notes = Footnotes()
    parts = [
        f"# {in_markdown(board.title)}",
        in_markdown(board.about),
        *_caution(board),
        _list([*board.facts, *board.warnings]),
    ]
    parts += ["## Not done", _list(undone(board))] if undone(board) else []
    section = ""
    for table in board.tables:
        if heading(table) != section:
            section = heading(table)
            parts += [f"## {in_markdown(section)}", setting_note(table)]
        parts += [
            f"### {in_markdown(table.data_set)}",
            _list(table.warnings),
            _ours(table),
            in_markdown(f"n/a: {reasons}") if (reasons := undefined_reasons(table)) else "",
            _with_published(table, notes),
        ]
    if notes.texts:
        parts.append("## Notes on published numbers")
        parts.append("\n".join(f"{number}. {text}" for number, text in enumerate(map(in_markdown, notes.texts), 1)))
    parts.append(f"zsad {board.version}, {board.created}: {markdown_code(board.command)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def lines(board: Leaderboard) -> str:
    """As CSV: a line for each split, detector, data set, class or mean, and metric; fractions in [0, 1]."""
    rows = (
        _row(table, line, class_name, name, scores[name])
        for table in board.tables
        for line in table.lines
        for class_name, scores in ((MEAN, line.means), *line.classes.items())
        for name in METRICS
    )
    return spreadsheets.table(COLUMNS, rows)


def everything(board: Leaderboard) -> str:
    """As JSON: all that is known, fractions in [0, 1] but for ``others``, which are as printed, in percent."""
    return json.dumps(asdict(board), indent=2) + "\n"


def groups(table: Table) -> list[PublishedRow]:
    """What is printed, gathered by detector and paper, in the order of detectors."""
    ours = {line.detector: line for line in table.lines}
    rows: dict[tuple[str, str, int], PublishedRow] = {}
    for number in table.printed:
        key = number.detector, number.source.partition(",")[0], 0
        while key in rows and number.metric in rows[key].printed:  # a paper may print a number twice
            key = *key[:2], key[2] + 1
        rows.setdefault(key, PublishedRow(number.title, ours.get(number.detector), {})).printed[number.metric] = number
    return list(rows.values())


def metrics_of(rows: Sequence[PublishedRow]) -> list[str]:
    """The metrics that papers print here, in our order."""
    return [name for name in METRICS if any(name in row.printed for row in rows)]


def percent(score: Score) -> str:
    """For people.

    >>> percent(Score(0.91234, 0.0057, 3)), percent(Score(0.5, n=1)), percent(Score(None, reason="one class only"))
    ('91.2 ± 0.6', '50.0', 'n/a')
    """
    if score.value is None:
        return "n/a"
    return f"{100 * score.value:.1f}" + (f" ± {100 * score.std:.1f}" if score.std is not None else "")


def seeds_of(line: LeaderboardRow) -> str:
    """How many runs a line is of, and of how many there will be."""
    return str(len(line.seeds)) + (f" of {line.of}" if len(line.seeds) < line.of else "")


def trained_on(train: Sequence[str]) -> str:
    """For people.

    >>> trained_on(["mtd", "bsdata"]), trained_on([])
    ('mtd + bsdata', 'nothing')
    """
    return " + ".join(train) or "nothing"


def heading(table: Table) -> str:
    """Of the section of a leaderboard that a table belongs to.

    >>> heading(Table("industrial", ("mtd",), "bsdata", (), (), (), (), "few-shot"))
    'industrial, few-shot: trained on mtd'
    """
    setting = "" if table.setting == "zero-shot" else f", {table.setting}"
    return f"{table.split}{setting}: trained on {trained_on(table.train)}"


def setting_note(table: Table) -> str:
    """What the setting of a section means, as a sentence; empty where it is the usual one."""
    if table.setting == "zero-shot":
        return ""
    return f"{table.setting.capitalize()}: {SETTINGS[table.setting]}. Do not compare these with other settings."


def undone(board: Leaderboard) -> list[str]:
    """What the leaderboard lacks, in sentences."""
    sentences = [f"{name} was skipped: {why}" for name, why in board.skipped.items()]
    sentences += [f"{name} failed: {why}" for name, why in board.failed.items()]
    return sentences + [f"{name} is not done yet." for name in board.unfinished]


def caution(board: Leaderboard) -> str:
    """What forbids comparing, as a sentence; empty where nothing does."""
    if not board.differs:
        return ""
    return SOME if any(not number.differs for table in board.tables for number in table.printed) else NONE


def undefined_reasons(table: Table) -> str:
    """Why metrics are n/a; empty where none is."""
    return "; ".join(dict.fromkeys(score.reason for row in table.lines for score in row.means.values() if score.reason))


def _caution(board: Leaderboard) -> list[str]:
    if not board.differs:
        return []
    head = [f"> **{caution(board)}** Ours are of another experiment:", ">"]
    return ["\n".join([*head, *(f"> * {in_markdown(phrase)}" for phrase in board.differs)])]


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"* {in_markdown(sentence)}" for sentence in sentences)


def _ours(table: Table) -> str:
    if not table.lines:
        return "No run is done yet."
    head = ["detector", "runs", *(TITLES[name] for name in METRICS)]
    rows = [
        [in_markdown(line.title), seeds_of(line), *(_cell(line.means[name], table.best.get(name)) for name in METRICS)]
        for line in table.lines
    ]
    return _table(head, rows)


def _cell(score: Score, best: float | None) -> str:
    return f"**{percent(score)}**" if score.value is not None and score.value == best else percent(score)


def _with_published(table: Table, notes: Footnotes) -> str:
    rows_of_papers = groups(table)
    if not rows_of_papers:
        return ""
    metrics = metrics_of(rows_of_papers)
    head = ["detector", "published in", *(f"{TITLES[name]}: ours, published" for name in metrics)]
    rows = [
        [in_markdown(group.title), in_markdown(group.source), *(_pair(group, name, notes) for name in metrics)]
        for group in rows_of_papers
    ]
    return _table(head, rows)


def _pair(group: PublishedRow, metric: str, notes: Footnotes) -> str:
    number = group.printed.get(metric)
    if number is None:
        return ""
    ours = percent(group.ours.means[metric]) if group.ours is not None else "–"
    marks = ", ".join(f"{mark}{number}" for mark, number in notes.of(number.suspect, number.note))
    theirs = f"{100 * number.value:.1f}" + (f"<sup>{marks}</sup>" if marks else "")
    return f"{ours}, {f'({theirs})' if number.differs else theirs}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _row(table: Table, line: LeaderboardRow, class_name: str, metric: str, score: Score) -> dict[str, object]:
    return {
        "split": table.split,
        "train": "+".join(table.train),
        "setting": table.setting,
        "detector": line.detector,
        "title": line.title,
        "method": line.method,
        "backbone": line.backbone,
        "data_set": table.data_set,
        "class": class_name,
        "metric": metric,
        "value": score.value,
        "std": score.std,
        "n": score.n,
        "low": score.low,
        "high": score.high,
        "reason": score.reason,
    }
