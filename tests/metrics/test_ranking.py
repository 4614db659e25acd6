"""AUROC against scikit-learn, its refusals, and its interval."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zsad.errors import InputError
from zsad.metrics import auroc, bootstrap_interval

metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn")

TIED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60)
FINE = st.lists(st.tuples(st.floats(-1e300, 1e300), st.booleans()), min_size=2, max_size=60)
SMALL = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TIED, FINE, SMALL))
def test_equals_scikit_learn(samples: list[tuple[float, bool]]) -> None:
    scores, labels = (list(column) for column in zip(*samples, strict=True))
    assume(0 < sum(labels) < len(labels))
    np.testing.assert_allclose(auroc(scores, labels), metrics.roc_auc_score(labels, scores), rtol=0, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(TIED)
def test_is_the_share_of_pairs_in_order(samples: list[tuple[float, bool]]) -> None:
    normal = [score for score, anomalous in samples if not anomalous]
    anomalous = [score for score, anomalous in samples if anomalous]
    assume(normal and anomalous)
    pairs = [(high > low) + (high == low) / 2 for high in anomalous for low in normal]
    scores, labels = (list(column) for column in zip(*samples, strict=True))
    np.testing.assert_allclose(auroc(scores, labels), sum(pairs) / len(pairs), rtol=0, atol=1e-12)


def test_many_samples_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(100_000) < 0.01
    scores = (rng.random(100_000) + 0.3 * labels).astype(np.float32).round(3)
    np.testing.assert_allclose(auroc(scores, labels), metrics.roc_auc_score(labels, scores), rtol=0, atol=1e-12)


def test_perfect_reversed_and_blind() -> None:
    assert auroc([0, 1], [0, 1]) == 1
    assert auroc([1, 0], [0, 1]) == 0
    assert auroc([3, 3, 3], [0, 1, 1]) == 0.5


@pytest.mark.parametrize("kind", [list, np.array, lambda values: np.array(values, np.float64)])
def test_labels_of_any_kind_are_taken(kind: object) -> None:
    assert auroc(kind([0.1, 0.4, 0.35, 0.8]), kind([0, 0, 1, 1])) == 0.75
    assert auroc([0.1, 0.9], [False, True]) == 1


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([0.1], [0, 1]), ([[0.1, 0.2]], [[0, 1]]), ([0.1, 0.2], [[0], [1]]), (0.5, 1), ([0.1, 0.2], [])],
)
def test_lists_that_do_not_pair_are_refused(scores: object, labels: object) -> None:
    with pytest.raises(InputError, match="lists of one length; got "):
        auroc(scores, labels)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="scores are finite; got 2 NaN or infinite"):
        auroc([bad, 0.5, bad], [0, 1, 1])


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1], [0.5, 1], ["good", "bad"]])
def test_labels_other_than_0_and_1_are_refused(labels: list[object]) -> None:
    with pytest.raises(InputError, match=r"labels are 0 \(normal\) or 1 \(anomalous\)"):
        auroc([0.1, 0.2], labels)


@pytest.mark.parametrize(("labels", "counts"), [([0, 0], "2 and 0"), ([1, 1], "0 and 2"), ([], "0 and 0")])
def test_a_missing_class_is_refused(labels: list[int], counts: str) -> None:
    with pytest.raises(InputError, match=f"needs normal and anomalous samples; got {counts}"):
        auroc([0.5] * len(labels), labels)


def samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    return rng.normal(size=count) + labels, labels


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_contains_the_point(seed: int) -> None:
    scores, labels = samples(60)
    low, high = bootstrap_interval(auroc, scores, labels, resamples=200, seed=seed)
    assert 0 <= low < auroc(scores, labels) < high <= 1


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    scores, labels = samples(40)
    first, again, other = (bootstrap_interval(auroc, scores, labels, resamples=100, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_more_samples_or_less_confidence_give_a_narrower_interval() -> None:
    def width(count: int, confidence: float) -> float:
        low, high = bootstrap_interval(auroc, *samples(count), confidence=confidence, resamples=200)
        return high - low

    assert width(400, 0.95) < 0.5 * width(40, 0.95)
    assert width(40, 0.5) < width(40, 0.95)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    # For unit normals one standard deviation apart the AUROC is Phi(1 / sqrt 2) = 0.7602.
    rng, labels = np.random.default_rng(0), np.arange(80) % 2
    hits = 0
    for _ in range(100):
        low, high = bootstrap_interval(auroc, rng.normal(size=80) + labels, labels, resamples=100, confidence=0.9)
        hits += low <= 0.7602 <= high
    assert 80 <= hits <= 98


def test_a_class_of_one_never_vanishes_from_a_resample() -> None:
    low, high = bootstrap_interval(auroc, [0.1, 0.2, 0.3, 0.25], [0, 0, 0, 1], resamples=50)
    assert 0 <= low <= high <= 1


def test_any_metric_of_scores_and_labels_has_an_interval() -> None:
    def precision(scores: np.ndarray, labels: np.ndarray) -> float:
        return float(metrics.average_precision_score(labels, scores))

    low, high = bootstrap_interval(precision, *samples(40), resamples=50)
    assert 0 <= low < high <= 1


def test_the_interval_refuses_what_the_metric_refuses() -> None:
    with pytest.raises(InputError, match="needs normal and anomalous samples"):
        bootstrap_interval(auroc, [0.1, 0.2], [0, 0])
