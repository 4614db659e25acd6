"""What scores say against the decisions made of them."""

from zsad.reports.predictions import score_warnings


def test_scores_on_one_side_of_a_threshold_that_nobody_chose() -> None:
    below, above = score_warnings([0.1, 0.3], 0.5), score_warnings([0.5, 0.9], 0.5)
    assert below[0].startswith("All 2 scores lie below the threshold 0.5, which is not calibrated for these images:")
    assert above[0].startswith("All 2 scores lie at or above the threshold 0.5")
    assert below[0].endswith("rank them by score, or choose --threshold on images of your own.")
    assert score_warnings([0.2], 0.5)[0].startswith("The score lies below the threshold 0.5")


def test_a_threshold_that_somebody_chose_may_have_all_on_one_side() -> None:
    assert score_warnings([0.1, 0.3], 0.4) == []


def test_scores_on_both_sides_and_no_scores_say_nothing() -> None:
    assert score_warnings([0.1, 0.5], 0.5) == score_warnings([], 0.5) == []


def test_scores_that_hardly_differ() -> None:
    """Whatever the threshold; of two images and of what spreads there is nothing to say."""
    assert score_warnings([0.30, 0.301, 0.309], 0.305) == [
        "All 3 scores lie within 0.01 of each other: they hardly tell these images apart."
    ]
    scores = [0.9, *(0.3 + number / 10_000 for number in range(99))]
    assert score_warnings(scores, 0.4)[0].startswith("99 of 100 scores lie within 0.01")
    assert score_warnings([0.3, 0.301], 0.4) == []
    assert score_warnings([0.30, 0.32, 0.34, 0.36], 0.4) == []
