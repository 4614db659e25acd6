"""AUPIMO, saturated PRO, FPR at 95 % TPR and SegF1: against loops written from their definitions, and closed forms."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.metrics import oracles
from tests.metrics.test_pro import images
from zsad.errors import ConfigError, InputError
from zsad.metrics import (
    ImageMetrics,
    PimoMetrics,
    PixelMetrics,
    SaturatedProMetrics,
    SaturatedRegion,
    SegF1Metrics,
    Undefined,
    aupimo,
    fpr95,
    pro,
    seg_f1,
    spro,
)
from zsad.metrics.counters import stored

LABELLED = st.lists(
    st.tuples(st.integers(0, 6).map(lambda value: value / 4), st.integers(0, 1)), min_size=2, max_size=30
)
EIGHTHS = st.integers(0, 8).map(lambda value: value / 8)


# --- FPR at 95 % TPR


@settings(max_examples=30, deadline=None)
@given(LABELLED)
def test_fpr95_equals_the_loop(samples: list[tuple[float, int]]) -> None:
    scores, labels = [score for score, _ in samples], [label for _, label in samples]
    assume(0 < sum(labels) < len(labels))
    expected = oracles.fpr95(scores, labels)
    assert fpr95(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert ImageMetrics().update(scores, labels).further()["fpr95"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("anomalous", "expected"), [(20, 0.0), (19, 0.5), (40, 0.0)])
def test_one_anomalous_sample_of_twenty_may_be_missed(anomalous: int, expected: float) -> None:
    """All anomalous samples but one are above all normal ones, and that one is below half of them."""
    scores = [0.1, 0.3] + [0.9] * (anomalous - 1) + [0.2]
    assert fpr95(scores, [0, 0] + [1] * anomalous) == expected


def test_fpr95_without_a_state_is_undefined() -> None:
    with pytest.raises(InputError, match="FPR at 95 % TPR needs normal and anomalous samples; got 2 and 0"):
        fpr95([0.1, 0.2], [0, 0])
    assert isinstance(ImageMetrics().update([0.1], [1]).further()["fpr95"], Undefined)


@settings(max_examples=15, deadline=None)
@given(images())
def test_further_metrics_of_pixels_are_those_of_their_definitions(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    maps, masks = drawn
    found = PixelMetrics(precision="float32").update(maps, masks).further()
    expected = oracles.fpr95(maps.ravel().tolist(), masks.ravel().astype(int).tolist())
    assert found == pytest.approx({"fpr95": expected, "pro_5": oracles.pro(maps, masks, 0.05)}, abs=1e-12)


# --- AUPIMO


@st.composite
def both_states(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images of different sizes, normal and anomalous ones, with ties."""
    maps, masks = [], []
    for _ in range(draw(st.integers(2, 5))):
        shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        maps.append(draw(arrays.arrays(np.float32, shape, elements=EIGHTHS)))
        masks.append(draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1))) * draw(st.integers(0, 1)))
    assume(any(mask.any() for mask in masks) and not all(mask.any() for mask in masks))
    return maps, masks


@settings(max_examples=30, deadline=None)
@given(both_states(), st.sampled_from([(0.02, 0.9), (0.1, 0.4), (0.3, 1.0)]))
def test_aupimo_equals_the_loop(drawn: tuple[list[np.ndarray], list[np.ndarray]], bounds: tuple[float, float]) -> None:
    maps, masks = drawn
    expected = oracles.aupimo(maps, masks, *bounds)
    metrics = PimoMetrics(bounds).update(maps, masks)
    np.testing.assert_allclose(metrics.scores(), expected, rtol=0, atol=1e-9)
    assert aupimo(maps, masks, bounds) == pytest.approx(float(np.mean(expected)), abs=1e-9)


def test_aupimo_equals_the_integral_over_many_thresholds() -> None:
    """As anomalib has it: 30,000 thresholds, the trapezoidal rule over the logarithm of the shared rate."""
    rng = np.random.default_rng(0)
    maps = stored(rng.random((7, 120, 120)).astype(np.float32) ** 2)
    masks = np.zeros(maps.shape, bool)
    masks[4:, 20:60, 30:50] = True
    maps[masks] = np.minimum(maps[masks] + 0.3, 1)
    low, high = 1e-3, 1e-1
    thresholds = np.sort(rng.choice(np.unique(maps[:4]), 30_000, replace=False))[::-1]
    normal = np.sort(maps[:4].ravel())
    shared = 1 - np.searchsorted(normal, thresholds) / len(normal)
    used = (shared >= low) & (shared <= high)
    expected = []
    for one, mask in zip(maps[4:], masks[4:], strict=True):
        found = np.sort(one[mask])
        share = 1 - np.searchsorted(found, thresholds) / len(found)
        expected.append(np.trapezoid(share[used], np.log(shared[used])) / math.log(high / low))
    np.testing.assert_allclose(PimoMetrics((low, high)).update(maps, masks).scores(), expected, rtol=0, atol=0.01)


def test_the_bounds_are_those_of_the_paper() -> None:
    assert PimoMetrics().bounds == (1e-5, 1e-4)


def test_aupimo_of_what_is_apart_is_1_and_of_what_is_below_0() -> None:
    maps = np.array([[[0.1, 0.2]], [[0.9, 0.05]]], np.float32)
    masks = np.array([[[0, 0]], [[1, 0]]])
    assert aupimo(maps, masks) == 1
    assert aupimo(1 - maps, masks) == 0


def test_aupimo_of_equal_distributions_is_that_of_the_diagonal() -> None:
    """TPR = FPR: the integral of z d log z is U - L; the staircase of n steps is at most 1 / n below it."""
    values = ((np.arange(4000) + 0.5) / 4000).astype(np.float32).reshape(40, 100)
    low, high = 0.01, 0.5
    found = aupimo([values, values], [np.zeros(values.shape), np.ones(values.shape)], (low, high))
    assert found == pytest.approx((high - low) / math.log(high / low), abs=1 / 4000)


def test_normal_pixels_of_anomalous_images_do_not_count() -> None:
    maps = np.array([[[0.5, 0.4]], [[0.6, 0.99]]], np.float32)
    assert aupimo(maps, np.array([[[0, 0]], [[1, 0]]])) == 1


def test_each_normal_image_counts_alike_whatever_its_size() -> None:
    """The rate is 1/2 (1/2 + 0) where the small image has one of two pixels called: 1/4, not 1 of 102 pixels."""
    small, large = np.array([[0.9, 0.1]], np.float32), np.zeros((10, 10), np.float32)
    anomalous = np.array([[0.5, 0.5]], np.float32)
    masks = [np.zeros((1, 2)), np.zeros((10, 10)), np.ones((1, 2))]
    assert aupimo([small, large, anomalous], masks, (0.01, 0.2)) == 0
    expected = math.log(0.5 / 0.25) / math.log(0.5 / 0.125)
    assert aupimo([small, large, anomalous], masks, (0.125, 0.5)) == pytest.approx(expected)


def test_aupimo_may_be_gathered_in_any_order_and_merged() -> None:
    rng = np.random.default_rng(1)
    maps, masks = rng.random((6, 5, 5)).astype(np.float32), rng.random((6, 5, 5)) < 0.2
    masks[::2] = False
    bounds = (0.05, 0.5)
    whole = PimoMetrics(bounds).update(maps, masks)
    parts = [PimoMetrics(bounds).update(maps[part], masks[part]) for part in (slice(3, 6), slice(0, 3))]
    merged = parts[1].merge(parts[0])
    np.testing.assert_allclose(merged.scores(), whole.scores(), rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match="the same bounds"):
        merged.merge(PimoMetrics())


@pytest.mark.parametrize(("state", "found"), [(0, "1 and 0"), (1, "0 and 1")])
def test_aupimo_without_a_state_is_undefined(state: int, found: str) -> None:
    result = PimoMetrics().update([[[0.5]]], [[[state]]]).compute()["aupimo"]
    assert str(result) == f"n/a (AUPIMO needs normal and anomalous images; got {found})"
    with pytest.raises(InputError, match="AUPIMO needs"):
        aupimo([[[0.5]]], [[[state]]])


@pytest.mark.parametrize("bounds", [(0.0, 0.1), (0.2, 0.1), (0.1, 0.1), (0.1, 1.1), (math.nan, 0.1)])
def test_bounds_out_of_range_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="0 < L < U <= 1"):
        PimoMetrics(bounds)


# --- saturated PRO


@st.composite
def annotated(draw: st.DrawFn) -> tuple[np.ndarray, list[list[tuple[np.ndarray, float]]]]:
    """Maps with up to two defects each, which may overlap and lie apart."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(2, 5)))
    maps = draw(arrays.arrays(np.float32, shape, elements=EIGHTHS))
    defects: list[list[tuple[np.ndarray, float]]] = []
    for _ in range(shape[0]):
        masks = [draw(arrays.arrays(bool, shape[1:])) for _ in range(draw(st.integers(0, 2)))]
        saturations = st.sampled_from([0.5, 1.0, 2.0, 3.7, 100.0])
        defects.append([(mask, draw(saturations)) for mask in masks if mask.any()])
    union = [np.any([mask for mask, _ in image], axis=0) if image else np.zeros(shape[1:], bool) for image in defects]
    assume(any(defects) and not np.all(union))
    return maps, defects


def regions(defects: list[list[tuple[np.ndarray, float]]]) -> list[list[SaturatedRegion]]:
    return [[SaturatedRegion(*one) for one in image] for image in defects]


@settings(max_examples=30, deadline=None)
@given(annotated(), st.sampled_from([0.05, 0.3, 1.0]))
def test_spro_equals_the_loop(drawn: Any, limit: float) -> None:
    maps, defects = drawn
    expected = oracles.spro(maps, defects, limit)
    assert spro(maps, regions(defects), limit) == pytest.approx(expected, abs=1e-9)


def test_spro_of_whole_areas_is_pro() -> None:
    rng = np.random.default_rng(2)
    maps, masks = rng.random((2, 9, 9)).astype(np.float32), np.zeros((2, 9, 9), bool)
    masks[0, 1:4, 1:4] = masks[0, 6:8, 5:9] = masks[1, 2:3, 2:8] = True
    one, two, three = (np.zeros((9, 9), bool) for _ in range(3))
    one[1:4, 1:4] = two[6:8, 5:9] = three[2:3, 2:8] = True
    defects = [[SaturatedRegion(one, 9), SaturatedRegion(two, 8)], [SaturatedRegion(three, 6)]]
    assert spro(stored(maps), defects, 0.3) == pytest.approx(pro(stored(maps), masks, 0.3), abs=1e-12)


def test_as_many_pixels_as_saturate_a_region_suffice() -> None:
    """Two of four pixels are above all normal ones: half of the region, all of it where two suffice."""
    maps = np.array([[[0.9, 0.8, 0.1, 0.1, 0.5, 0.2]]])
    mask = np.array([[True] * 4 + [False] * 2])
    for saturation, expected in ((4, 0.5), (3, 2 / 3), (2, 1.0), (1, 1.0)):
        assert spro(maps, [[SaturatedRegion(mask, saturation)]]) == pytest.approx(expected)


def test_spro_may_be_merged_and_says_what_is_missing() -> None:
    rng = np.random.default_rng(3)
    maps = rng.random((4, 4, 4)).astype(np.float32)
    defects = [[], [SaturatedRegion(maps[1] > 0.5, 2)], [], [SaturatedRegion(maps[3] > 0.6, 1)]]
    whole = SaturatedProMetrics(0.3).update(maps, defects).compute()
    merged = (
        SaturatedProMetrics(0.3)
        .update(maps[:2], defects[:2])
        .merge(SaturatedProMetrics(0.3).update(maps[2:], defects[2:]))
    )
    assert merged.compute() == pytest.approx(whole)
    assert isinstance(SaturatedProMetrics().update(maps[:1], [[]]).compute()["spro"], Undefined)
    with pytest.raises(ConfigError, match="one limit"):
        merged.merge(SaturatedProMetrics(0.05))
    with pytest.raises(InputError, match="a region has the size of its map"):
        SaturatedProMetrics().update(maps[:1], [[SaturatedRegion(np.ones((2, 2), bool), 1)]])
    with pytest.raises(InputError, match="each map has its regions"):
        SaturatedProMetrics().update(maps, [[]])


def test_a_region_has_pixels_and_a_positive_saturation() -> None:
    with pytest.raises(ConfigError, match="greater than 0; got 0"):
        SaturatedRegion(np.ones((1, 1), bool), 0)
    with pytest.raises(InputError, match="has pixels"):
        SaturatedRegion(np.zeros((1, 1), bool), 1)


# --- SegF1


@settings(max_examples=15, deadline=None)
@given(images(), EIGHTHS)
def test_seg_f1_equals_the_loop(drawn: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    maps, masks = drawn
    assert seg_f1(maps, masks, threshold) == pytest.approx(oracles.seg_f1([*maps], [*masks], threshold))


def test_pixels_at_the_threshold_are_called_anomalous_to_the_last_bit() -> None:
    at, below = np.float32(0.7), np.nextafter(np.float32(0.7), np.float32(0))
    metrics = SegF1Metrics().update([[at, below]], [[1, 1]], float(at))
    assert metrics.compute()["seg_f1"] == pytest.approx(2 / 3)
    assert metrics.merge(SegF1Metrics().update([[0.9]], [[0]], 0.5)).compute()["seg_f1"] == pytest.approx(2 / 4)
    assert isinstance(SegF1Metrics().update([[0.9]], [[0]], 0.5).compute()["seg_f1"], Undefined)
