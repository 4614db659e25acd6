"""The pieces of drawn parts, as depths: how many pixels a pixel lies inside of an outline (negative outside)."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zsad.data.synthetic.canvas import Field, Point, axes, noise

Chance = np.random.Generator


@dataclass(frozen=True)
class PartFrame:
    """Turned coordinates of a part, in pixels from its centre, and its half extent in pixels."""

    along: Field
    across: Field
    centre: Point
    angle: float
    extent: float


@dataclass(frozen=True)
class Piece:
    """One outline of a part, drawn over the ones before.

    Attributes:
        depth: pixels inside of the outline.
        tone: brightness relative to the material; 0 shows a hole in black.
        second: whether it is of the second material.
        opens: whether the background shows through instead.
    """

    depth: Field
    tone: float = 1.0
    second: bool = False
    opens: bool = False


def disc(frame: PartFrame, radius: float, along: float = 0.0, across: float = 0.0) -> Field:
    """A circle of a radius about a point, all in half extents."""
    e = frame.extent
    return np.float32(radius * e) - np.hypot(frame.along - np.float32(along * e), frame.across - np.float32(across * e))


def box(
    frame: PartFrame, high: float, wide: float, along: float = 0.0, across: float = 0.0, corner: float = 0.0
) -> Field:
    """A rectangle of half sides about a point, with rounded corners, all in half extents."""
    e = frame.extent
    out = np.abs(frame.along - np.float32(along * e)) - np.float32((high - corner) * e)
    over = np.abs(frame.across - np.float32(across * e)) - np.float32((wide - corner) * e)
    if corner == 0:
        return -np.maximum(out, over)
    return (
        np.float32(corner * e)
        - np.hypot(np.maximum(out, 0), np.maximum(over, 0))
        - np.minimum(np.maximum(out, over), 0)
    )


def regular(frame: PartFrame, radius: float, sides: int) -> Field:
    """A regular polygon whose sides lie at a radius in half extents."""
    turns = (2 * math.pi * side / sides for side in range(sides))
    reach = [frame.along * np.float32(math.cos(t)) + frame.across * np.float32(math.sin(t)) for t in turns]
    return np.float32(radius * frame.extent) - functools.reduce(np.maximum, reach)


def toothed(frame: PartFrame, radius: float, teeth: int, height: float, sharp: float) -> Field:
    """A circle whose radius swings ``teeth`` times round by ``height``; sharper swings look like cogs."""
    swing = np.clip(np.cos(np.arctan2(frame.across, frame.along) * np.float32(teeth)) * np.float32(sharp), -1, 1)
    depth: Field = disc(frame, radius) + np.float32(height * frame.extent) * swing
    return depth


def irregular(rng: Chance, frame: PartFrame, radius: float, roughness: float) -> Field:
    """A circle with a wavy, crumbly outline."""
    wobble = noise(rng, frame.along.shape, rng.uniform(3, 8), octaves=4) - np.float32(0.5)
    depth: Field = disc(frame, radius) + np.float32(roughness * frame.extent) * wobble
    return depth


def lettering(rng: Chance, frame: PartFrame, lines: int) -> Field:
    """Lines of random letters, as a depth of about half a pixel."""
    sheet = Image.new("L", frame.along.shape[::-1])
    pen, height = ImageDraw.Draw(sheet), frame.extent / lines
    row, col = frame.centre
    for line in range(lines):
        text = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUVXYZ0123456789 -/"), int(rng.integers(3, 11))))
        pen.text(
            (col, row + (line - (lines - 1) / 2) * height),
            text,
            fill=255,
            font=_font(max(6, int(height * 0.8))),
            anchor="mm",
        )
    turned = sheet.rotate(math.degrees(frame.angle), Image.Resampling.BILINEAR, center=(col, row))
    return np.asarray(turned, dtype=np.float32) / np.float32(255) - np.float32(0.5)


@functools.cache
def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(height)


def frame(size: tuple[int, int], centre: Point, angle: float, extent: float) -> PartFrame:
    """Coordinates about a centre in pixels."""
    return PartFrame(*axes(size, centre, angle), centre, angle, extent)
