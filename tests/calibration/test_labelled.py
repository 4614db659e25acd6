"""Thresholds from labelled images: by hand, with ties, and against loops over all candidates."""

import numpy as np
import pytest

from zsad.calibration import f1_threshold, tpr_threshold, youden_threshold
from zsad.errors import ConfigError, InputError
from zsad.metrics import f1_max


def test_by_hand() -> None:
    """Normal 0.1 0.2 0.3 0.6, anomalous 0.4 0.5 0.7.

    From 0.4: 3 of 3 found, 1 false: F1 = 6/7, J = 1 - 1/4. From 0.7: F1 = 2/4, J = 1/3.
    """
    scores, labels = [0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7], [0, 0, 0, 0, 1, 1, 1]
    assert f1_threshold(scores, labels) == youden_threshold(scores, labels) == 0.4
    assert [tpr_threshold([0.4, 0.5, 0.7], rate) for rate in (0.3, 1 / 3, 0.34, 0.67, 1.0)] == [0.7, 0.7, 0.5, 0.4, 0.4]


def test_of_equally_good_thresholds_the_highest_is_taken() -> None:
    """J is 1/2 from 0.8 (one of two found) and from 0.2 (both found, one of two false)."""
    assert youden_threshold([0.1, 0.5, 0.2, 0.8], [0, 0, 1, 1]) == 0.8
    # F1 is 2/3 from 0.9 (1 found of 2) and from 0.2 (2 found, 2 false).
    assert f1_threshold([0.5, 0.4, 0.9, 0.2], [0, 0, 1, 1]) == 0.9


def test_equal_scores_of_both_states_stay_together() -> None:
    assert f1_threshold([0.5, 0.5, 0.1], [0, 1, 0]) == youden_threshold([0.5, 0.5, 0.1], [0, 1, 0]) == 0.5
    assert tpr_threshold([0.5, 0.5, 0.5, 0.9], 0.5) == 0.5


def test_a_rate_means_its_decimals() -> None:
    """0.07 of 100 images are 7, though 0.07 * 100 is above 7 in binary."""
    assert tpr_threshold(np.arange(1, 101) / 100, 0.07) == 0.94


def test_no_threshold_is_better() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        labels = np.append(rng.integers(0, 2, 20), [0, 1])
        scores = np.round(rng.random(22) + labels * 0.3, 1)
        found = {float(t): (scores >= t) for t in np.unique(scores)}
        f1 = {t: 2 * (called & (labels == 1)).sum() / (called.sum() + labels.sum()) for t, called in found.items()}
        ours = f1_threshold(scores, labels)
        assert f1[ours] == max(f1.values()) == pytest.approx(f1_max(scores, labels))
        assert ours == max(t for t, value in f1.items() if value == f1[ours])
        # TPR - FPR times both numbers of images, in whole numbers
        normal, anomalous = (labels == 0).sum(), (labels == 1).sum()
        youden = {
            t: (called & (labels == 1)).sum() * normal - (called & (labels == 0)).sum() * anomalous
            for t, called in found.items()
        }
        assert youden_threshold(scores, labels) == max(
            t for t, value in youden.items() if value == max(youden.values())
        )
        for rate in (0.2, 0.5, 0.9, 1.0):
            enough = [t for t, called in found.items() if (called & (labels == 1)).sum() >= rate * anomalous - 1e-9]
            assert tpr_threshold(scores[labels == 1], rate) == max(enough)


def test_both_states_are_needed() -> None:
    for choose in (f1_threshold, youden_threshold):
        with pytest.raises(InputError, match="needs normal and anomalous samples; got 2 and 0"):
            choose([0.1, 0.2], [0, 0])
    for rate in (0.0, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="true-positive rate lies in"):
            tpr_threshold([0.1], rate)
