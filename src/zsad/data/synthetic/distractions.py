"""Harmless variation between images of good parts (distractions), which is no defect."""

import io
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from zsad.data.synthetic.canvas import axes, noise, to_bytes

Pixels = UInt8[np.ndarray, "rows cols 3"]


def distract(rng: np.random.Generator, image: UInt8[np.ndarray, "rows cols 3"]) -> UInt8[np.ndarray, "rows cols 3"]:
    """A copy of the image under one to three harmless changes of the whole of it; there is no mask.

    Args:
        rng: the only source of randomness; the same state gives the same image.
        image: uint8 RGB of any size.
    """
    for index in rng.permutation(len(_CHANGES))[: int(rng.integers(1, 4))]:
        image = _CHANGES[index](rng, image)
    return image


def _blur(rng: np.random.Generator, image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5))))


def _noise(rng: np.random.Generator, image: Pixels) -> Pixels:
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32) * np.float32(rng.uniform(1, 9))
    return to_bytes(image + grain[..., None])


def _compression(rng: np.random.Generator, image: Pixels) -> Pixels:
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=int(rng.integers(35, 90)))
    return np.asarray(Image.open(stored))


def _gamma(rng: np.random.Generator, image: Pixels) -> Pixels:
    curve = 255 * np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.25))
    changed: Pixels = to_bytes(curve)[image]
    return changed


def _tint(rng: np.random.Generator, image: Pixels) -> Pixels:
    gains = (1 + rng.normal(0, 0.06, 3)).astype(np.float32) * np.float32(rng.uniform(0.8, 1.2))
    return to_bytes(image * gains)


def _illumination(rng: np.random.Generator, image: Pixels) -> Pixels:
    light = noise(rng, image.shape[:2], rng.uniform(1, 2), octaves=1) - np.float32(0.5)
    return to_bytes(image * (1 + np.float32(rng.uniform(0, 0.5)) * light)[..., None])


def _vignette(rng: np.random.Generator, image: Pixels) -> Pixels:
    size = image.shape[:2]
    along, across = axes(size, (size[0] / 2, size[1] / 2), 0.0, max(size) / 2)
    return to_bytes(image * (1 - np.float32(rng.uniform(0, 0.3)) * (along**2 + across**2))[..., None])


_CHANGES: list[Callable[[np.random.Generator, Pixels], Pixels]] = [
    _blur,
    _noise,
    _compression,
    _gamma,
    _tint,
    _illumination,
    _vignette,
]
