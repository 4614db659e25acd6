"""Where a defect goes: a small window of the image, with coordinates in units of the defect's size.

Drawing in the window only keeps a defect fast, and its units make every painter independent of the image's size.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, UInt8

from zsad.data.synthetic.canvas import Colour, Colours, Field, Point, axes, noise, ramp
from zsad.data.synthetic.surfaces import surface
from zsad.types import Size

SMALLEST, LARGEST = 0.01, 0.25
"""Half the extent of a defect, as a share of the image's shorter side."""
LEAST_RADIUS = 2.0
"""Half the extent of a defect in pixels, however small the image."""
_REACH = 1.5  # half the side of the window, in radii
_CANDIDATES = 24  # random places among which the busiest is taken


@dataclass(frozen=True)
class DefectLayer:
    """What a painter draws in the window of a site: colours (0 to 255) and coverage (0 to 1)."""

    paint: Colours
    cover: Field


@dataclass(frozen=True)
class Site:
    """A window of an image around the place of a defect.

    Attributes:
        image: the whole image.
        corner: (row, col) of the window's first pixel in the image.
        base: the window's pixels.
        inside: which of them belong to the object.
        centre: the place of the defect, in pixels of the window.
        radius: half the extent of the defect in pixels.
        outward: direction towards the background (0 is down, a quarter turn is right).
        surroundings: mean colour of what is not the object, or of the image's border.
        donor: an image to take foreign texture from.
    """

    rng: np.random.Generator
    image: UInt8[np.ndarray, "all_rows all_cols 3"]
    corner: tuple[int, int]
    base: Colours
    inside: Bool[np.ndarray, "rows cols"]
    centre: Point
    radius: float
    outward: float
    surroundings: Colour
    donor: UInt8[np.ndarray, "donor_rows donor_cols 3"] | None

    @property
    def size(self) -> Size:
        """(rows, cols) of the window."""
        return self.base.shape[0], self.base.shape[1]

    @cached_property
    def local(self) -> Colour:
        """Mean colour of the window."""
        mean: Colour = self.base.mean((0, 1), dtype=np.float32)
        return mean

    def at(self, along: float, across: float) -> Point:
        """A point given in radii from the centre, in pixels of the window."""
        return self.centre[0] + along * self.radius, self.centre[1] + across * self.radius

    def blob(self, roughness: float = 0.4, softness: float = 1.0) -> Field:
        """Coverage of an irregular ellipse; ``softness`` is the width of its edge in pixels."""
        return ramp(self.depth(roughness) * np.float32(self.radius), softness)

    def depth(self, roughness: float = 0.4) -> Field:
        """How deep a pixel lies in an irregular ellipse, in radii: about 1 in the middle, 0 on its edge."""
        slender = self.rng.uniform(1, 2.2)
        along, across = axes(self.size, self.centre, self.rng.uniform(0, math.pi), self.radius)
        distance = np.hypot(along, across * np.float32(slender))
        wobble = noise(self.rng, self.size, self.rng.uniform(2, 6), octaves=3) - np.float32(0.5)
        inside: Field = np.float32(1) - distance + np.float32(roughness) * wobble
        return inside

    def tone(self, weakest: float = 14.0, strongest: float = 150.0) -> Colour:
        """A flat colour: the local one, darker or brighter (slightly as often as strongly), and tinted."""
        change = weakest * (strongest / weakest) ** self.rng.random()
        room = float(self.local.mean())
        sign = 1 if self.rng.random() * 255 > room else -1
        tint = self.rng.normal(0, 0.25 * change, 3)
        changed: Colour = np.clip(self.local + sign * change + tint, 0, 255).astype(np.float32)
        return changed

    def elsewhere(self) -> UInt8[np.ndarray, "all_rows all_cols 3"]:
        """A foreign image: the donor, or else a random surface of the window's size."""
        return self.donor if self.donor is not None else surface(self.rng, self.size)[0]


def choose_site(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "all_rows all_cols 3"],
    foreground: Bool[np.ndarray, "all_rows all_cols"] | None,
    donor: UInt8[np.ndarray, "donor_rows donor_cols 3"] | None,
    on_edge: bool,
) -> Site:
    """A site of random size, anywhere on the object or ``on_edge``: at its outline, or at the strongest edge nearby."""
    shorter = min(image.shape[:2])
    share = SMALLEST * (LARGEST / SMALLEST) ** rng.beta(2.2, 1.1)
    radius = max(LEAST_RADIUS, share * shorter)
    centre, outward = _place(rng, image, foreground, radius, on_edge)
    first, last = _window(image.shape[:2], centre, radius)
    window = slice(first[0], last[0]), slice(first[1], last[1])
    return Site(
        rng=rng,
        image=image,
        corner=first,
        base=image[window].astype(np.float32),
        inside=np.ones_like(image[window][..., 0], dtype=np.bool_) if foreground is None else foreground[window],
        centre=(centre[0] - first[0], centre[1] - first[1]),
        radius=radius,
        outward=outward,
        surroundings=_surroundings(image, foreground),
        donor=donor,
    )


def _window(size: tuple[int, ...], centre: Point, radius: float) -> tuple[tuple[int, int], tuple[int, int]]:
    reach = math.ceil(radius * _REACH) + 2
    first = max(0, int(centre[0]) - reach), max(0, int(centre[1]) - reach)
    return first, (min(size[0], int(centre[0]) + reach + 1), min(size[1], int(centre[1]) + reach + 1))


def _place(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "all_rows all_cols 3"],
    foreground: Bool[np.ndarray, "all_rows all_cols"] | None,
    radius: float,
    on_edge: bool,
) -> tuple[Point, float]:
    """A centre in pixels, and the direction out of the object there (random where nothing tells)."""
    size = image.shape[:2]
    if foreground is None:
        rows, cols = rng.integers(0, size[0], _CANDIDATES), rng.integers(0, size[1], _CANDIDATES)
    else:
        chosen = rng.choice(np.flatnonzero(foreground), _CANDIDATES)
        rows, cols = np.divmod(chosen, size[1])
    if not on_edge:
        return (float(rows[0]), float(cols[0])), rng.uniform(0, 2 * math.pi)
    field = image[..., 1].astype(np.float32) if foreground is None else foreground.astype(np.float32) * np.float32(-255)
    step = max(1, round(radius / 2))
    down = field[np.minimum(rows + step, size[0] - 1), cols] - field[np.maximum(rows - step, 0), cols]
    right = field[rows, np.minimum(cols + step, size[1] - 1)] - field[rows, np.maximum(cols - step, 0)]
    best = int(np.argmax(np.hypot(down, right)))
    if down[best] == 0 and right[best] == 0:
        return (float(rows[best]), float(cols[best])), rng.uniform(0, 2 * math.pi)
    return (float(rows[best]), float(cols[best])), math.atan2(float(right[best]), float(down[best]))


def _surroundings(image: UInt8[np.ndarray, "rows cols 3"], foreground: Bool[np.ndarray, "rows cols"] | None) -> Colour:
    outside = image[[0, -1]].reshape(-1, 3)
    if foreground is not None and not foreground.all():
        thinned = ~foreground[::4, ::4]
        outside = image[::4, ::4][thinned] if thinned.any() else image[~foreground]
    mean: Colour = outside.mean(0, dtype=np.float32)
    return mean
