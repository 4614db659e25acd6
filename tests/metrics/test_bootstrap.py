"""Draws of images as counts of copies, and metrics of all draws at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsad.errors import ConfigError, InputError
from zsad.metrics import (
    auroc,
    average_precision,
    bootstrap_interval,
    f1_max,
    image_draws,
    percentiles,
    stratified_weights,
)

METRICS = {"auroc": auroc, "average_precision": average_precision, "f1_max": f1_max}
LABELS = np.arange(30) % 3 == 0
COPIES = st.integers(0, 3)
SCORES = np.random.default_rng(0).integers(0, 12, 30) / 12 + 0.2 * LABELS


def repeated(metric: object, scores: np.ndarray, labels: np.ndarray, copies: np.ndarray) -> float:
    """By the definition of a draw; NaN where it lacks a state."""
    labels = np.repeat(labels, copies)
    return metric(np.repeat(scores, copies), labels) if 0 < labels.sum() < len(labels) else float("nan")


def test_each_state_is_drawn_as_often_as_it_occurs() -> None:
    weights = stratified_weights(LABELS, 500)
    assert weights.shape == (500, 30)
    assert weights.min() == 0
    np.testing.assert_array_equal(weights[:, LABELS].sum(1), 10)
    np.testing.assert_array_equal(weights[:, ~LABELS].sum(1), 20)
    # An image of n is left out of a draw with probability (1 - 1/n)^n.
    assert abs((weights[:, LABELS] == 0).mean() - 0.9**10) < 0.02
    assert abs((weights[:, ~LABELS] == 0).mean() - 0.95**20) < 0.02


def test_equal_seeds_give_equal_draws() -> None:
    seeds = (0, 0, 1, (0, 1), (0, 1), (0, 2))
    first, again, other, pair, same_pair, other_pair = (stratified_weights(LABELS, 5, seed).tolist() for seed in seeds)
    assert first == again
    assert pair == same_pair
    assert len({str(draws) for draws in (first, other, pair, other_pair)}) == 4


def test_one_state_alone_can_be_drawn() -> None:
    np.testing.assert_array_equal(stratified_weights([0, 0, 0], 4).sum(1), 3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25
    )
)
def test_metrics_of_draws_are_those_of_repeated_images(images: list[tuple[int, bool, int, int]]) -> None:
    scores, labels, *weights = map(np.array, zip(*images, strict=True))
    found = image_draws(scores, labels, np.array(weights))
    for name, metric in METRICS.items():
        expected = [repeated(metric, scores, labels, copies) for copies in weights]
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)


def test_many_draws_are_worked_off_in_parts() -> None:
    weights = stratified_weights(LABELS, 300, seed=3)
    together = image_draws(SCORES, LABELS, weights)
    wide = np.random.default_rng(1).permutation(5000)
    copies = np.zeros((300, 5000), np.int64)
    copies[:, wide[:30]] = weights
    scores, labels = np.zeros(5000), np.zeros(5000, bool)
    scores[wide[:30]], labels[wide[:30]] = SCORES, LABELS
    # 300 x 5000 counts are more than one part.
    for name, values in image_draws(scores, labels, copies).items():
        np.testing.assert_allclose(values, together[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_interval_of_any_metric_is_that_of_the_draws(name: str) -> None:
    slow = bootstrap_interval(METRICS[name], SCORES, LABELS, resamples=60, seed=7, confidence=0.8)
    draws = image_draws(SCORES, LABELS, stratified_weights(LABELS, 60, 7))[name]
    assert percentiles(draws, 0.8) == pytest.approx(slow, rel=0, abs=1e-12)


def test_percentiles_leave_out_what_is_undefined() -> None:
    values = np.append(np.linspace(0, 1, 101), [np.nan] * 50)
    assert percentiles(values, 0.9) == pytest.approx((0.05, 0.95), abs=1e-12)
    with pytest.raises(InputError, match="needs a draw that defines the metric"):
        percentiles(np.array([np.nan]))
    with pytest.raises(ConfigError, match="confidence lies between 0 and 1; got 95"):
        percentiles(values, 95)


def test_what_are_no_draws_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one resample; got 0"):
        stratified_weights(LABELS, 0)
    with pytest.raises(InputError, match=r"labels are 0 \(normal\) or 1"):
        stratified_weights([0, 2], 5)
    for weights in (np.ones((2, 29), np.int64), -np.ones((2, 30), np.int64)):
        with pytest.raises(InputError, match="how many copies it takes of each of 30 images"):
            image_draws(SCORES, LABELS, weights)
