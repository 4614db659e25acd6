"""Regions of hand-drawn maps."""

import numpy as np
import pytest

from zsad.errors import ConfigError, InputError
from zsad.regions import Region, find_regions

MAP = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.6],
        [0.0, 0.9, 0.7, 0.0, 0.0],
        [0.0, 0.8, 0.5, 0.0, 0.4],
        [0.6, 0.0, 0.0, 0.0, 0.6],
    ],
    np.float32,
)


def test_regions_have_box_polygons_area_peak_and_mean() -> None:
    first, corner, below = find_regions(MAP, 0.5, tolerance=0)
    assert (first.box, first.area, first.peak_position) == ((0, 1, 3, 3), 5, (1, 1))
    assert (first.peak, first.mean) == (pytest.approx(0.9), pytest.approx((0.9 + 0.7 + 0.8 + 0.5 + 0.6) / 5))
    assert first.outline == ((1, 1), (3, 1), (3, 3), (1, 3), (1, 4), (0, 4), (0, 3), (1, 3))
    assert first.holes == ()
    assert [region.box for region in (corner, below)] == [(4, 0, 1, 1), (4, 3, 1, 1)]
    assert corner.polygons == (((4, 0), (5, 0), (5, 1), (4, 1)),)


def test_without_corners_the_diagonal_pixel_is_apart() -> None:
    assert [region.area for region in find_regions(MAP, 0.5, connectivity=4)] == [4, 1, 1, 1]


def test_a_score_equal_to_the_threshold_belongs() -> None:
    assert find_regions(np.array([[0.1, 0.3]], np.float32), 0.1)[0].area == 2


def test_equal_peaks_are_sorted_by_area() -> None:
    row = np.array([[0.7, 0.0, 0.7, 0.6, 0.0, 0.9]])
    assert [(region.peak, region.area) for region in find_regions(row, 0.5)] == [(0.9, 1), (0.7, 2), (0.7, 1)]


def test_equal_regions_are_in_reading_order() -> None:
    spots = np.zeros((5, 5))
    spots[[0, 2, 2, 4], [2, 4, 0, 2]] = 0.5
    assert [region.box[:2] for region in find_regions(spots, 0.5)] == [(2, 0), (0, 2), (4, 2), (2, 4)]


def test_small_regions_are_left_out() -> None:
    assert [region.area for region in find_regions(MAP, 0.5, min_area=5)] == [5]
    assert find_regions(MAP, 0.5, min_area=6) == []


def test_of_equal_peaks_the_first_by_rows_is_the_position() -> None:
    assert find_regions(np.array([[0.0, 0.8], [0.8, 0.8]]), 0.5)[0].peak_position == (1, 0)


def test_a_region_around_another_has_a_hole() -> None:
    ring = np.full((7, 7), 0.6)
    ring[1:-1, 1:-1] = 0
    ring[3, 3] = 0.9
    inner, outer = find_regions(ring, 0.5)
    assert (inner.box, inner.area, inner.holes) == ((3, 3, 1, 1), 1, ())
    assert (outer.box, outer.area, len(outer.holes)) == ((0, 0, 7, 7), 24, 1)
    assert set(outer.holes[0]) == {(1, 1), (6, 1), (6, 6), (1, 6)}


def test_the_mask_is_the_component_and_needs_exact_polygons() -> None:
    rows, cols = np.mgrid[:40, :50]
    disc = (((rows - 20) ** 2 + (cols - 25) ** 2) < 200).astype(np.float32)
    disc[18:22, 20:30] = 0
    (exact,) = find_regions(disc, 0.5, tolerance=0)
    left, top, width, height = exact.box
    assert np.array_equal(exact.mask(), disc[top : top + height, left : left + width] > 0)
    (simplified,) = find_regions(disc, 0.5)
    assert sum(map(len, simplified.polygons)) < sum(map(len, exact.polygons)) / 2
    with pytest.raises(ConfigError, match="tolerance=0"):
        simplified.mask()


def test_every_pixel_above_the_threshold_is_in_one_region() -> None:
    noise = np.random.default_rng(3).random((61, 47), np.float32)
    for connectivity in (4, 8):
        regions = find_regions(noise, 0.55, connectivity=connectivity, tolerance=0)
        count = np.zeros(noise.shape, int)
        for region in regions:
            left, top, width, height = region.box
            mask, scores = region.mask(), noise[top : top + height, left : left + width]
            count[top : top + height, left : left + width] += mask
            x, y = region.peak_position
            assert (mask.sum(), noise[y, x], scores[mask].max()) == (region.area, region.peak, region.peak)
            assert region.mean == pytest.approx(scores[mask].mean(dtype=np.float64))
        assert np.array_equal(count, noise >= np.float32(0.55))


def test_regions_are_values() -> None:
    region = Region((0, 0, 1, 1), (((0, 0), (1, 0), (1, 1), (0, 1)),), 1, 0.5, (0, 0), 0.5)
    assert find_regions(np.array([[0.5]]), 0.5) == [region]
    assert find_regions(np.zeros((3, 3)), 0.5) == find_regions(np.zeros((0, 3)), 0.5) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "a pixel threshold is a finite number"),
        ({"threshold": 0.5, "min_area": 0}, "at least 1 px"),
        ({"threshold": 0.5, "connectivity": 6}, "connectivity is 4 or 8"),
        ({"threshold": 0.5, "tolerance": -1.0}, "at least 0 px"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_regions(MAP, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [np.zeros((1, 2, 2)), np.array([[np.nan]]), np.array([[np.inf]])])
def test_maps_that_are_none_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError):
        find_regions(wrong, 0.5)
