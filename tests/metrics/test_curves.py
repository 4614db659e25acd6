"""Curves for drawing: points of the exact curves, few and well placed."""

import numpy as np
import pytest

from zsad.metrics import ImageMetrics, PixelMetrics
from zsad.metrics.accumulators import Curve, thinned

metrics = pytest.importorskip("sklearn.metrics", reason="the oracle is scikit-learn")

RNG = np.random.default_rng(0)
LABELS = np.arange(3000) % 3 == 0
SCORES = (RNG.normal(size=3000) + LABELS).astype(np.float32)


def on(curve: Curve, x: np.ndarray, y: np.ndarray) -> bool:
    points = set(zip(x.tolist(), y.tolist(), strict=True))
    return all(point in points for point in zip(curve.x, curve.y, strict=True))


def test_every_point_is_one_of_the_exact_curve() -> None:
    curves = ImageMetrics().update(SCORES, LABELS).curves()
    assert list(curves) == ["roc", "pr"]
    false, true, _ = metrics.roc_curve(LABELS, SCORES, drop_intermediate=False)
    assert on(curves["roc"], false, true)
    precision, recall, _ = metrics.precision_recall_curve(LABELS, SCORES)
    first = np.append(recall, 0), np.append(precision, precision[-2])
    assert on(curves["pr"], *first)
    for curve in curves.values():
        assert len(curve.x) <= 200
        assert curve.x[0] == 0
        assert curve.x[-1] == 1


def test_few_points_lose_next_to_no_area() -> None:
    curve = ImageMetrics().update(SCORES, LABELS).curves()["roc"]
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(metrics.roc_auc_score(LABELS, SCORES), abs=1e-3)


def test_the_curve_of_pro_ends_at_the_limit_and_has_its_area() -> None:
    maps, masks = RNG.random((3, 30, 30)).astype(np.float32), np.zeros((3, 30, 30), bool)
    masks[0, 3:9, 4:8] = masks[2, 20:, 20:] = True
    gathered = PixelMetrics().update(maps + masks / 4, masks)
    curve = gathered.curves()["pro"]
    assert (curve.x[0], curve.y[0], curve.x[-1]) == (0, 0, 0.3)
    assert np.trapezoid(curve.y, curve.x) / 0.3 == pytest.approx(gathered.compute()["pro"], abs=2e-3)


def test_what_has_one_state_has_no_curve() -> None:
    assert ImageMetrics().update([0.5], [1]).curves() == {}
    assert PixelMetrics().update(np.zeros((1, 3, 3), np.float32), np.zeros((1, 3, 3), bool)).curves() == {}


def test_a_short_curve_stays_as_it_is() -> None:
    x, y = np.array([0, 0, 0.25, 1]), np.array([0, 0.5, 0.75, 1])
    assert thinned(x, y) == Curve(tuple(x.tolist()), tuple(y.tolist()))
