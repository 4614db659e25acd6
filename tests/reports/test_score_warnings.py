"""What the scores of a run say against its results."""

from zsad.reports.score_warnings import score_warnings


def test_scores_that_hardly_differ() -> None:
    """Of two images, and of scores that spread, there is nothing to say."""
    assert score_warnings([0.30, 0.301, 0.309]) == [
        "All 3 scores lie within 0.01 of each other: they hardly tell these images apart."
    ]
    scores = [0.9, *(0.3 + number / 10_000 for number in range(99))]
    assert score_warnings(scores)[0].startswith("99 of 100 scores lie within 0.01")
    assert score_warnings([0.3, 0.301]) == []
    assert score_warnings([0.30, 0.32, 0.34, 0.36]) == []
    assert score_warnings([]) == []
