"""The images of a run by score, for a terminal of 80 columns."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import ceil, log10

from zsad.wording import printable, shorten_middle

WIDTH = 80
FIRST = 10
"""Images that the terminal shows: the highest scores."""
MAX_DECIMALS = 6


@dataclass(frozen=True)
class RankedImage:
    """An image with its score, and what was decided of it: None without a threshold."""

    source: str
    score: float
    is_anomalous: bool | None = None
    p_value: float | None = None


def ranking(images: Sequence[RankedImage], first: int = FIRST, width: int = WIDTH) -> list[str]:
    """A heading and one line an image, the highest score first; p-value and decision where there are any.

    Args:
        images: in any order; of equal scores the earlier comes first.
        first: how many are shown.
        width: columns of the terminal.
    """
    shown = sorted(images, key=lambda image: -image.score)[:first]
    names = short_names([image.source for image in images], [image.source for image in shown])
    decimals = score_decimals([image.score for image in shown])
    columns = {"score": [f"{image.score:.{decimals}f}" for image in shown]}
    if any(image.p_value is not None for image in shown):
        columns["p-value"] = [p_value(image.p_value) for image in shown]
    if any(image.is_anomalous is not None for image in shown):
        columns["decision"] = [decision(image.is_anomalous) for image in shown]
    left = [_aligned(title, cells) for title, cells in columns.items()]
    room = width - sum(len(cells[0]) + 2 for cells in left)
    right = ["image", *(shorten_middle(printable(name), room) for name in names)]
    return ["  ".join(cells).rstrip() for cells in zip(*left, right, strict=True)]


def decision(is_anomalous: bool | None) -> str:
    """The word for it; empty where nothing was decided."""
    return "" if is_anomalous is None else "anomalous" if is_anomalous else "normal"


def p_value(value: float | None) -> str:
    """With three decimals.

    >>> p_value(0.0123), p_value(0.0004), p_value(None)
    ('0.012', '<0.001', '')
    """
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def score_decimals(scores: Sequence[float]) -> int:
    """Decimals, 3 to 6, of which the spread of the scores has at least 20 steps.

    >>> score_decimals([0.9, 0.1]), score_decimals([0.4123, 0.4128])
    (3, 5)
    """
    spread = max(scores, default=0) - min(scores, default=0)
    return min(MAX_DECIMALS, max(3, ceil(log10(20 / spread)))) if spread else 3


def short_names(sources: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them share.

    Args:
        sources: all of them.
        shown: those whose names are asked for.

    >>> short_names(["photos/a/1.png", "photos/b/1.png"], ["photos/b/1.png"])
    ['b/1.png']
    """
    folders = [source.split(os.sep)[:-1] for source in sources]
    pairs = zip(min(folders), max(folders), strict=False)  # what the first and the last share in order, all do
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return [os.sep.join(source.split(os.sep)[shared:]) for source in shown]


def _aligned(title: str, cells: Sequence[str]) -> list[str]:
    """Words to the left, numbers to the right."""
    wide = max(map(len, [title, *cells]))
    return [f"{cell:<{wide}}" if title == "decision" else f"{cell:>{wide}}" for cell in (title, *cells)]
