"""Random surfaces: flat pieces of material as a camera sees them.

A surface is a field of tones in [0, 1] made by one of ``FAMILIES``, coloured by a palette, lit and made noisy.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from zsad.data.synthetic import textures
from zsad.data.synthetic.canvas import Colour, Field, noise, to_bytes
from zsad.types import Size


@dataclass(frozen=True)
class Family:
    """A kind of surface: how its tones are drawn, and the hues (0 to 1) and most saturation it has in the world."""

    tones: Callable[[np.random.Generator, Size], Field]
    hues: tuple[float, float] = (0.0, 1.0)
    saturation: float = 0.6


FAMILIES: Mapping[str, Family] = {
    "brushed metal": Family(textures.brushed, saturation=0.15),
    "cast metal": Family(textures.cast, saturation=0.15),
    "checkerboard": Family(textures.checkers),
    "concrete": Family(textures.concrete, saturation=0.2),
    "film grain": Family(textures.grain),
    "granite": Family(textures.granite, saturation=0.4),
    "leather": Family(textures.leather, (0.0, 0.15)),
    "marble": Family(textures.marble, saturation=0.3),
    "mucous tissue": Family(textures.tissue, (-0.04, 0.07), 0.8),
    "perforated sheet": Family(textures.perforated, saturation=0.3),
    "plain paint": Family(textures.plain),
    "ribbed plastic": Family(textures.ribs),
    "rough noise": Family(textures.rough),
    "soft gradient": Family(textures.gradient),
    "solar cell": Family(textures.cell, (0.55, 0.7), 0.3),
    "striped print": Family(textures.stripes, saturation=0.9),
    "tiled grid": Family(textures.tiles),
    "wire mesh": Family(textures.mesh, saturation=0.3),
    "wood": Family(textures.wood, (0.04, 0.12), 0.7),
    "woven fabric": Family(textures.weave, saturation=0.8),
}
"""Every kind of surface by its name in plain words."""


def surface(rng: np.random.Generator, size: Size) -> tuple[UInt8[np.ndarray, "rows cols 3"], str]:
    """A random surface and its name, one of ``FAMILIES``.

    Args:
        rng: the only source of randomness; the same state gives the same image.
        size: (rows, cols) in pixels.
    """
    name = str(rng.choice(list(FAMILIES)))
    family = FAMILIES[name]
    return finish(rng, family.tones(rng, size), *_palette(rng, family)), name


def finish(rng: np.random.Generator, tones: Field, dark: Colour, light: Colour) -> UInt8[np.ndarray, "rows cols 3"]:
    """Tones in [0, 1] coloured from ``dark`` to ``light`` (0 to 255), unevenly lit, shadowed and made noisy."""
    lit = _light(rng, tones.shape)
    coloured = dark * lit[..., None] + (light - dark) * (tones * lit)[..., None]
    if rng.random() < 0.7:
        grain = rng.standard_normal(tones.shape, dtype=np.float32) * np.float32(rng.uniform(0.5, 8))
        coloured += grain[..., None]
    return to_bytes(coloured)


def _light(rng: np.random.Generator, size: Size) -> Field:
    """Illumination about 1: a slope, and at times soft shadows."""
    slope = rng.uniform(0, 0.5) * rng.random()
    angle = rng.uniform(0, 2 * math.pi)
    rows = np.linspace(-slope * math.cos(angle), slope * math.cos(angle), size[0], dtype=np.float32)
    cols = np.linspace(-slope * math.sin(angle), slope * math.sin(angle), size[1], dtype=np.float32)
    lit: Field = np.float32(1) + rows[:, None] + cols[None]
    if rng.random() < 0.3:
        lit -= np.float32(rng.uniform(0.1, 0.4)) * noise(rng, size, rng.uniform(1, 3), octaves=1)
    return lit


def _palette(rng: np.random.Generator, family: Family) -> tuple[Colour, Colour]:
    """The darkest and lightest colour: near in hue, and as often low in contrast as high."""
    hue = rng.uniform(*family.hues)
    grey = rng.random() < 0.25
    saturation = 0.0 if grey else rng.uniform(0, family.saturation)
    value = rng.uniform(0.1, 0.95)
    contrast = rng.uniform(0.06, 0.7)
    low, high = max(0.03, value - contrast / 2), min(1.0, value + contrast / 2)
    second_hue = hue + rng.normal(0, 0.04) if rng.random() < 0.85 else rng.uniform(*family.hues)
    pair = colour(hue, saturation, low), colour(second_hue, saturation * rng.uniform(0.3, 1), high)
    return pair if rng.random() < 0.7 else pair[::-1]


def colour(hue: float, saturation: float, value: float) -> Colour:
    """RGB in 0 to 255 of hue (its whole part is dropped), saturation and value in [0, 1]."""
    ramps = np.abs(np.mod(hue + np.array([0, 2 / 3, 1 / 3]), 1) * 6 - 3) - 1
    mixed: Colour = (255 * value * (1 - saturation + saturation * np.clip(ramps, 0, 1))).astype(np.float32)
    return mixed
