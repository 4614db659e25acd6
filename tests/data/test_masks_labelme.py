"""Masks that are shapes in files of labelme."""

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from zsad.data.masks.ground_truth import read_mask, read_mask_file
from zsad.errors import InputError

TRUTH = np.zeros((24, 32), bool)
TRUTH[9:15, 10:21] = True
CORNERS = [[10.0, 9.0], [20.0, 9.0], [20.0, 14.0], [10.0, 14.0]]


def labelled(path: Path, *polygons: object, **other: object) -> Path:
    shapes = [{"label": "Pitting", "points": points, "shape_type": "polygon"} for points in polygons]
    content = {"shapes": shapes, "imagePath": "1.jpg", "imageData": None, "imageHeight": 24, "imageWidth": 32}
    path.write_text(json.dumps(content | other))
    return path


def shape(kind: str, *points: tuple[float, float], label: str = "Pitting", **other: object) -> dict[str, object]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **other}


def png(pixels: np.ndarray) -> str:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def marked(tmp_path: Path, *shapes: dict[str, object]) -> np.ndarray:
    return read_mask(labelled(tmp_path / "1.json", shapes=shapes), (24, 32))


def test_polygons_are_drawn_with_their_outlines(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(labelled(tmp_path / "1.json", CORNERS), (24, 32)), TRUTH)
    mask = read_mask_file(labelled(tmp_path / "1.JSON", CORNERS, [[0, 0], [3.6, 0], [0, 3.6]]))
    both = mask.values
    assert (mask.threshold, set(both[both > 0])) == (0, {255})
    assert (both[0, 0], both[0, 3], both[3, 3], both[12, 15]) == (255, 255, 0, 255)
    assert not read_mask(labelled(tmp_path / "1.json"), (24, 32)).any()


def test_polygons_are_drawn_on_images_that_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    Image.new("RGB", (32, 24)).save(tmp_path / "1.png", exif=exif)
    found = read_mask(labelled(tmp_path / "1.json", CORNERS), (24, 32), tmp_path / "1.png")
    np.testing.assert_array_equal(found, TRUTH)


@pytest.mark.parametrize("ends", [((10, 9), (20, 14)), ((20, 14), (10, 9)), ((10, 14), (20, 9)), ((20, 9), (10, 14))])
def test_a_rectangle_lies_between_any_two_opposite_corners(ends: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    np.testing.assert_array_equal(marked(tmp_path, shape("rectangle", *ends)), TRUTH)


def test_a_turned_rectangle_has_four_corners(tmp_path: Path) -> None:
    np.testing.assert_array_equal(marked(tmp_path, shape("oriented_rectangle", *map(tuple, CORNERS))), TRUTH)


def test_a_circle_goes_about_its_first_point_through_its_second(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:24, :32]
    distance = np.hypot(rows - 12, cols - 16)
    found = marked(tmp_path, shape("circle", (16, 12), (16, 6)))
    assert found[distance <= 5.5].all()
    assert not found[distance >= 6.75].any()


def test_lines_are_as_wide_as_labelme_draws_them(tmp_path: Path) -> None:
    """10 px: ``shape_to_mask`` of labelme, ``line_width=10``."""
    line = marked(tmp_path, shape("line", (4, 12), (27, 12)))
    assert line[:, 10].sum() == 10
    assert not line[:, :3].any()
    strip = marked(tmp_path, shape("linestrip", (4, 12), (27, 12), (27, 2)))
    assert (strip | line == strip).all()
    assert strip[3, 27]


def test_points_are_discs_of_radius_five(tmp_path: Path) -> None:
    """``shape_to_mask`` of labelme, ``point_size=5``."""
    one = marked(tmp_path, shape("point", (8, 10)))
    assert (one[10].sum(), one[:, 8].sum()) == (11, 11)
    two = marked(tmp_path, shape("points", (8, 10), (24, 10)))
    assert two.sum() == 2 * one.sum()


def test_a_mask_is_pasted_between_its_corners(tmp_path: Path) -> None:
    stamp = np.zeros((3, 4), np.uint8)
    stamp[0, 1:] = stamp[2, 0] = 255
    found = marked(tmp_path, shape("mask", (5, 7), (8, 9), mask=png(stamp)))
    expected = np.zeros((24, 32), bool)
    expected[7, 6:9] = expected[9, 5] = True
    np.testing.assert_array_equal(found, expected)


def test_background_takes_away_what_was_drawn_before(tmp_path: Path) -> None:
    hole = shape("rectangle", (12, 11), (13, 12), label="_background_")
    expected = TRUTH.copy()
    expected[11:13, 12:14] = False
    np.testing.assert_array_equal(marked(tmp_path, shape("rectangle", (10, 9), (20, 14)), hole), expected)
    np.testing.assert_array_equal(marked(tmp_path, hole, shape("rectangle", (10, 9), (20, 14))), TRUTH)


STAMP = png(np.ones((4, 5), np.uint8))
FAR = [[0, 0], [1e300, 0], [0, 5]]


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"imageHeight": None}, "a size of 32×None"),
        ({"imageWidth": True}, "a size of True×24"),
        ({"imageWidth": -1}, r"24 x -1"),
        ({"imageWidth": 10**6, "imageHeight": 10**6}, "1000000 x 1000000"),
        ({"shapes": {"points": CORNERS}}, "shapes is no list, but dict"),
        ({"shapes": ["Pitting"]}, "a shape that is no object, but str"),
        ({"shapes": [{"label": "Pitting"}]}, "points is no list, but NoneType"),
        ({"shapes": [{"points": CORNERS, "shape_type": "spline"}]}, "a shape of type 'spline'; known are polygon, "),
        ({"shapes": [{"points": CORNERS, "shape_type": ["circle"]}]}, "a shape of type "),
        ({"shapes": [{"points": CORNERS, "label": "__ignore__"}]}, "a polygon labelled __ignore__"),
        ({"shapes": [{"points": CORNERS, "shape_type": "circle"}]}, "a circle of 4 points"),
        ({"shapes": [{"points": []}]}, "a polygon of 0 points"),
        ({"shapes": [{"points": [[1, "x"], [1, 1], [2, 2]]}]}, r"a point \[1, 'x'\]"),
        ({"shapes": [{"points": [[1], [1, 1], [2, 2]]}]}, r"a point \[1\]"),
        ({"shapes": [{"points": FAR}]}, r"a point at \(1e\+300, 0\) of an image of 32×24 px"),
        ({"shapes": [{"points": [[-33, 0], [1, 1], [2, 2]]}]}, r"a point at \(-33, 0\)"),
        ({"shapes": [shape("mask", (0, 0), (3, 3))]}, "base64|non-base64|cannot identify|Incorrect padding"),
        ({"shapes": [shape("mask", (0, 0), (3, 3), mask=STAMP)]}, r"a mask of 5×4 px from \(0, 0\) to \(3, 3\)"),
        ({"shapes": [shape("mask", (4, 3), (0, 0), mask=STAMP)]}, r"a mask of 5×4 px from \(4, 3\) to \(0, 0\)"),
        ({"shapes": [{"points": [[0, 0], [9, 9]] * 50_001}]}, "a polygon of 100002 points"),
        ({"shapes": [{"points": [[0, 0], [9, 9]] * 25_001}] * 2}, "shapes of 100,004 points"),
    ],
)
def test_shapes_that_cannot_be_drawn(other: dict[str, object], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"1\.json.*{problem}"):
        read_mask_file(labelled(tmp_path / "1.json", **other))


def test_shapes_that_would_take_long_to_draw(tmp_path: Path) -> None:
    whole = shape("rectangle", (0, 0), (9999, 9999))
    path = labelled(tmp_path / "1.json", shapes=[whole] * 41, imageWidth=10_000, imageHeight=10_000)
    with pytest.raises(InputError, match=r"is of labelme.*cover 4,100,\d+,\d+ px"):
        read_mask_file(path)


TEXTS = ["[1]", "", "[" * 100_000, '{"shapes": [{"points": [[1e400, 1]]}]}', "\0", '"\\ud800"']


@pytest.mark.parametrize("text", TEXTS)
def test_json_that_is_no_file_of_labelme(text: str, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(text)
    for name in ("1.json", "2.json"):
        with pytest.raises(InputError, match=rf"is of labelme.*{name}"):
            read_mask_file(tmp_path / name)
