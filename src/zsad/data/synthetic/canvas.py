"""Coordinates, noise and anti-aliased shapes that the drawn images share.

Fields are float32 arrays of one value a pixel. Every random number comes from the generator that is handed in.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image, ImageDraw, ImageFilter

from zsad.types import Size

Field = Float32[np.ndarray, "rows cols"]
Colours = Float32[np.ndarray, "rows cols 3"]
Colour = Float32[np.ndarray, "3"]
Point = tuple[float, float]
"""(row, col) in the unit that the function names"""

_FINER = 3  # strokes are drawn this many times larger and averaged, which anti-aliases them


def noise(
    rng: np.random.Generator, size: Size, cells: float, octaves: int = 3, stretch: float = 1.0, persistence: float = 0.5
) -> Field:
    """Smooth value noise in [0, 1]: small random grids, enlarged bicubically and summed over octaves.

    Args:
        cells: blobs along the shorter side in the first octave.
        octaves: how many times the scale is halved; octaves finer than 2 pixels are left out.
        stretch: above 1 the blobs are longer along the columns by this factor.
        persistence: weight of an octave relative to the one before.
    """
    total = _enlarged(rng, size, cells, stretch)
    for octave in range(1, octaves):
        if cells * 2**octave <= min(size) / 2:
            total = total + np.float32(persistence**octave) * _enlarged(rng, size, cells * 2**octave, stretch)
    return stretched(total)


def _enlarged(rng: np.random.Generator, size: Size, cells: float, stretch: float) -> Field:
    step = min(size) / cells
    shape = max(2, round(size[0] / step) + 1), max(2, round(size[1] / (step * stretch)) + 1)
    return resized(rng.random(shape, dtype=np.float32), size)


def resized(field: Float32[np.ndarray, "in_rows in_cols"], size: Size) -> Float32[np.ndarray, "rows cols"]:
    """The field resized bicubically (it may overshoot a little)."""
    return np.asarray(Image.fromarray(field).resize(size[::-1], Image.Resampling.BICUBIC))


def stretched(field: Field) -> Field:
    """The field shifted and scaled to fill [0, 1]; a constant field becomes 0."""
    low, high = float(field.min()), float(field.max())
    return (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))


def axes(size: Size, centre: Point, angle: float = 0.0, scale: float = 1.0) -> tuple[Field, Field]:
    """Coordinates (along, across) of every pixel about a centre in pixels, turned by an angle, divided by a scale."""
    rows = (np.arange(size[0], dtype=np.float32)[:, None] - np.float32(centre[0])) / np.float32(scale)
    cols = (np.arange(size[1], dtype=np.float32)[None] - np.float32(centre[1])) / np.float32(scale)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return rows * cosine + cols * sine, cols * cosine - rows * sine


def waves(phase: Field) -> Field:
    """A sine wave in [0, 1] with period 1."""
    swing: Field = np.sin(phase * np.float32(2 * math.pi))
    return np.float32(0.5) + np.float32(0.5) * swing


def ramp(field: Field, softness: float = 1.0) -> Field:
    """From 0 to 1 across zero, over ``softness`` units: turns a distance in pixels into anti-aliased coverage."""
    coverage: Field = np.clip(field * np.float32(1 / softness) + np.float32(0.5), 0, 1)
    return coverage


def relief(height: Field, angle: float) -> Field:
    """How much brighter (positive) or darker each pixel of a height field is under light from ``angle``."""
    lit = np.zeros_like(height)
    lit[1:] += np.float32(math.cos(angle)) * (height[1:] - height[:-1])
    lit[:, 1:] += np.float32(math.sin(angle)) * (height[:, 1:] - height[:, :-1])
    return lit


def blurred(field: Field, radius: float) -> Field:
    """A field in [0, 1], blurred; kept in steps of 1/255."""
    coarse = Image.fromarray(to_bytes(field * np.float32(255)))
    return np.asarray(coarse.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / np.float32(255)


def to_bytes(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Rounded and cut to 0..255."""
    levels: UInt8[np.ndarray, "*shape"] = (np.clip(values, 0, 255) + np.float32(0.5)).astype(np.uint8)
    return levels


def strokes(size: Size, paths: Iterable[tuple[Sequence[Point], float]]) -> Field:
    """Anti-aliased coverage in [0, 1] of polylines, each given as points in pixels and a width in pixels."""
    sheet, pen = _sheet(size)
    for points, width in paths:
        pen.line([_fine(point) for point in points], fill=255, width=max(1, round(width * _FINER)), joint="curve")
    return _coverage(sheet)


def dots(size: Size, centres: Iterable[tuple[Point, Point]]) -> Field:
    """Anti-aliased coverage in [0, 1] of upright ellipses, each given as its centre and its (row, col) radii."""
    sheet, pen = _sheet(size)
    for centre, radii in centres:
        (x, y), (height, width) = _fine(centre), radii
        pen.ellipse((x - width * _FINER, y - height * _FINER, x + width * _FINER, y + height * _FINER), fill=255)
    return _coverage(sheet)


def polygon(size: Size, corners: Sequence[Point]) -> Field:
    """Anti-aliased coverage in [0, 1] of a filled polygon with corners in pixels."""
    sheet, pen = _sheet(size)
    pen.polygon([_fine(corner) for corner in corners], fill=255)
    return _coverage(sheet)


def _sheet(size: Size) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("L", (size[1] * _FINER, size[0] * _FINER))
    return sheet, ImageDraw.Draw(sheet)


def _fine(point: Point) -> Point:
    return (point[1] + 0.5) * _FINER, (point[0] + 0.5) * _FINER


def _coverage(sheet: Image.Image) -> Field:
    return np.asarray(sheet.reduce(_FINER), dtype=np.float32) / np.float32(255)
