"""When the decisions of a run say little, and how to say so."""

from collections.abc import Sequence

UNCALIBRATED = 0.5
"""The threshold where none was chosen. No score of any method is calibrated to it."""
HAIR = 0.01
"""Scores within this width hardly tell images apart."""
NEARLY_ALL = 0.95


def doubts_of(scores: Sequence[float], threshold: float) -> list[str]:
    """What the scores of a run say against its decisions, in sentences; mostly nothing.

    Args:
        scores: of all its images, in [0, 1].
        threshold: the score from which an image counts as anomalous.

    >>> doubts_of([0.1, 0.3, 0.2], 0.5)[0].partition(":")[0]
    'All 3 scores lie below the threshold 0.5, which is not calibrated for these images'
    >>> doubts_of([0.1, 0.9], 0.5)
    []
    """
    said = []
    anomalous = sum(score >= threshold for score in scores)
    if threshold == UNCALIBRATED and scores and anomalous in (0, len(scores)):
        those = f"All {len(scores)} scores lie" if len(scores) > 1 else "The score lies"
        side = "at or above" if anomalous else "below"
        said.append(
            f"{those} {side} the threshold {threshold:g}, which is not calibrated for these images: "
            "rank them by score, or choose --threshold on images of your own."
        )
    close = _most_in_a_hair(scores)
    if len(scores) > 2 and close >= NEARLY_ALL * len(scores):
        those = f"All {close}" if close == len(scores) else f"{close} of {len(scores)}"
        said.append(f"{those} scores lie within {HAIR:g} of each other: they hardly tell these images apart.")
    return said


def _most_in_a_hair(scores: Sequence[float]) -> int:
    """The greatest number of scores that lie within a hair of each other."""
    ordered, first, most = sorted(scores), 0, 0
    for last, score in enumerate(ordered):
        while score - ordered[first] > HAIR:
            first += 1
        most = max(most, last - first + 1)
    return most
