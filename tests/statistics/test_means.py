"""Means over classes, and their intervals."""

import numpy as np
import pytest

from zsad.results.schema import METRICS, ClassResult, Metric
from zsad.statistics.intervals import interval, means, resamples

RNG = np.random.default_rng(0)


def one(values: dict[str, float | None]) -> ClassResult:
    metrics = {name: Metric(values.get(name, 0.5), reason="" if values.get(name, 0.5) else "why") for name in METRICS}
    return ClassResult("set", "class", "class", 1, 1, 0, 0, {}, 0, metrics, 0.0, 0.0)


def test_each_class_counts_alike_and_draws_of_classes_are_averaged() -> None:
    classes = [one({"image_ap": 0.25}), one({"image_ap": 0.5}), one({"image_ap": None, "pixel_ap": None})]
    draws = [{"image_ap": RNG.random(100)}, {"image_ap": RNG.random(100)}, {"image_ap": np.full(100, np.nan)}]
    found = means(classes, draws, 0.9)
    bounds = np.quantile((draws[0]["image_ap"] + draws[1]["image_ap"]) / 2, [0.05, 0.95])
    mean = found["image_ap"]
    assert (mean.value, mean.classes) == (0.375, 2)
    assert [mean.low, mean.high] == pytest.approx(bounds, abs=1e-12)
    assert found["pixel_ap"] == Metric(0.5, classes=2)
    assert found["pixel_pro"] == Metric(0.5, classes=3)


def test_a_mean_is_no_median() -> None:
    classes = [one({"image_ap": value}) for value in (0.125, 0.25, 0.875, 1.0, 0.25)]
    assert means(classes, [{}] * 5, 0.9)["image_ap"] == Metric(0.5, classes=5)


def test_a_mean_of_nothing_has_the_reason_that_all_classes_share() -> None:
    assert means([one({"image_ap": None})] * 2, [{}, {}], 0.9)["image_ap"] == Metric(None, reason="why", classes=0)
    other = ClassResult(
        **{**one({"image_ap": None}).__dict__, "metrics": {name: Metric(None, reason="other") for name in METRICS}}
    )
    found = means([one({"image_ap": None}), other], [{}, {}], 0.9)["image_ap"]
    assert found == Metric(None, reason="no class defines it", classes=0)


def test_draws_keep_the_states_and_depend_on_names_alone() -> None:
    labels = [0, 1, 0, 0, 1]
    drawn = resamples(labels, 200, "set", "class")
    assert (drawn[:, [1, 4]].sum(1) == 2).all()
    assert (drawn[:, [0, 2, 3]].sum(1) == 3).all()
    np.testing.assert_array_equal(drawn, resamples(labels, 200, "set", "class"))
    assert (drawn != resamples(labels, 200, "setc", "lass")).any()


def test_draws_that_define_nothing_are_left_out() -> None:
    assert interval(np.array([np.nan, 0.25, 0.25]), 0.9) == (0.25, 0.25)
    assert interval(np.full(3, np.nan), 0.9) == (None, None)
