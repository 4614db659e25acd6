"""Tables of the leaderboard as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from zsad.results.leaderboard import Score


@dataclass(frozen=True)
class Cell:
    """A cell with a number.

    Attributes:
        html: what is shown.
        value: what it is sorted by; None stays at the end.
        start: whether a line is drawn before it.
    """

    html: str
    value: float | None = None
    start: bool = False


Row = tuple[str, Sequence[str], Sequence[Cell]]
"""By what it is sorted, HTML of its first cells, and its numbers."""


def table(caption: str, head: Sequence[str], rows: Sequence[Row], pairs: Sequence[str] = ()) -> str:
    """A table that a script of the page makes sortable.

    Args:
        caption: what it shows.
        head: HTML of the titles.
        rows: the first cell of each is its name.
        pairs: HTML of the titles that follow, each of two columns: ours and what is published.
    """
    body, said = "".join(map(_line, rows)), escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{said}"><table>'
        f'<caption class="unseen">{said}</caption>'
        f"<thead>{_head(head, pairs)}</thead><tbody>{body}</tbody></table></div>"
    )


def measured(score: Score, best: float | None) -> Cell:
    """A score with its deviation below it, or its interval where there is one run; bold where it is the best."""
    if score.value is None:
        return Cell(f'<abbr title="{escape(score.reason)}">n/a</abbr>')
    below = ""
    if score.std is not None:
        below = f"<small>± {100 * score.std:.1f}</small>"
    elif score.low is not None and score.high is not None:
        below = f"<small>{100 * score.low:.1f}–{100 * score.high:.1f}</small>"
    shown = f"{100 * score.value:.1f}"
    return Cell((f"<b>{shown}</b>" if score.value == best else shown) + below, score.value)


def link(place: str, text: str) -> str:
    """A link."""
    return f'<a href="{escape(place)}">{escape(text)}</a>'


def _head(head: Sequence[str], pairs: Sequence[str]) -> str:
    if not pairs:
        return f"<tr>{''.join(f'<th scope=col>{title}</th>' for title in head)}</tr>"
    single = "".join(f'<th scope="col" rowspan="2">{title}</th>' for title in head)
    double = "".join(f'<th scope="colgroup" colspan="2">{title}</th>' for title in pairs)
    halves = '<th scope="col" class="start">ours</th><th scope="col">published</th>' * len(pairs)
    return f"<tr>{single}{double}</tr><tr>{halves}</tr>"


def _line(row: Row) -> str:
    key, (name, *words), cells = row
    said = "".join(f'<td class="words">{one}</td>' for one in words)
    return f'<tr data-key="{escape(key)}"><th scope="row">{name}</th>{said}{"".join(map(_number, cells))}</tr>'


def _number(cell: Cell) -> str:
    start = ' class="start"' if cell.start else ""
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    return f"<td{start}{value}>{cell.html}</td>"
