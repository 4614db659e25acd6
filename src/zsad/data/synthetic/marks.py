"""Painters of defects that lie on a surface: lines, specks, stains, pits and print errors."""

import math

import numpy as np

from zsad.data.synthetic.canvas import Colour, Colours, Field, Point, axes, dots, noise, ramp, relief, strokes, waves
from zsad.data.synthetic.site import DefectLayer, Site


def scratch(site: Site) -> DefectLayer:
    """One to four nearly parallel lines, at times with a bright lip beside the dark groove."""
    rng, angle = site.rng, site.rng.uniform(0, math.pi)
    paths = [(_curve(site, angle + rng.normal(0, 0.08)), _width(site)) for _ in range(_few(rng, 4))]
    cover = strokes(site.size, paths)
    if rng.random() < 0.4:
        cover *= np.clip(np.float32(2.2) * noise(rng, site.size, 4.0), 0, 1)
    return DefectLayer(_flat(site), cover)


def crack(site: Site) -> DefectLayer:
    """A line that wanders and branches, thinner with every branch; mostly dark."""
    width = _width(site)
    cover = strokes(site.size, _branches(site, (0.0, 0.0), site.rng.uniform(0, 2 * math.pi), width, 3))
    dark = site.local * np.float32(site.rng.uniform(0.1, 0.75))
    return DefectLayer(_filled(site, dark) if site.rng.random() < 0.7 else _flat(site), cover)


def contamination(site: Site) -> DefectLayer:
    """A fibre, specks, or a foreign blob."""
    rng = site.rng
    shape = rng.choice(3)
    if shape == 0:
        cover = strokes(site.size, [(_curve(site, rng.uniform(0, 2 * math.pi), 1.2), _width(site) * 0.7)])
    elif shape == 1:
        cover = _cluster(site, _few(rng, 25), 0.02, 0.2)
    else:
        cover = site.blob(0.8)
        light = np.float32(rng.uniform(0, 60)) * relief(cover, rng.uniform(0, 2 * math.pi))
        return DefectLayer(_filled(site, _strange(site)) + light[..., None], cover)
    return DefectLayer(_filled(site, _strange(site)), cover)


def stain(site: Site) -> DefectLayer:
    """A soft blotch that dyes the surface and leaves its texture; at times darker at its rim."""
    rng = site.rng
    depth = site.depth(rng.uniform(0.3, 1))
    dye = site.tone() / np.maximum(site.local, 1)
    strength = np.ones_like(depth)
    if rng.random() < 0.35:
        strength = np.float32(0.35) + np.float32(0.65) * ramp(np.float32(0.2) - depth, 0.2)
    cover = ramp(depth - np.float32(0.1), rng.uniform(0.1, 0.8))
    dyed = site.base * dye if rng.random() < 0.7 else site.base + (dye - 1) * site.local
    return DefectLayer(site.base + (dyed - site.base) * strength[..., None], cover)


def pitting(site: Site) -> DefectLayer:
    """A cluster of small pits, dark inside and lit at one lip."""
    pits = _cluster(site, int(site.rng.integers(1, 45)), 0.03, 0.16)
    pits *= np.float32(0.5) + np.float32(0.5) * noise(site.rng, site.size, 12.0, octaves=1)
    dark = site.base * np.float32(site.rng.uniform(0.15, 0.75))
    lip = relief(pits, site.rng.uniform(0, 2 * math.pi)) * np.float32(site.rng.uniform(0, 60))
    return DefectLayer(dark + lip[..., None], pits)


def print_error(site: Site) -> DefectLayer:
    """Stripes of wrong tone, or rows of pixels that are shifted or smeared."""
    rng = site.rng
    turned = rng.random() < 0.5
    along, across = axes(site.size, site.centre, math.pi / 2 if turned else 0.0, site.radius)
    band = ramp((np.float32(rng.uniform(0.1, 0.7)) - np.abs(along)) * np.float32(site.radius))
    cover = band * ramp((np.float32(1) - np.abs(across)) * np.float32(site.radius))
    shape = rng.choice(3)
    if shape == 0:
        stripes = ramp(waves(along * np.float32(rng.uniform(0.7, 4))) - np.float32(rng.uniform(0, 0.6)), 0.3)
        return DefectLayer(_flat(site), cover * stripes)
    if shape == 1:
        shift = max(2, round(site.radius * rng.uniform(0.1, 0.8)))
        return DefectLayer(np.roll(site.base, shift, axis=int(not turned)), cover)
    smeared = site.base.mean(int(not turned), keepdims=True)
    return DefectLayer(np.broadcast_to(smeared, site.base.shape), cover)


def _flat(site: Site) -> Colours:
    """A flat tone, through which some of the texture may show."""
    return _filled(site, site.tone())


def _filled(site: Site, tone: Colour) -> Colours:
    through = np.float32(site.rng.uniform(0, 0.4))
    filled: Colours = tone + (site.base - site.local) * through
    return filled


def _strange(site: Site) -> Colour:
    """Any colour at all, or one near the surface's."""
    if site.rng.random() < 0.6:
        return site.rng.uniform(0, 255, 3).astype(np.float32)
    return site.tone(25.0)


def _few(rng: np.random.Generator, most: int) -> int:
    """1 to ``most``, small numbers more often."""
    return 1 + int(most * rng.random() ** 2.5)


def _width(site: Site) -> float:
    """The width of a line in pixels: hairlines mostly, sometimes a twelfth of the defect."""
    return site.rng.uniform(0.5, 1.6) + site.rng.random() ** 2 * 0.16 * site.radius


def _curve(site: Site, angle: float, bend: float = 0.25) -> list[Point]:
    """A line through the defect that turns a little, as points in pixels."""
    rng = site.rng
    steps = np.linspace(-1, 1, 12) * rng.uniform(0.6, 1)
    sway = bend * rng.normal(0, 1) * (steps**2 - 0.4) + bend * rng.normal(0, 0.5) * steps**3 + rng.normal(0, 0.18)
    along, across = math.cos(angle), math.sin(angle)
    return [site.at(s * along - w * across, s * across + w * along) for s, w in zip(steps, sway, strict=True)]


def _branches(site: Site, start: Point, angle: float, width: float, forks: int) -> list[tuple[list[Point], float]]:
    """The main line and its branches; ``start`` is in radii."""
    rng, paths = site.rng, []
    here, points = start, [site.at(*start)]
    for _ in range(int(rng.integers(5, 10))):
        angle += rng.normal(0, 0.45)
        here = here[0] + 0.13 * math.cos(angle), here[1] + 0.13 * math.sin(angle)
        points.append(site.at(*here))
        if forks and rng.random() < 0.25:
            paths += _branches(site, here, angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2), width * 0.7, forks - 1)
    paths.append((points, width))
    if forks == 3:
        paths += _branches(site, start, angle + math.pi + rng.normal(0, 0.5), width, 2)
    return paths


def _cluster(site: Site, count: int, smallest: float, largest: float) -> Field:
    """Coverage of ellipses around the centre, with radii given in radii of the defect."""
    rng = site.rng
    places = np.clip(rng.normal(0, 0.45, (count, 2)), -1.2, 1.2)
    radii = np.maximum(0.7, rng.uniform(smallest, largest, (count, 1)) * rng.uniform(0.6, 1, (count, 2)) * site.radius)
    return dots(site.size, [(site.at(*place), (high, wide)) for place, (high, wide) in zip(places, radii, strict=True)])
