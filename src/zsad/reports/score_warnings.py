"""What the scores of a run say against its results, in sentences."""

from collections.abc import Sequence

CLOSE = 0.01
"""Scores within this width hardly tell images apart."""
NEARLY_ALL = 0.95


def score_warnings(scores: Sequence[float]) -> list[str]:
    """Sentences about the scores of all images of a run; mostly none.

    Args:
        scores: in [0, 1].

    >>> score_warnings([0.301, 0.302, 0.303])
    ['All 3 scores lie within 0.01 of each other: they hardly tell these images apart.']
    >>> score_warnings([0.1, 0.9])
    []
    """
    close = _largest_cluster(scores)
    if len(scores) < 3 or close < NEARLY_ALL * len(scores):
        return []
    those = f"All {close}" if close == len(scores) else f"{close} of {len(scores)}"
    return [f"{those} scores lie within {CLOSE:g} of each other: they hardly tell these images apart."]


def _largest_cluster(scores: Sequence[float]) -> int:
    """The greatest number of scores that lie within ``CLOSE`` of each other."""
    ordered, first, most = sorted(scores), 0, 0
    for last, score in enumerate(ordered):
        while score - ordered[first] > CLOSE:
            first += 1
        most = max(most, last - first + 1)
    return most
