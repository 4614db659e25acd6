"""The tones of the surface families: fields in [0, 1], each with random scale, direction and regularity."""

import math

import numpy as np

from zsad.data.synthetic.canvas import Field, axes, dots, noise, ramp, stretched, waves
from zsad.types import Size

Chance = np.random.Generator


def brushed(rng: Chance, size: Size) -> Field:
    """Fine streaks along one side, over slow reflections."""
    turned = rng.random() < 0.5
    shape = size[::-1] if turned else size
    streaks = noise(rng, shape, min(size) / rng.uniform(1.2, 4), octaves=1, stretch=rng.uniform(15, 80))
    sheen = noise(rng, shape, rng.uniform(1, 4), octaves=1, stretch=0.2)
    mixed = stretched(streaks + np.float32(rng.uniform(0, 2)) * sheen)
    return np.ascontiguousarray(mixed.T) if turned else mixed


def cast(rng: Chance, size: Size) -> Field:
    """A matt, slightly bumpy metal: light falls on small heights."""
    height = noise(rng, size, rng.uniform(15, 70), octaves=2)
    lit = np.zeros_like(height)
    lit[:, 1:] = height[:, 1:] - height[:, :-1]
    return stretched(lit)


def checkers(rng: Chance, size: Size) -> Field:
    """Two tones in turn."""
    along, across = _frame(rng, size)
    count = rng.uniform(3, 14)
    product = np.sin(along * np.float32(count * math.pi)) * np.sin(across * np.float32(count * math.pi))
    return ramp(product, rng.uniform(0.1, 0.6))


def concrete(rng: Chance, size: Size) -> Field:
    """Cloudy grey with fine grit and a few pores."""
    clouds = noise(rng, size, rng.uniform(2, 6), octaves=4, persistence=0.6)
    grit = rng.random(size, dtype=np.float32)
    pores = _scattered(rng, size, int(rng.integers(0, 40)), 0.008)
    return stretched(clouds + np.float32(rng.uniform(0.1, 0.6)) * grit - np.float32(0.5) * pores)


def grain(rng: Chance, size: Size) -> Field:
    """Fine grain of one to two pixels."""
    return noise(rng, size, min(size) / rng.uniform(1, 2.5), octaves=1)


def granite(rng: Chance, size: Size) -> Field:
    """Crystals: two noises of different size, cut into steps."""
    coarse = noise(rng, size, rng.uniform(12, 30), octaves=2, persistence=0.8)
    fine = noise(rng, size, rng.uniform(40, 90), octaves=1)
    return stretched(ramp(coarse - np.float32(0.5), 0.25) + ramp(fine - np.float32(rng.uniform(0.4, 0.7)), 0.15))


def leather(rng: Chance, size: Size) -> Field:
    """Creases between small cushions."""
    height = noise(rng, size, rng.uniform(12, 40), octaves=2)
    cushions: Field = np.sqrt(np.abs(np.float32(2) * height - np.float32(1)))
    return cushions


def marble(rng: Chance, size: Size) -> Field:
    """Veins: waves bent by noise."""
    along, _ = _frame(rng, size)
    bend = noise(rng, size, rng.uniform(2, 5), octaves=4)
    return waves(along * np.float32(rng.uniform(0.5, 3)) + bend * np.float32(rng.uniform(1, 3))) ** np.float32(0.5)


def tissue(rng: Chance, size: Size) -> Field:
    """Wet folds with faint vessels and small glints."""
    folds = noise(rng, size, rng.uniform(1.5, 4), octaves=2)
    vessels = np.abs(noise(rng, size, rng.uniform(4, 8), octaves=2) - np.float32(0.5))
    glints = _scattered(rng, size, int(rng.integers(0, 15)), 0.012)
    veins = np.float32(rng.uniform(0, 0.3)) * ramp(np.float32(0.02) - vessels, 0.05)
    return np.clip(np.float32(0.8) * folds - veins + np.float32(0.6) * glints, 0, 1)


def perforated(rng: Chance, size: Size) -> Field:
    """Round holes on a square or staggered grid."""
    along, across = _frame(rng, size)
    count, fill = rng.uniform(3, 14), rng.uniform(0.2, 0.4)
    along, across = along * np.float32(count), across * np.float32(count)
    if rng.random() < 0.5:
        across = across + np.float32(0.5) * (np.floor(along) % 2)
    distance = np.hypot(along % 1 - np.float32(0.5), across % 1 - np.float32(0.5))
    return ramp(distance - np.float32(fill), 2 * count / min(size))


def plain(rng: Chance, size: Size) -> Field:
    """One tone, hardly uneven."""
    return np.float32(rng.random()) + np.float32(0.1) * (noise(rng, size, 3.0, octaves=1) - np.float32(0.5))


def ribs(rng: Chance, size: Size) -> Field:
    """Parallel rounded ridges."""
    along, _ = _frame(rng, size)
    ridges: Field = np.sqrt(waves(along * np.float32(rng.uniform(4, 30))))
    return ridges


def rough(rng: Chance, size: Size) -> Field:
    """Noise of every scale at once."""
    return noise(rng, size, rng.uniform(2, 12), octaves=5, persistence=rng.uniform(0.5, 0.95))


def gradient(rng: Chance, size: Size) -> Field:
    """A slow change from one side or corner to another."""
    along, across = _frame(rng, size)
    return stretched(along + np.float32(rng.uniform(0, 0.8)) * across * across)


def cell(rng: Chance, size: Size) -> Field:
    """Crystal grains crossed by thin fingers and broad bars, as in a solar cell."""
    grains = noise(rng, size, rng.uniform(4, 15), octaves=3)
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    cols = np.arange(size[1], dtype=np.float32)[None]
    pitch, bar = max(3.0, size[0] / rng.uniform(20, 60)), size[1] / rng.integers(2, 5)
    fingers = ramp(np.float32(1) - rows % np.float32(pitch))
    bars = ramp(np.float32(0.02 * min(size)) - np.abs(cols % np.float32(bar) - np.float32(bar / 2)))
    lines = np.maximum(np.float32(rng.uniform(0, 0.5)) * fingers, bars)
    tones: Field = grains * np.float32(0.6) * (np.float32(1) - lines) + lines * np.float32(rng.choice([0.0, 1.0]))
    return tones


def stripes(rng: Chance, size: Size) -> Field:
    """Printed stripes of sharp edges, at times two sets of them."""
    along, across = _frame(rng, size)
    count = rng.uniform(2, 16)
    sharp = ramp(waves(along * np.float32(count)) - np.float32(rng.uniform(0.2, 0.8)), 0.02 + count * 6 / min(size))
    if rng.random() < 0.35:
        sharp = sharp * np.float32(0.6) + np.float32(0.4) * ramp(
            waves(across * np.float32(count)) - np.float32(0.5), 0.3
        )
    return sharp


def tiles(rng: Chance, size: Size) -> Field:
    """Tiles of slightly different tone between joints."""
    along, across = _frame(rng, size)
    count, uneven = rng.uniform(1.5, 9), rng.uniform(0, 0.4)
    along, across = along * np.float32(count) + 64, across * np.float32(count * rng.uniform(0.5, 1.2)) + 64
    table = rng.random((128, 128), dtype=np.float32)
    shade = table[along.astype(np.intp) % 128, across.astype(np.intp) % 128]
    edge = np.maximum(np.abs(along % 1 - np.float32(0.5)), np.abs(across % 1 - np.float32(0.5)))
    joint = ramp(np.float32(0.5 - rng.uniform(0.02, 0.06)) - edge, 2 * count / min(size))
    tones: Field = joint * (np.float32(1 - uneven) + np.float32(uneven) * shade)
    return tones


def mesh(rng: Chance, size: Size) -> Field:
    """Round wires crossing over a gap."""
    along, across = _frame(rng, size)
    count, thin = rng.uniform(5, 20), np.float32(rng.uniform(0.3, 0.8))
    warp, weft = waves(along * np.float32(count)), waves(across * np.float32(count))
    wires: Field = np.clip((np.maximum(warp, weft) - thin) / (np.float32(1) - thin), 0, 1)
    return wires


def wood(rng: Chance, size: Size) -> Field:
    """Long rings bent by noise, with fine fibres."""
    bend = noise(rng, size, rng.uniform(2, 5), octaves=2, stretch=rng.uniform(3, 8))
    rows = np.linspace(0, rng.uniform(2, 8), size[0], dtype=np.float32)[:, None]
    fibres = noise(rng, size, min(size) / 2.5, octaves=1, stretch=20.0)
    return stretched(waves(rows + bend * np.float32(rng.uniform(1, 4))) + np.float32(rng.uniform(0.1, 0.6)) * fibres)


def weave(rng: Chance, size: Size) -> Field:
    """Threads passing over and under one another."""
    along, across = _frame(rng, size)
    count = np.float32(rng.uniform(5, 28))
    warp, weft = np.sin(along * count * np.float32(math.pi)), np.sin(across * count * np.float32(math.pi))
    over = (np.floor(along * count) + np.floor(across * count)) % 2 == 0
    threads: Field = np.where(over, np.abs(warp), np.float32(0.85) * np.abs(weft))
    return threads


def _frame(rng: Chance, size: Size) -> tuple[Field, Field]:
    """Turned coordinates in units of the shorter side; mostly upright, as parts under a camera are."""
    angle = rng.normal(0, 0.05) + rng.choice([0, math.pi / 2]) if rng.random() < 0.6 else rng.uniform(0, math.pi)
    return axes(size, (rng.random() * size[0], rng.random() * size[1]), angle, float(min(size)))


def _scattered(rng: Chance, size: Size, count: int, radius: float) -> Field:
    """Coverage of a number of spots of up to ``radius`` (a share of the shorter side)."""
    places = rng.random((count, 2)) * size
    radii = rng.uniform(0.3, 1, (count, 2)) * radius * min(size)
    return dots(size, [((y, x), (high, wide)) for (y, x), (high, wide) in zip(places, radii, strict=True)])
