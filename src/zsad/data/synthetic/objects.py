"""Random parts: single objects as an inspection camera sees them, with their outline.

A part is a list of pieces (``PARTS``) in one or two materials, shaded by a height that rises from every outline, on a
background that is dark, plain or a surface, with a shadow.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, UInt8

from zsad.data.synthetic.canvas import Colours, Field, blurred, ramp, relief, to_bytes
from zsad.data.synthetic.outlines import (
    Chance,
    PartFrame,
    Piece,
    box,
    disc,
    frame,
    irregular,
    lettering,
    regular,
    toothed,
)
from zsad.data.synthetic.surfaces import colour, surface
from zsad.types import Size


def part(
    rng: np.random.Generator, size: Size
) -> tuple[UInt8[np.ndarray, "rows cols 3"], str, Bool[np.ndarray, "rows cols"]]:
    """A random object on a background: the image, its name (one of ``PARTS``), and where the object is.

    Args:
        rng: the only source of randomness; the same state gives the same image.
        size: (rows, cols) in pixels.
    """
    name = str(rng.choice(list(PARTS)))
    extent = min(size) * rng.uniform(0.28, 0.48)
    centre = size[0] / 2 + rng.normal(0, 0.03) * size[0], size[1] / 2 + rng.normal(0, 0.03) * size[1]
    angle = rng.normal(0, 0.12) if rng.random() < 0.8 else rng.uniform(0, 2 * math.pi)
    pieces = PARTS[name](rng, frame(size, centre, angle, extent))
    outline = _outline(pieces)
    return _rendered(rng, pieces, outline), name, outline > 0.5


def _rendered(rng: Chance, pieces: list[Piece], outline: Field) -> UInt8[np.ndarray, "rows cols 3"]:
    """The pieces in their materials, on a background."""
    size, angle = outline.shape, rng.uniform(0, 2 * math.pi)
    shade, second = _shading(rng, pieces, angle)
    first = _material(rng, size, 0.35)
    stuff = first + (_material(rng, size, 0.1) - first) * second[..., None] if second.any() else first
    behind = _background(rng, size) * _shadow(rng, outline, angle)[..., None]
    image = behind + (stuff * shade[..., None] - behind) * outline[..., None]
    image += (rng.standard_normal(size, dtype=np.float32) * np.float32(rng.uniform(0, 5)))[..., None]
    return to_bytes(image)


def _outline(pieces: list[Piece]) -> Field:
    """Coverage of the object in [0, 1]."""
    covered = np.zeros_like(pieces[0].depth)
    for piece in pieces:
        cover = ramp(piece.depth)
        covered = covered * (1 - cover) if piece.opens else np.maximum(covered, cover)
    return covered


def _shading(rng: Chance, pieces: list[Piece], angle: float) -> tuple[Field, Field]:
    """Brightness of every pixel of the object (about 1), and how much it is of the second material."""
    shade, second = np.ones_like(pieces[0].depth), np.zeros_like(pieces[0].depth)
    bevel, strength = np.float32(rng.uniform(1.5, 10)), np.float32(rng.uniform(0.1, 0.6))
    for piece in pieces:
        cover = ramp(piece.depth)
        lit = relief(np.sqrt(np.clip(piece.depth / bevel, 0, 1)), angle) * strength * np.sqrt(bevel)
        shade += (np.float32(piece.tone) + lit - shade) * cover
        second += (np.float32(piece.second) - second) * cover
    return shade, second


def _material(rng: Chance, size: Size, textured: float) -> Colours:
    """A plain colour, or a surface with the given probability."""
    if rng.random() < textured:
        return surface(rng, size)[0].astype(np.float32)
    shade = colour(rng.random(), rng.uniform(0, 0.7) * rng.random(), rng.uniform(0.2, 0.95))
    return np.broadcast_to(shade, (*size, 3))


def _background(rng: Chance, size: Size) -> Colours:
    """Dark, light, plain, or at times a surface."""
    chance = rng.random()
    if chance < 0.2:
        return surface(rng, size)[0].astype(np.float32)
    value = rng.uniform(0, 0.12) if chance < 0.45 else rng.uniform(0.85, 1) if chance < 0.65 else rng.uniform(0.1, 1)
    slope = np.linspace(rng.uniform(0.8, 1), 1, size[0], dtype=np.float32)[:, None, None]
    return np.broadcast_to(colour(rng.random(), rng.uniform(0, 0.3), value), (*size, 3)) * slope


def _shadow(rng: Chance, outline: Field, angle: float) -> Field:
    """Light that is left on the background beside the object."""
    if rng.random() < 0.4:
        return np.ones_like(outline)
    reach = rng.uniform(0.01, 0.05) * min(outline.shape)
    cast = np.roll(outline, (round(reach * math.cos(angle)), round(reach * math.sin(angle))), (0, 1))
    return 1 - np.float32(rng.uniform(0.15, 0.6)) * blurred(cast, reach)


def _disc(rng: Chance, f: PartFrame) -> list[Piece]:
    return [Piece(disc(f, 1.0))] + [Piece(disc(f, rng.uniform(0.3, 0.85)), rng.uniform(0.6, 1.2))] * int(
        rng.integers(2)
    )


def _ring(rng: Chance, f: PartFrame) -> list[Piece]:
    return [Piece(disc(f, 1.0)), Piece(disc(f, rng.uniform(0.3, 0.8)), opens=True)]


def _bolt(rng: Chance, f: PartFrame) -> list[Piece]:
    washer = [Piece(disc(f, 1.0), rng.uniform(0.6, 1.1), second=True)] if rng.random() < 0.5 else []
    head = Piece(regular(f, rng.uniform(0.7, 0.85), int(rng.choice([4, 6, 6, 6, 8]))))
    socket = Piece(regular(f, rng.uniform(0.2, 0.4), 6), rng.uniform(0.1, 0.5))
    return [*washer, head, socket if rng.random() < 0.5 else Piece(disc(f, rng.uniform(0.4, 0.6)), 0.9)]


def _gear(rng: Chance, f: PartFrame) -> list[Piece]:
    wheel = toothed(f, 0.88, int(rng.integers(8, 36)), rng.uniform(0.04, 0.1), rng.uniform(1, 5))
    hub = Piece(disc(f, rng.uniform(0.3, 0.6)), rng.uniform(0.6, 1.2))
    return [Piece(wheel), hub, Piece(disc(f, rng.uniform(0.1, 0.25)), opens=True)]


def _bottle_top(rng: Chance, f: PartFrame) -> list[Piece]:
    crimped = Piece(toothed(f, 0.93, int(rng.integers(18, 30)), rng.uniform(0, 0.06), 1.0))
    radii = np.sort(rng.uniform(0.15, 0.85, int(rng.integers(2, 6))))[::-1]
    rings = [Piece(disc(f, float(r)), rng.uniform(0.3, 1.3), rng.random() < 0.3) for r in radii]
    return [crimped, *rings]


def _capsule(rng: Chance, f: PartFrame) -> list[Piece]:
    wide = rng.uniform(0.28, 0.45)
    outline = box(f, wide, 1.0, corner=wide)
    half = np.minimum(outline, f.across - np.float32(rng.uniform(-0.3, 0.3) * f.extent))
    return [Piece(outline), Piece(half, second=True), *_printed(rng, f, outline, 0.25)]


def _plate(rng: Chance, f: PartFrame) -> list[Piece]:
    high, wide = rng.uniform(0.5, 1), 1.0
    rows, cols, radius = int(rng.integers(1, 4)), int(rng.integers(2, 5)), rng.uniform(0.06, 0.13)
    spots = [
        (high * 0.7 * y, 0.75 * x)
        for y in (np.linspace(-1, 1, rows) if rows > 1 else [0.0])
        for x in np.linspace(-1, 1, cols)
    ]
    opens = rng.random() < 0.7
    return [Piece(box(f, high, wide, corner=rng.uniform(0, 0.2)))] + [
        Piece(disc(f, radius, y, x), 0.1, opens=opens) for y, x in spots
    ]


def _cookie(rng: Chance, f: PartFrame) -> list[Piece]:
    radii, turns = np.sqrt(rng.uniform(0, 0.7, 14)), rng.uniform(0, 2 * math.pi, 14)
    chips = np.maximum.reduce(
        [
            disc(f, rng.uniform(0.04, 0.12), r * math.cos(t), r * math.sin(t))
            for r, t in zip(radii[: int(rng.integers(1, 14))], turns, strict=False)
        ]
    )
    return [Piece(irregular(rng, f, 0.95, rng.uniform(0.05, 0.3))), Piece(chips, rng.uniform(0.3, 0.8), second=True)]


def _label(rng: Chance, f: PartFrame) -> list[Piece]:
    sheet = box(f, rng.uniform(0.5, 0.9), 1.0, corner=rng.uniform(0, 0.15))
    return [Piece(sheet, 1.2), *_printed(rng, f, sheet, 1.0)]


def _leads(rng: Chance, f: PartFrame) -> list[Piece]:
    count, wide, reach = int(rng.integers(2, 7)), rng.uniform(0.03, 0.09), rng.uniform(0.6, 1)
    places = np.linspace(-0.6, 0.6, count)
    pins = np.maximum.reduce([box(f, reach / 2, wide, reach / 2, float(place)) for place in places])
    upper = -rng.uniform(0.2, 0.8) / 2
    body = Piece(box(f, -upper + 0.15, 0.8, upper, corner=rng.uniform(0, 0.12)), rng.uniform(0.15, 0.8), second=True)
    mark = Piece(disc(f, rng.uniform(0.05, 0.15), upper, 0.0), rng.uniform(0.1, 1.2))
    return [Piece(pins, 1.1), body, *([mark] if rng.random() < 0.5 else [])]


def _screw(rng: Chance, f: PartFrame) -> list[Piece]:
    wide, pitch, slant = rng.uniform(0.2, 0.4), rng.uniform(0.1, 0.3), rng.uniform(0, 0.35)
    period = np.float32(pitch * f.extent)
    phase = ((f.across + f.along * np.float32(slant)) / period) % 1
    groove = (np.float32(rng.uniform(0.2, 0.35)) - np.abs(phase - np.float32(0.5))) * period
    shank = box(f, wide, 1.0)
    core = np.minimum(shank, groove)
    head = [Piece(box(f, wide * 1.7, 0.15, 0.0, -0.9, 0.05))] if rng.random() < 0.6 else []
    return [Piece(shank), Piece(core, rng.uniform(0.4, 0.9)), *head]


def _printed(rng: Chance, f: PartFrame, outline: Field, chance: float) -> list[Piece]:
    """Text within an outline, with a probability."""
    if rng.random() >= chance:
        return []
    return [
        Piece(
            np.minimum(outline, lettering(rng, f, int(rng.integers(1, 5)))),
            rng.uniform(0.05, 0.5),
            second=rng.random() < 0.3,
        )
    ]


PARTS: Mapping[str, Callable[[Chance, PartFrame], list[Piece]]] = {
    "bolt": _bolt,
    "bottle top": _bottle_top,
    "capsule": _capsule,
    "cookie": _cookie,
    "disc": _disc,
    "gear": _gear,
    "perforated plate": _plate,
    "printed label": _label,
    "ring": _ring,
    "screw": _screw,
    "transistor": _leads,
}
"""Every kind of object by its name in plain words."""
