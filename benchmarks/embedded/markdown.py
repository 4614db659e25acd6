"""Numbers for documents: percent with one decimal and the interval behind it, in tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from zsad.files import write_atomically
from zsad.results.schema import Metric


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [_line(head), "|---" * len(head) + "|", *(_line(row) for row in rows)]
    return "\n".join(lines)


def percent(metric: Metric, signed: bool = False) -> str:
    """A fraction in percent, with its interval where it has one.

    >>> percent(Metric(0.5, 0.4, 0.6)), percent(Metric(0.05, -0.01, 0.1), signed=True), percent(Metric(None))
    ('50.0 (40.0–60.0)', '+5.0 (-1.0 to +10.0)', 'n/a')
    """
    if metric.value is None:
        return "n/a"
    sign, between = ("+", " to ") if signed else ("", "–")
    value, *ends = (f"{100 * one:{sign}.1f}" for one in (metric.value, metric.low, metric.high) if one is not None)
    return f"{value} ({between.join(ends)})" if ends else value


def leave(name: str, text: str, numbers: Mapping[str, object], out: Path) -> None:
    """Print the text, and write it and the numbers into the folder."""
    write_atomically(out / f"{name}.md", f"{text}\n".encode())
    write_atomically(out / f"{name}.json", (json.dumps(numbers, indent=2) + "\n").encode())
    print(text)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
