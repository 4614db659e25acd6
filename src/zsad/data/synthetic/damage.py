"""Painters of defects in the body of a thing: holes, dents, growths, lost, moved and foreign parts."""

import math

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from zsad.data.synthetic.canvas import Colours, Field, axes, blurred, noise, polygon, ramp, relief, resized, to_bytes
from zsad.data.synthetic.site import DefectLayer, Site
from zsad.data.synthetic.surfaces import colour


def hole(site: Site) -> DefectLayer:
    """A dark or see-through opening with a shaded wall."""
    rng = site.rng
    cover = site.blob(rng.uniform(0, 0.5))
    deep = site.local * np.float32(rng.uniform(0, 0.4)) if rng.random() < 0.7 else site.surroundings
    wall = blurred(cover, 1 + site.radius / 6)
    shade = np.float32(rng.uniform(0, 4)) * relief(wall, rng.uniform(0, 2 * math.pi)) * np.float32(60)
    return DefectLayer(np.broadcast_to(deep, site.base.shape) - shade[..., None], cover)


def dent(site: Site) -> DefectLayer:
    """A hollow or a bump that only light and shade reveal."""
    depth = np.clip(site.depth(0.25), 0, 1)
    height = depth * depth * (np.float32(3) - np.float32(2) * depth)
    strength = site.rng.uniform(12, 80) * site.radius / 1.5
    lit = relief(height, site.rng.uniform(0, 2 * math.pi)) * np.float32(strength)
    return DefectLayer(site.base + lit[..., None], ramp(depth - np.float32(0.05), 0.1))


def growth(site: Site) -> DefectLayer:
    """A smooth raised blob of slightly other hue, lit from one side, with a glint: polyp, tumour, blister."""
    rng = site.rng
    depth = site.depth(rng.uniform(0.1, 0.4))
    dome = np.sqrt(np.clip(depth, 0, 1))
    angle = rng.uniform(0, 2 * math.pi)
    lit = relief(blurred(dome, 1 + site.radius / 10), angle) * np.float32(rng.uniform(20, 90) * site.radius / 3)
    skin = site.tone(8.0, 60.0) + (site.base - site.local) * np.float32(rng.uniform(0.2, 1))
    skin = skin + (lit + np.float32(rng.uniform(-10, 30)) * dome)[..., None]
    glint = ramp(lit - np.float32(rng.uniform(15, 60)), 10.0) * np.float32(rng.choice([0, 90]))
    return DefectLayer(
        skin + glint[..., None], ramp(depth * np.float32(site.radius), rng.uniform(1, 1 + site.radius / 3))
    )


def missing(site: Site) -> DefectLayer:
    """A part that is gone: the background, or the texture from beside it, is seen instead."""
    rng = site.rng
    cover = site.blob(0.5) if rng.random() < 0.5 else _box(site)
    behind = np.broadcast_to(site.surroundings, site.base.shape) if rng.random() < 0.6 else _neighbour(site)
    return DefectLayer(behind + _speckle(site, 3.0), cover)


def chip(site: Site) -> DefectLayer:
    """A jagged piece broken off at an edge: background, or rough fractured material."""
    rng = site.rng
    cover = _jagged(site)
    if rng.random() < 0.5:
        return DefectLayer(site.surroundings + _speckle(site, 4.0), cover)
    facets = noise(rng, site.size, rng.uniform(4, 12), octaves=3)
    lit = relief(facets, rng.uniform(0, 2 * math.pi)) * np.float32(rng.uniform(100, 400))
    return DefectLayer(site.tone(20.0, 110.0) + lit[..., None], cover)


def misplaced(site: Site) -> DefectLayer:
    """A patch of the same image, turned and jittered in colour, pasted where it does not belong (CutPaste)."""
    rng = site.rng
    patch = _crop(site, site.image, rng.uniform(0.7, 1.4))
    patch = np.rot90(patch, int(rng.integers(4))) if patch.shape[0] == patch.shape[1] else patch[::-1]
    jitter = rng.uniform(0.8, 1.2, 3).astype(np.float32) * np.float32(rng.uniform(0.85, 1.15))
    return DefectLayer(_fitted(site, patch) * jitter, _box(site) if rng.random() < 0.5 else site.blob(0.5))


def foreign(site: Site) -> DefectLayer:
    """A foreign texture seen through a Perlin mask, more or less opaque (DRAEM)."""
    rng = site.rng
    islands = noise(rng, site.size, rng.uniform(1.5, 6), octaves=2) - np.float32(rng.uniform(0.35, 0.55))
    cover = ramp(islands * np.float32(site.radius), 1.5) * ramp(site.depth(0.3) * np.float32(site.radius), 1.5)
    texture = _fitted(site, _crop(site, site.elsewhere(), 1.0))
    opaque = np.float32(rng.uniform(0.3, 1))
    return DefectLayer(site.base + (texture - site.base) * opaque, cover)


def blur(site: Site) -> DefectLayer:
    """A part out of focus."""
    radius = site.rng.uniform(1.5, 6)
    soft = Image.fromarray(to_bytes(site.base)).filter(ImageFilter.GaussianBlur(radius))
    return DefectLayer(np.asarray(soft, dtype=np.float32), site.blob(0.4, softness=4.0))


def discoloured(site: Site) -> DefectLayer:
    """A part whose hue, saturation or contrast differs."""
    rng = site.rng
    grey = site.base.mean(2, keepdims=True)
    if rng.random() < 0.6:
        gains = colour(rng.random(), rng.uniform(0.15, 0.8), 1.0) / np.float32(200)
        changed = (site.base if rng.random() < 0.5 else grey) * gains
    else:
        changed = grey + (site.base - grey) * np.float32(rng.choice([0, 2.5])) + np.float32(rng.uniform(-40, 40))
    return DefectLayer(changed, _box(site) if rng.random() < 0.3 else site.blob(0.5, softness=rng.uniform(1, 6)))


def filled(site: Site) -> DefectLayer:
    """A feature that should be there and is closed over: the tones around it run across."""
    rows, cols = (np.linspace(0, n - 1, 3).round().astype(np.intp) for n in site.size)
    corners = site.base[rows[:, None], cols[None]]
    corners[1, 1] = corners[[0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 1, 2]].mean(0)
    smooth = np.stack([resized(np.ascontiguousarray(corners[..., channel]), site.size) for channel in range(3)], 2)
    return DefectLayer(smooth + _speckle(site, 3.0), site.blob(0.2, softness=2.0))


def bent(site: Site) -> DefectLayer:
    """A part that is bent or swirled: pixels come from elsewhere in the window."""
    depth = np.clip(site.depth(0.1), 0, 1)
    along, across = axes(site.size, (0.0, 0.0))
    angle, reach = site.rng.uniform(0, 2 * math.pi), np.float32(site.radius * site.rng.uniform(0.3, 1.2))
    push = depth * reach
    rows = np.clip(along + push * np.float32(math.cos(angle)), 0, site.size[0] - 1).astype(np.intp)
    cols = np.clip(across + push * np.float32(math.sin(angle)), 0, site.size[1] - 1).astype(np.intp)
    return DefectLayer(site.base[rows, cols], ramp(depth - np.float32(0.02), 0.04))


def _box(site: Site) -> Field:
    """Coverage of a rectangle, upright more often than turned."""
    rng = site.rng
    angle = 0.0 if rng.random() < 0.5 else rng.uniform(0, math.pi)
    along, across = axes(site.size, site.centre, angle, site.radius)
    high, wide = np.float32(rng.uniform(0.3, 1)), np.float32(rng.uniform(0.3, 1))
    return ramp(np.minimum(high - np.abs(along), wide - np.abs(across)) * np.float32(site.radius))


def _jagged(site: Site) -> Field:
    """Coverage of a polygon with corners at uneven distances."""
    count = int(site.rng.integers(5, 12))
    turns = np.sort(site.rng.uniform(0, 2 * math.pi, count))
    reach = site.rng.uniform(0.5, 1.1, count)
    corners = [site.at(r * math.cos(t), r * math.sin(t)) for r, t in zip(reach, turns, strict=True)]
    return polygon(site.size, corners)


def _neighbour(site: Site) -> Colours:
    """The image from just outside of the defect, towards the background."""
    reach = site.radius * site.rng.uniform(1.5, 2.5)
    return _shifted(site, reach * math.cos(site.outward), reach * math.sin(site.outward))


def _shifted(site: Site, down: float, right: float) -> Colours:
    rows = np.clip(np.arange(site.size[0]) + site.corner[0] + round(down), 0, site.image.shape[0] - 1)
    cols = np.clip(np.arange(site.size[1]) + site.corner[1] + round(right), 0, site.image.shape[1] - 1)
    return site.image[rows[:, None], cols[None]].astype(np.float32)


def _crop(site: Site, image: UInt8[np.ndarray, "r c 3"], scale: float) -> UInt8[np.ndarray, "h w 3"]:
    """A random piece of an image, ``scale`` times as large as the window where the image allows it."""
    high, wide = (max(1, min(round(n * scale), m)) for n, m in zip(site.size, image.shape, strict=False))
    top, left = site.rng.integers(image.shape[0] - high + 1), site.rng.integers(image.shape[1] - wide + 1)
    return image[top : top + high, left : left + wide]


def _fitted(site: Site, patch: UInt8[np.ndarray, "h w 3"]) -> Colours:
    """A patch resized to the window."""
    resized_patch = Image.fromarray(np.ascontiguousarray(patch)).resize(site.size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized_patch, dtype=np.float32)


def _speckle(site: Site, strength: float) -> Colours:
    """Fine grey noise in the window."""
    speckle: Colours = site.rng.normal(0, strength, (*site.size, 1)).astype(np.float32) + np.zeros_like(site.base)
    return speckle
