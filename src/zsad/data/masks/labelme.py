"""Masks as shapes, in the files of the annotation tool labelme (github.com/wkentaro/labelme), rasterised as it does.

This is what its ``shape_to_mask`` does: outlines belong to their shapes, a line is 10 px wide and a point a disc of
radius 5. All labels mean anomalous, except two of its own: ``_background_`` clears what was drawn before, and
``__ignore__`` is refused, because there are no ignored pixels here.
"""

import base64
import math
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from zsad.data.decoding.guard import check_size
from zsad.data.decoding.pillow import BROKEN
from zsad.documents import read_json_object
from zsad.errors import InputError

LINE_WIDTH, POINT_RADIUS = 10, 5
BACKGROUND, IGNORED = "_background_", "__ignore__"
LIMIT = 256 * 2**20
"""Bytes of a file, which may contain the image too."""
MAX_POINTS = 100_000
"""Of all shapes of a file."""
MAX_WORK = 4_000_000_000
"""Limit on pixels covered by all shapes plus points times rows: a few seconds of work."""

Point = tuple[float, float]
Shape = Mapping[str, object]


def draw_shapes(path: Path) -> UInt8[np.ndarray, "rows cols"]:
    """The shapes of a file, 255 inside and on their outlines, whatever their label.

    Raises:
        InputError: it cannot be read, has no size, or has too many shapes or types of shape that labelme does not draw.
    """
    try:
        content = read_json_object(path, LIMIT)
        image = Image.new("L", _size(content, str(path)))
        shapes = [_checked(shape, image.size) for shape in _list(content, "shapes")]
        _check_work([points for _, points in shapes], image.size)
        for shape, points in shapes:
            _draw(image, shape, points)
    except BROKEN as error:
        rule = "a mask in JSON is of labelme, with imageHeight, imageWidth and shapes"
        raise InputError(rule, f"{path}: {error}", "save it again with labelme, or as an image") from error
    return np.asarray(image)


def _size(content: Shape, name: str) -> tuple[int, int]:
    """(cols, rows)"""
    cols, rows = content.get("imageWidth"), content.get("imageHeight")
    for side in (cols, rows):
        if not isinstance(side, int) or isinstance(side, bool):
            raise ValueError(f"a size of {cols!r}×{rows!r}")
    check_size(int(str(rows)), int(str(cols)), name)
    return int(str(cols)), int(str(rows))


def _list(content: Shape, key: str) -> list[object]:
    values = content.get(key)
    if not isinstance(values, list):
        raise ValueError(f"{key} is no list, but {type(values).__name__}")
    return values


def _checked(shape: object, size: tuple[int, int]) -> tuple[Shape, list[Point]]:
    """A shape of a known type and its points, which lie in the image or at most one image size outside it."""
    if not isinstance(shape, dict):
        raise ValueError(f"a shape that is no object, but {type(shape).__name__}")
    kind = _kind(shape)
    if kind not in KINDS:
        raise ValueError(f"a shape of type {kind!r}; known are {', '.join(KINDS)}")
    if shape.get("label") == IGNORED:
        raise ValueError(f"a {kind} labelled {IGNORED}")
    points = [_point(point, size) for point in _list(shape, "points")]
    fewest, most = COUNTS[kind]
    if not fewest <= len(points) <= most:
        raise ValueError(f"a {kind} of {len(points)} points")
    return shape, points


def _kind(shape: Shape) -> str:
    kind = shape.get("shape_type")
    return "polygon" if kind is None else str(kind)


def _point(value: object, size: tuple[int, int]) -> Point:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(coordinate) in (int, float) for coordinate in value)
    ):
        raise ValueError(f"a point {value!r:.60}")
    x, y = float(value[0]), float(value[1])
    if not (-size[0] <= x <= 2 * size[0] and -size[1] <= y <= 2 * size[1]):
        raise ValueError(f"a point at ({x:g}, {y:g}) of an image of {size[0]}×{size[1]} px (width×height)")
    return x, y


def _check_work(shapes: list[list[Point]], size: tuple[int, int]) -> None:
    work, count = 0.0, 0
    for points in shapes:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        work += (max(ys) - min(ys) + 1) * (max(xs) - min(xs) + 1 + len(points))
        count += len(points)
    if count > MAX_POINTS or work > MAX_WORK:
        raise ValueError(f"shapes of {count:,} points that cover {work:,.0f} px, more than {MAX_POINTS:,} or too much")


def _draw(image: Image.Image, shape: Shape, points: list[Point]) -> None:
    fill = 0 if shape.get("label") == BACKGROUND else 255
    if _kind(shape) == "mask":
        _paste(image, shape, points, fill)
    else:
        KINDS[_kind(shape)](ImageDraw.Draw(image), points, fill)


def _polygon(draw: ImageDraw.ImageDraw, points: list[Point], fill: int) -> None:
    draw.polygon(points, fill=fill, outline=fill)


def _rectangle(draw: ImageDraw.ImageDraw, points: list[Point], fill: int) -> None:
    """Between two opposite corners, in any order."""
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*points, strict=True))
    draw.rectangle((left, top, right, bottom), fill=fill, outline=fill)


def _circle(draw: ImageDraw.ImageDraw, points: list[Point], fill: int) -> None:
    """Around the first point, through the second."""
    _disc(draw, points[0], math.dist(*points), fill)


def _line(draw: ImageDraw.ImageDraw, points: list[Point], fill: int) -> None:
    draw.line(points, fill=fill, width=LINE_WIDTH)


def _points(draw: ImageDraw.ImageDraw, points: list[Point], fill: int) -> None:
    for point in points:
        _disc(draw, point, POINT_RADIUS, fill)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float, fill: int) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=fill)


def _paste(image: Image.Image, shape: Shape, points: list[Point], fill: int) -> None:
    """An embedded PNG mask between two corners, both inclusive."""
    (left, top), (right, bottom) = ((int(x), int(y)) for x, y in points)
    stored = base64.b64decode(str(shape.get("mask")), validate=True)
    with Image.open(BytesIO(stored), formats=("PNG",)) as mask:
        if mask.size != (right - left + 1, bottom - top + 1):
            raise ValueError(f"a mask of {mask.width}×{mask.height} px from ({left}, {top}) to ({right}, {bottom})")
        marked = Image.fromarray((np.asarray(mask.convert("L")) > 0).astype(np.uint8) * 255)
    image.paste(fill, (left, top), marked)


KINDS: Mapping[str, Callable[[ImageDraw.ImageDraw, list[Point], int], None]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "oriented_rectangle": _polygon,
    "circle": _circle,
    "line": _line,
    "linestrip": _line,
    "point": _points,
    "points": _points,
    "mask": _points,  # pasted
}
COUNTS = {
    "polygon": (3, MAX_POINTS),
    "rectangle": (2, 2),
    "oriented_rectangle": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, MAX_POINTS),
    "point": (1, 1),
    "points": (1, MAX_POINTS),
    "mask": (2, 2),
}
"""Minimum and maximum number of points of each type."""
