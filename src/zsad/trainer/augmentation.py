"""Augmentation of an image and its mask, determined by a seed."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.types import Size

JITTER, JITTER_PROBABILITY = 0.5, 0.7
NOISE_PROBABILITY, NOISE_THRESHOLD = 0.3, 3.0
ROTATION, TRANSLATION = 30.0, 0.15
"""In degrees; as a fraction of the side."""
AFFINE_PROBABILITY, FLIP_PROBABILITY = 0.5, 0.5


def augment(
    image: Float[Tensor, "3 rows cols"],
    mask: Float[Tensor, "rows cols"],
    seed: int,
    fill: Sequence[float],
    original_size: Size,
) -> tuple[Float[Tensor, "3 rows cols"], Float[Tensor, "rows cols"]]:
    """Apply noise, colour jitter, rotation, translation and flips to an image, and the last three to its mask.

    Kinds, order, strengths and probabilities are those of ACD-CLIP's published code, which uses nearest-neighbour
    sampling where this interpolates, and luminance weights for grey:

    * noise, with probability 0.3: at the original size of the image, the rare pixels whose draw from N(0, 1) is above
      3 are multiplied by another draw, before the image is resized;
    * colour jitter: brightness, contrast and saturation, each by up to 0.5, each with probability 0.7;
    * rotation by up to 30°, translation by up to 15 % of the side, horizontal flip and vertical flip, each with
      probability 0.5.

    Args:
        image: in [0, 1].
        mask: 0 normal, 1 anomalous.
        seed: of all random numbers.
        fill: colour of pixels that come from outside the image, which are normal: the mean that the backbone subtracts.
        original_size: (rows, cols) of the image before it was resized.
    """
    generator = torch.Generator().manual_seed(seed)
    image = _jitter(_add_noise(image, original_size, generator), generator)
    colour = torch.tensor(fill, dtype=image.dtype)[:, None, None]
    moved = _transform(torch.cat([image - colour, mask[None]]), generator)
    return (moved[:3] + colour).clamp(0, 1), (moved[3] > 0.5).to(mask.dtype)


def _jitter(image: Float[Tensor, "3 rows cols"], generator: torch.Generator) -> Float[Tensor, "3 rows cols"]:
    brightness, contrast, saturation = (
        1 + JITTER * _signed(generator) if _uniform(generator) < JITTER_PROBABILITY else 1.0 for _ in range(3)
    )
    image = (image * brightness).clamp(0, 1)
    image = (image.mean() + contrast * (image - image.mean())).clamp(0, 1)
    grey = image.mean(0, keepdim=True)
    return (grey + saturation * (image - grey)).clamp(0, 1)


def _add_noise(
    image: Float[Tensor, "3 rows cols"], original_size: Size, generator: torch.Generator
) -> Float[Tensor, "3 rows cols"]:
    """Resizing is linear: the change that noise makes at the original size is resized and added to the resized image.
    The pixels that are hit have the colour of the resized image there."""
    if _uniform(generator) >= NOISE_PROBABILITY:
        return image
    rows, cols = (torch.randn(original_size, generator=generator) > NOISE_THRESHOLD).nonzero(as_tuple=True)
    size = image.shape[1], image.shape[2]
    colours = image[:, rows * size[0] // original_size[0], cols * size[1] // original_size[1]]
    changes = (colours * torch.randn(colours.shape, generator=generator)).clamp(0, 1) - colours
    noise = []
    for change in changes:  # one colour at a time: photographs can be large
        plane = image.new_zeros(original_size)
        plane[rows, cols] = change
        noise.append(F.interpolate(plane[None, None], size, mode="bicubic", antialias=True)[0, 0])
    return (image + torch.stack(noise)).clamp(0, 1)


def _transform(
    layers: Float[Tensor, "layers rows cols"], generator: torch.Generator
) -> Float[Tensor, "layers rows cols"]:
    """Rotation, translation and flips in one sampling; ``layers`` are the colours and the mask."""
    angle = math.radians(ROTATION) * _signed(generator) if _uniform(generator) < AFFINE_PROBABILITY else 0.0
    shifts = [2 * TRANSLATION * _signed(generator) for _ in range(2)]
    right, down = shifts if _uniform(generator) < AFFINE_PROBABILITY else (0.0, 0.0)
    flip_x, flip_y = (-1.0 if _uniform(generator) < FLIP_PROBABILITY else 1.0 for _ in range(2))
    aspect = layers.shape[1] / layers.shape[2]
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = torch.tensor(
        [[flip_x * cosine, -flip_y * sine * aspect, right], [flip_x * sine / aspect, flip_y * cosine, down]]
    )
    grid = F.affine_grid(matrix[None], [1, *layers.shape], align_corners=False)
    return F.grid_sample(layers[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _uniform(generator: torch.Generator) -> float:
    """In [0, 1)."""
    return float(torch.rand((), generator=generator))


def _signed(generator: torch.Generator) -> float:
    """In [-1, 1)."""
    return 2 * _uniform(generator) - 1
