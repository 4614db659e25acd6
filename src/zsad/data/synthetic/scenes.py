"""Whole training images: a scene with or without defects, with harmless variation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from zsad.data.synthetic.defects import draw_defect
from zsad.data.synthetic.distractions import distract

MOST_DEFECTS = 3
DISTRACTED, GREY = 0.3, 0.2
"""Shares of the images that are distracted, and that lose their colours."""


@dataclass(frozen=True)
class Scene:
    """An image with all of its defects.

    Attributes:
        image: uint8 RGB.
        mask: True where a defect was drawn; all False for a good image.
        kinds: of the defects, in the order in which they were drawn.
    """

    image: UInt8[np.ndarray, "rows cols 3"]
    mask: Bool[np.ndarray, "rows cols"]
    kinds: tuple[str, ...]


def scene(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "rows cols 3"],
    foreground: Bool[np.ndarray, "rows cols"] | None,
    damaged: float,
) -> Scene:
    """One to three defects in a share of the images, then harmless changes of the whole.

    Args:
        rng: the only source of randomness.
        image: a good image.
        foreground: where the object is; everywhere if not given.
        damaged: probability of a defect, in [0, 1].
    """
    result = harm(rng, image, foreground) if damaged and rng.random() < damaged else unharmed(image)
    return Scene(vary(rng, result.image), result.mask, result.kinds)


def unharmed(image: UInt8[np.ndarray, "rows cols 3"]) -> Scene:
    """A good image as a scene."""
    return Scene(image, np.zeros(image.shape[:2], bool), ())


def harm(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "rows cols 3"],
    foreground: Bool[np.ndarray, "rows cols"] | None,
) -> Scene:
    """One to three defects in a good image; outside of the mask nothing changes."""
    mask, kinds = np.zeros(image.shape[:2], bool), []
    for _ in range(int(rng.integers(1, MOST_DEFECTS + 1))):
        defect = draw_defect(rng, image, foreground)
        image, mask = defect.image, mask | defect.mask
        kinds.append(defect.kind)
    return Scene(image, mask, tuple(kinds))


def vary(rng: np.random.Generator, image: UInt8[np.ndarray, "rows cols 3"]) -> UInt8[np.ndarray, "rows cols 3"]:
    """Harmless changes of the whole of it in ``DISTRACTED`` of the images, no colours in ``GREY`` of them.

    Often it is the given image itself, not a copy.
    """
    if rng.random() < DISTRACTED:
        image = distract(rng, image)
    if rng.random() < GREY:
        image = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
    return image


def crop(
    rng: np.random.Generator, image: UInt8[np.ndarray, "rows cols 3"], side: int, least: float = 0.5
) -> UInt8[np.ndarray, "side side 3"]:
    """A random square of at least the share ``least`` of the short side, resized."""
    rows, cols = image.shape[:2]
    square = max(1, int(min(rows, cols) * rng.uniform(least, 1)))
    top, left = int(rng.integers(rows - square + 1)), int(rng.integers(cols - square + 1))
    box = (left, top, left + square, top + square)
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC, box))
