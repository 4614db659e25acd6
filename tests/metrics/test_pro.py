"""PRO, exact and with 200 thresholds, against loops over thresholds, regions and pixels."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.metrics import oracles
from zsad.errors import ConfigError, InputError
from zsad.metrics import pro, pro_200
from zsad.metrics.functional import region_shares

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
VALUES = st.one_of(st.integers(0, 4).map(lambda value: value / 4), st.floats(0, 1, width=32))


@st.composite
def images(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Maps and masks with both states, ties, single pixels and regions at the border."""
    shape = draw(SHAPES)
    masks = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    assume(0 < masks.sum() < masks.size)
    return draw(arrays.arrays(np.float32, shape, elements=VALUES)), masks


def noise(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 12, 10)) < 0.15
    return (rng.random(masks.shape) + 0.4 * masks).astype(np.float32), masks


@settings(max_examples=200, deadline=None)
@given(images(), st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_pro_equals_the_loop(drawn: tuple[np.ndarray, np.ndarray], limit: float) -> None:
    np.testing.assert_allclose(pro(*drawn, limit), oracles.pro(*drawn, limit), rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(images())
def test_pro_200_equals_the_loop(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    assume(np.ptp(drawn[0]) > 1e-30)
    expected = oracles.pro_200(*drawn)
    if np.isnan(expected):
        with pytest.raises(InputError, match="PRO-200 needs two different rates below"):
            pro_200(*drawn)
    else:
        np.testing.assert_allclose(pro_200(*drawn), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_both_equal_the_loops_on_noise(seed: int) -> None:
    maps, masks = noise(seed)
    np.testing.assert_allclose(pro(maps, masks), oracles.pro(maps, masks, 0.3), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pro_200(maps, masks), oracles.pro_200(maps, masks), rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_regions_touch_at_sides_and_corners(mask: np.ndarray) -> None:
    pixels, shares, count = region_shares(mask)
    expected = oracles.regions(mask[None])
    assert count == len(expected)
    areas = {row * mask.shape[1] + col: len(region) for region in expected for _, row, col in region}
    assert pixels.tolist() == sorted(areas)
    np.testing.assert_allclose(shares, [1 / areas[pixel] for pixel in pixels], rtol=1e-15)


def test_perfect_reversed_and_constant() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[2:4, 2:4] = mask[9, 9] = 1
    assert pro(mask / 2, mask) == 1
    assert pro(1 - mask, mask) == 0
    # The only point is (1, 1): a line from the origin, of mean 0.15 up to 0.3.
    np.testing.assert_allclose(pro(np.full((10, 10), 0.5), mask), 0.15, rtol=0, atol=1e-15)


def test_small_regions_count_as_much_as_large_ones() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:5, :8] = mask[9, 9] = True
    missed_large, missed_small = mask.astype(float), mask.astype(float)
    missed_large[:5, :8] = -1
    missed_small[9, 9] = -1
    assert pro(missed_large, mask) == pytest.approx(pro(missed_small, mask), abs=1e-12)


def test_maps_of_any_kind_and_size_are_taken() -> None:
    maps, masks = noise()
    expected = pro(maps, masks)
    assert pro(torch.from_numpy(maps), torch.from_numpy(masks)) == expected
    assert pro(list(maps), list(masks.astype(float))) == expected
    assert pro(maps.tolist(), masks.tolist()) == pytest.approx(expected, abs=1e-12)
    turned = [torch.from_numpy(one).T for one in maps]
    assert pro(turned, [one.T for one in masks]) == pytest.approx(expected, abs=1e-12)
    counts = (maps * 100).astype(np.uint8)
    assert pro(counts, masks) == pro(counts.astype(np.float16), masks)
    parts = [maps[0], maps[1], maps[2, :6], maps[2, 6:]]
    with_gaps = masks.copy()
    with_gaps[2, 5:7] = False
    cut = [with_gaps[0], with_gaps[1], with_gaps[2, :6], with_gaps[2, 6:]]
    assert pro(parts, cut) == pytest.approx(pro(maps, with_gaps), abs=1e-12)


def test_double_precision_is_kept() -> None:
    assert pro([[0.5, 0.5 + 1e-12]], [[0, 1]]) == 1
    assert pro([[0.5 + 1e-12, 0.5]], [[0, 1]]) == 0


@pytest.mark.parametrize("limit", [0, -0.1, 1.1, float("nan")])
def test_limits_out_of_range_are_refused(limit: float) -> None:
    with pytest.raises(ConfigError, match=r"the limit of the FPR lies in \(0, 1\]; got "):
        pro(*noise(), limit)


@pytest.mark.parametrize("metric", [pro, pro_200])
@pytest.mark.parametrize(("state", "counts"), [(0, "6 and 0"), (1, "0 and 6")])
def test_a_missing_state_is_refused(metric: object, state: int, counts: str) -> None:
    with pytest.raises(InputError, match=f"needs normal and anomalous samples; got {counts}"):
        metric(np.arange(6.0).reshape(2, 3), np.full((2, 3), state))


def test_pro_200_of_maps_that_find_nothing_is_0_without_a_sign() -> None:
    maps = np.linspace(1, 0.5, 400).reshape(20, 20)
    masks = np.zeros((20, 20), int)
    masks[-1, -4:] = 1
    assert f"{100 * pro_200(maps, masks):.1f}" == "0.0"


def test_pro_200_of_a_constant_map_is_refused() -> None:
    with pytest.raises(InputError, match=r"PRO-200 needs a map that is not constant; got 0\.5 everywhere"):
        pro_200([[0.5, 0.5]], [[0, 1]])


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        ([], [], "there is at least one map, and a mask for each; got 0 and 0"),
        (np.zeros((2, 3, 3)), np.zeros((3, 3)), "a mask for each; got 2 and 1"),
        (
            np.zeros((3, 3)),
            np.zeros((3, 4)),
            r"map 0 has pixels, and its mask the same size; got \(3, 3\) and \(3, 4\)",
        ),
        (np.zeros((2, 0, 3)), np.zeros((2, 0, 3)), "map 0 has pixels"),
        (
            np.zeros((1, 1, 3, 3)),
            np.zeros((3, 3)),
            r"maps are \[rows, cols\] or \[images, rows, cols\]; got \(1, 1, 3, 3",
        ),
        (np.zeros((3, 3)), np.zeros(9), r"masks are \[rows, cols\] or \[images, rows, cols\]; got \(9,\)"),
        ([[0.1, float("nan")]], [[0, 1]], r"values of map 0 are within ±1e\+38; got 1 NaN, infinite or larger"),
        ([[-float("inf"), float("inf")]], [[0, 1]], "got 2 NaN, infinite or larger"),
        ([[0.1, 1e300]], [[0, 1]], "got 1 NaN, infinite or larger"),
        ([[0.1, 0.2]], [[0, 255]], r"mask 0 is 0 \(normal\) or 1 \(anomalous\); got values from 0 to 255"),
        ([[0.1, 0.2]], [[0, 0.5]], "mask 0 is 0"),
        ([[[0.1], [0.2, 0.3]]], [[[0, 1]]], "values form an array; got "),
        ([["a", "b"]], [[0, 1]], "maps are real numbers; got an array of <U1"),
    ],
)
def test_what_cannot_be_used_is_refused(maps: object, masks: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pro(maps, masks)
