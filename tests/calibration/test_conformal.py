"""Split conformal thresholds and p-values: by hand, with ties, and in simulation."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from zsad.calibration import conformal_threshold, images_needed, p_values, rate_interval
from zsad.errors import ConfigError, InputError

NINETEEN = [number / 100 for number in (7, 3, 19, 1, 12, 5, 9, 15, 2, 17, 11, 4, 18, 6, 13, 8, 16, 10, 14)]
"""0.01, 0.02 ... 0.19 in some order."""


def test_an_example_by_hand() -> None:
    """n = 19: at 5 %, k = ceil(20 * 0.95) = 19, the highest; at 10 %, k = 18; at 50 %, k = 10."""
    for rate, k_th in ((0.05, 0.19), (0.1, 0.18), (0.5, 0.10)):
        threshold = conformal_threshold(NINETEEN, rate)
        assert k_th < threshold < k_th + 1e-12
    assert p_values([0.2, 0.19, 0.185, 0.1, 0.0], NINETEEN).tolist() == [1 / 20, 2 / 20, 2 / 20, 11 / 20, 1.0]


@pytest.mark.parametrize(("rate", "count"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.03, 33), (0.2, 4), (0.5, 1)])
def test_how_many_images_a_rate_needs(rate: float, count: int) -> None:
    assert images_needed(rate) == count
    scores = np.linspace(0.9, 0.1, count)
    assert conformal_threshold(scores, rate) > 0.9 - 1e-9
    if count > 1:
        rule = f"a false-positive rate of {rate:g} needs at least {count} normal images"
        lowest = f"got {count - 1}; the lowest rate of so many is"
        with pytest.raises(InputError, match=rf"{rule}; {lowest}.*Remedy: add normal images, or allow a higher rate"):
            conformal_threshold(scores[:-1], rate)


def test_a_rate_means_its_decimals() -> None:
    """0.07 * 100 is 7.000000000000001 in binary, and 0.29 * 100 is 28.999999999999996."""
    scores = np.arange(1, 100) / 100
    for rate, k_th in ((0.07, 0.93), (0.29, 0.71), (Fraction(29, 100), 0.71)):
        assert np.nextafter(conformal_threshold(scores, rate), 0) == k_th


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(ConfigError, match="a rate lies between 0 and 1"):
        conformal_threshold(NINETEEN, rate)


@pytest.mark.parametrize("scores", [[], [0.1, float("nan")], [float("inf")], [[0.1, 0.2]]])
def test_scores_are_finite_numbers(scores: list[float]) -> None:
    with pytest.raises(InputError, match="a list of finite scores"):
        p_values([0.1], scores)


def test_equal_scores_are_not_called_anomalous_more_often_than_stated() -> None:
    """All images score alike: none of them may be called anomalous, and each has the p-value 1."""
    same = [0.25] * 40
    assert conformal_threshold(same, 0.05) > 0.25
    assert p_values([0.25, 0.26], same).tolist() == [1.0, 1 / 41]
    # The two highest tie: at 5 % of 39 images k = 38, which is one of them, so that neither is called anomalous.
    tied = [*(number / 100 for number in range(1, 38)), 0.38, 0.38]
    assert conformal_threshold(tied, 0.05) > 0.38


def test_a_threshold_and_a_p_value_decide_alike() -> None:
    rng = np.random.default_rng(0)
    for count in (19, 20, 37, 100):
        scores = rng.integers(0, 30, count) / 30
        new = np.arange(31) / 30
        for rate in (0.05, 0.1, 0.33):
            decided = new >= conformal_threshold(scores, rate)
            assert decided.tolist() == (p_values(new, scores) <= rate).tolist()


@pytest.mark.parametrize("levels", [None, 8])
def test_new_normal_images_are_called_anomalous_as_often_as_stated(levels: int | None) -> None:
    """2,000 calibrations and one new image each: within three deviations; with ties, only from above."""
    rng = np.random.default_rng(7)
    for count, rate in ((19, 0.05), (50, 0.1), (99, 0.05)):
        called = 0
        for _ in range(2000):
            scores = rng.random(count + 1)
            if levels:
                scores = np.floor(scores * levels) / levels
            called += scores[-1] >= conformal_threshold(scores[:-1], rate)
        exact = int(rate * (count + 1) + 1e-9) / (count + 1)
        deviation = (2000 * exact * (1 - exact)) ** 0.5
        assert called < 2000 * exact + 3 * deviation
        assert levels or called > 2000 * exact - 3 * deviation


def test_the_rate_of_one_calibration_lies_in_its_interval() -> None:
    low, high = rate_interval(19, 0.05)  # Beta(1, 19): closed form
    assert (low, high) == (pytest.approx(1 - 0.975 ** (1 / 19)), pytest.approx(1 - 0.025 ** (1 / 19)))
    for count, rate, rank in ((99, 0.05, 5), (199, 0.1, 20), (20, 0.06, 1), (2000, 0.01, 20)):
        expected = stats.beta(rank, count + 1 - rank).ppf([0.05, 0.95])
        assert rate_interval(count, rate, 0.9) == pytest.approx(tuple(expected), rel=1e-6)
