"""Average precision and F1-max against scikit-learn and a loop, and image metrics gathered batch by batch."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.metrics import oracles
from zsad.errors import ConfigError, InputError
from zsad.metrics import ImageMetrics, Undefined, auroc, average_precision, f1_max

metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn")

TIED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40)
SMALL = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=40)


def columns(samples: list[tuple[float, bool]]) -> tuple[list[float], list[int]]:
    assume(0 < sum(label for _, label in samples) < len(samples))
    return [score for score, _ in samples], [int(label) for _, label in samples]


@settings(max_examples=300, deadline=None)
@given(st.one_of(TIED, SMALL))
def test_average_precision_equals_scikit_learn(samples: list[tuple[float, bool]]) -> None:
    scores, labels = columns(samples)
    expected = metrics.average_precision_score(labels, scores)
    np.testing.assert_allclose(average_precision(scores, labels), expected, rtol=0, atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TIED, SMALL))
def test_f1_max_equals_the_loop(samples: list[tuple[float, bool]]) -> None:
    scores, labels = columns(samples)
    np.testing.assert_allclose(f1_max(scores, labels), oracles.f1_max(scores, labels), rtol=0, atol=1e-12)


def test_perfect_reversed_and_blind() -> None:
    assert average_precision([0, 1], [0, 1]) == f1_max([0, 1], [0, 1]) == 1
    assert average_precision([1, 0], [0, 1]) == 0.5
    assert average_precision([3, 3, 3, 3], [0, 1, 0, 0]) == 0.25
    assert f1_max([3, 3, 3, 3], [0, 1, 0, 0]) == 0.4


@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
def test_tensors_are_taken(metric: object) -> None:
    scores, labels = [0.125, 0.5, 0.375, 0.75], [0, 0, 1, 1]
    expected = metric(scores, labels)
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        tensor = torch.tensor(scores, dtype=kind, requires_grad=True)
        assert metric(tensor, torch.tensor(labels)) == metric(tensor, torch.tensor(labels) > 0) == expected


@pytest.mark.parametrize(("metric", "name"), [(average_precision, "average precision"), (f1_max, "F1-max")])
@pytest.mark.parametrize(("labels", "counts"), [([0, 0], "2 and 0"), ([1, 1], "0 and 2"), ([], "0 and 0")])
def test_a_missing_class_is_refused(metric: object, name: str, labels: list[int], counts: str) -> None:
    with pytest.raises(InputError, match=f"{name} needs normal and anomalous samples; got {counts}"):
        metric([0.5] * len(labels), labels)


def test_words_and_ragged_lists_are_refused() -> None:
    with pytest.raises(InputError, match="scores are real numbers; got an array of <U3"):
        auroc(["0.1", "0.2"], [0, 1])
    with pytest.raises(InputError, match="values form an array; got "):
        auroc([[0.1, 0.2], [0.3]], [0, 1])


@pytest.mark.parametrize("precision", ["float32", "keys"])
def test_batches_in_any_order_give_what_the_functions_give(precision: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3 == 0
    # Multiples of 1/64 have keys of their own, and tie.
    scores = (rng.integers(0, 50, 60) + 10 * labels) / 64
    first, second = ImageMetrics(precision), ImageMetrics(precision)
    for batch in np.array_split(rng.permutation(60), 7):
        (first if batch[0] % 2 else second).update(scores[batch], labels[batch])
    expected = {
        "auroc": auroc(scores, labels),
        "average_precision": average_precision(scores, labels),
        "f1_max": f1_max(scores, labels),
    }
    assert first.merge(second).compute() == pytest.approx(expected, rel=0, abs=1e-12)


def test_one_class_only_is_undefined_and_says_why() -> None:
    found = ImageMetrics().update([0.1, 0.2], [0, 0]).compute()
    assert {type(value) for value in found.values()} == {Undefined}
    assert str(found["auroc"]) == "n/a (AUROC needs normal and anomalous samples; got 2 and 0)"
    assert ImageMetrics().compute()["f1_max"].reason == "F1-max needs normal and anomalous samples; got 0 and 0"


@pytest.mark.parametrize("scores", [[], [0.5, 1e39]])
def test_empty_batches_and_huge_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(InputError, match="a batch has images, their scores within ±1e"):
        ImageMetrics().update(scores, [0] * len(scores))


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="a precision must be one of float32, keys; got 'float16'"):
        ImageMetrics("float16")
    for first, second in (("float32", "keys"), ("keys", "float32")):
        with pytest.raises(ConfigError, match=f"metrics to merge have one precision; got {first} and {second}"):
            ImageMetrics(first).merge(ImageMetrics(second))
