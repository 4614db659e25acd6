"""Augmentation written out: the draws in their order, colours by NumPy, noise by PIL, movement by SciPy."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zsad.trainer.augmentation import augment

ndimage = pytest.importorskip("scipy.ndimage", reason="the oracle of the movement is SciPy")

OUTSIDE = (0.48, 0.45, 0.40)
ROWS, COLS = 24, 36
Array = NDArray[np.float64]


class Dice:
    """Draws of a seed, one after the other."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def happens(self, chance: float) -> bool:
        return float(torch.rand((), generator=self._generator)) < chance

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def normal(self, *shape: int) -> Array:
        return torch.randn(shape, generator=self._generator).numpy().astype(np.float64)


def noisy(image: Array, taken: tuple[int, int], dice: Dice) -> Array:
    """3 of 10: pixels of the image as taken whose draw is above 3 times another draw, then PIL's bicubic resize."""
    if not dice.happens(0.3):
        return image
    hit = np.argwhere(dice.normal(*taken) > 3)
    factors = dice.normal(3, len(hit))
    result = image.copy()
    for channel in range(3):
        plane = np.zeros(taken, np.float32)
        for number, (row, col) in enumerate(hit):
            colour = image[channel, row * ROWS // taken[0], col * COLS // taken[1]]
            plane[row, col] = np.clip(colour * factors[channel, number], 0, 1) - colour
        resized = Image.fromarray(plane, mode="F").resize((COLS, ROWS), Image.Resampling.BICUBIC)
        result[channel] = np.clip(image[channel] + np.asarray(resized, np.float64), 0, 1)
    return result


def recoloured(image: Array, dice: Dice) -> Array:
    """Brightness, contrast, saturation: each by up to a half, each for 7 of 10."""
    brightness, contrast, saturation = (dice.between(0.5, 1.5) if dice.happens(0.7) else 1.0 for _ in range(3))
    image = np.clip(image * brightness, 0, 1)
    image = np.clip(image.mean() + contrast * (image - image.mean()), 0, 1)
    grey = image.mean(0)
    return np.clip(grey + saturation * (image - grey), 0, 1)


def moved(plane: Array, dice: Dice) -> Array:
    """Turned by up to 30°, shifted by up to 15 % of each side, mirrored each way; each for half of the images."""
    angle = math.radians(dice.between(-30, 30)) if dice.happens(0.5) else 0.0
    right, down = dice.between(-0.15, 0.15), dice.between(-0.15, 0.15)
    right, down = (right * COLS, down * ROWS) if dice.happens(0.5) else (0.0, 0.0)
    across, upright = (-1 if dice.happens(0.5) else 1 for _ in range(2))
    cosine, sine = math.cos(angle), math.sin(angle)
    # Where the pixel at (row, col) from the centre comes from.
    back = np.array([[upright * cosine, across * sine], [-upright * sine, across * cosine]])
    centre = np.array([(ROWS - 1) / 2, (COLS - 1) / 2])
    offset = centre + np.array([down, right]) - back @ centre
    return ndimage.affine_transform(plane, back, offset, order=1, mode="grid-constant", cval=0.0)


def written_out(image: Array, mask: Array, seed: int, taken: tuple[int, int]) -> tuple[Array, Array]:
    """The image, and how much of each pixel is anomalous."""
    dice = Dice(seed)
    image = recoloured(noisy(image, taken, dice), dice)
    state = dice._generator.get_state()
    layers = []
    for plane in (*(image - np.reshape(OUTSIDE, (3, 1, 1))), mask):
        dice._generator.set_state(state)  # all are moved alike
        layers.append(moved(plane, dice))
    return np.clip(np.stack(layers[:3]) + np.reshape(OUTSIDE, (3, 1, 1)), 0, 1), layers[3]


def drawn() -> tuple[Tensor, Tensor]:
    """Blobs of colour, and a mask that lies in a corner."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 4, 6, generator=generator)
    image = torch.nn.functional.interpolate(small, (ROWS, COLS), mode="bilinear", align_corners=False)[0]
    mask = torch.zeros(ROWS, COLS)
    mask[3:14, 5:17] = 1
    return image, mask


@pytest.mark.parametrize("taken", [(ROWS, COLS), (60, 108)])
def test_augmentation_is_the_draws_written_out(taken: tuple[int, int]) -> None:
    image, mask = drawn()
    noise = moves = 0
    for seed in range(60):
        changed, changed_mask = augment(image, mask, seed, OUTSIDE, taken)
        expected, share = written_out(image.numpy().astype(np.float64), mask.numpy().astype(np.float64), seed, taken)
        np.testing.assert_allclose(changed.numpy(), expected, rtol=0, atol=2e-4)
        sure = np.abs(share - 0.5) > 1e-3
        np.testing.assert_array_equal(changed_mask.numpy()[sure], share[sure] > 0.5)
        assert sure.mean() > 0.95
        noise += Dice(seed).happens(0.3)
        moves += not np.array_equal(changed_mask.numpy(), mask.numpy())
    assert noise >= 12
    assert moves >= 40
