"""Outlines, against hand-drawn components and by filling them again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from zsad.regions.contours import fill, signed_area, simplify, through_centres, trace

Drawn = list[str]


def drawn(lines: Drawn) -> np.ndarray:
    return np.array([[letter == "#" for letter in line] for line in lines])


def labelled(pixels: np.ndarray, connectivity: int) -> np.ndarray:
    return ndimage.label(pixels, np.ones((3, 3)) if connectivity == 8 else None)[0]


SINGLE = ["...", ".#.", "..."]
DIAGONAL = ["#.", ".#"]
RING = ["###", "#.#", "###"]
CORNER_RING = [".#.", "#.#", ".#."]
ISLAND = ["#####", "#...#", "#.#.#", "#...#", "#####"]


def test_a_single_pixel_is_its_square() -> None:
    assert trace(labelled(drawn(SINGLE), 8), 8) == {1: [((1, 1), (2, 1), (2, 2), (1, 2))]}


def test_diagonal_neighbours_share_an_outline_that_passes_their_corner_twice() -> None:
    outline = ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1))
    assert trace(labelled(drawn(DIAGONAL), 8), 8) == {1: [outline]}


def test_without_corners_diagonal_neighbours_are_two_components() -> None:
    squares = {1: [((0, 0), (1, 0), (1, 1), (0, 1))], 2: [((1, 1), (2, 1), (2, 2), (1, 2))]}
    assert trace(labelled(drawn(DIAGONAL), 4), 4) == squares


def test_a_hole_runs_the_other_way() -> None:
    outline, hole = trace(labelled(drawn(RING), 8), 8)[1]
    assert outline == ((0, 0), (3, 0), (3, 3), (0, 3))
    assert set(hole) == {(1, 1), (2, 1), (2, 2), (1, 2)}
    assert (signed_area(outline), signed_area(hole)) == (9, -1)


def test_a_ring_that_touches_at_corners_only_has_a_hole() -> None:
    outline, hole = trace(labelled(drawn(CORNER_RING), 8), 8)[1]
    assert (len(outline), signed_area(outline), signed_area(hole)) == (12, 5, -1)


def test_holes_that_touch_at_a_corner_are_two() -> None:
    contours = trace(labelled(drawn(["####", "#.##", "##.#", "####"]), 8), 8)[1]
    assert [signed_area(contour) for contour in contours] == [16, -1, -1]


def test_with_four_neighbours_holes_that_touch_at_a_corner_are_one() -> None:
    contours = trace(labelled(drawn(["####", "#.##", "##.#", "####"]), 4), 4)[1]
    assert [signed_area(contour) for contour in contours] == [16, -2]


def test_an_island_in_a_hole_is_a_component_of_its_own() -> None:
    contours = trace(labelled(drawn(ISLAND), 8), 8)
    assert [[signed_area(contour) for contour in contours[label]] for label in (1, 2)] == [[25, -9], [1]]


def test_the_whole_image_is_its_border() -> None:
    assert trace(np.ones((2, 3), int), 8) == {1: [((0, 0), (3, 0), (3, 2), (0, 2))]}


def test_nothing_has_no_contour() -> None:
    assert trace(np.zeros((2, 3), int), 8) == {}


@pytest.mark.parametrize("connectivity", [4, 8])
@settings(max_examples=150, deadline=None)
@given(pixels=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_filled_again_contours_give_their_component(pixels: np.ndarray, connectivity: int) -> None:
    labels = labelled(pixels, connectivity)
    contours = trace(labels, connectivity)
    assert sorted(contours) == list(range(1, labels.max() + 1))
    rows, cols = labels.shape
    for label, found in contours.items():
        assert np.array_equal(fill(found, (0, 0, cols, rows)), labels == label)
        assert sum(map(signed_area, found)) == (labels == label).sum()
        assert [signed_area(contour) > 0 for contour in found] == [True, *[False] * (len(found) - 1)]
        holes = ndimage.label(
            np.pad(labels != label, 1, constant_values=True), np.ones((3, 3)) if connectivity == 4 else None
        )[1]
        assert len(found) == holes  # the outside of the image in place of the outline


@settings(max_examples=150, deadline=None)
@given(pixels=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_pillow_fills_the_way_through_the_centres(pixels: np.ndarray) -> None:
    labels = labelled(pixels, 8)
    for label, (outline, *holes) in trace(labels, 8).items():
        image = Image.new("L", labels.shape[::-1])
        draw = ImageDraw.Draw(image)
        for contour, value in [(outline, 1), *((hole[::-1], 0) for hole in holes)]:
            way = through_centres(contour)
            draw.polygon([*way, *way[-1:] * 2], fill=value, outline=value)
        assert np.array_equal(np.asarray(image) > 0, labels == label)


def test_the_way_through_the_centres_of_a_bend_is_diagonal() -> None:
    outline = trace(labelled(drawn(["##", "#."]), 8), 8)[1][0]
    assert through_centres(outline) == ((0, 0), (1, 0), (0, 1))


def test_a_staircase_becomes_a_straight_line() -> None:
    stairs = drawn(["#" * length + "." * (20 - length) for length in range(1, 21)])
    outline = trace(stairs.astype(int), 8)[1][0]
    assert len(outline) == 42
    assert simplify(outline, 1) == ((0, 0), (20, 20), (0, 20))


def test_what_is_left_out_lies_within_the_tolerance() -> None:
    rows, cols = np.mgrid[:60, :80]
    blob = ((rows - 30) / 20) ** 2 + ((cols - 40) / 31) ** 2 + 0.2 * np.sin(cols / 3) < 1
    outline = trace(blob.astype(int), 8)[1][0]
    for tolerance in (0.5, 1.0, 3.0):
        simplified = simplify(outline, tolerance)
        assert set(simplified) < set(outline)
        assert max(min(_distance(point, *side) for side in _sides(simplified)) for point in outline) <= tolerance
        assert abs(signed_area(simplified) - signed_area(outline)) <= 0.1 * signed_area(outline)


def test_thin_contours_do_not_collapse() -> None:
    for lines in (SINGLE, ["#####"], ["#....", ".#...", "..#..", "...#.", "....#"], ["##..", ".##.", "..##"]):
        outline = trace(labelled(drawn(lines), 8), 8)[1][0]
        simplified = simplify(outline, 5)
        assert abs(signed_area(simplified) - signed_area(outline)) <= 0.1 * signed_area(outline)


def test_no_tolerance_changes_nothing() -> None:
    outline = trace(labelled(drawn(CORNER_RING), 8), 8)[1][0]
    assert simplify(outline, 0) == outline


def _sides(contour: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return list(zip(contour, (*contour[1:], contour[0]), strict=True))


def _distance(point: tuple[int, int], begin: tuple[int, int], end: tuple[int, int]) -> float:
    """By trying many points of the side."""
    places = np.linspace(begin, end, 400)
    return float(np.hypot(*(places - point).T).min()) - 0.02
