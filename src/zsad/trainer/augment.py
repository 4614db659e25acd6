"""Random changes to an image and its mask, the same for the same seed."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.types import Size

COLOUR, COLOURED = 0.5, 0.7
NOISY, NOISE_FROM = 0.3, 3.0
ANGLE, SHIFT, MOVED, MIRRORED = 30.0, 0.15, 0.5, 0.5


def augment(
    image: Float[Tensor, "3 rows cols"],
    mask: Float[Tensor, "rows cols"],
    seed: int,
    outside: Sequence[float],
    taken: Size,
) -> tuple[Float[Tensor, "3 rows cols"], Float[Tensor, "rows cols"]]:
    """An image in [0, 1] overlaid with noise, recoloured, turned, shifted and mirrored, with its mask.

    The kinds, order, strengths and chances are those of ACD-CLIP's published code, which takes the nearest pixel where
    this interpolates, and weighs the colours of grey by luminance:

    * noise for 3 of 10: at the size in which the image was taken, the rare pixels whose draw from N(0, 1) is above 3
      are multiplied with another draw, before the image is resized;
    * brightness, contrast and saturation, each by up to a half, each for 7 images of 10;
    * turned by up to 30° for half of them, shifted by up to 15 % of the side for half, mirrored each way for half.

    Args:
        image: in [0, 1].
        mask: 0 normal, 1 anomalous.
        seed: of all that is drawn.
        outside: colour of what comes in from outside, which is normal: the mean that the backbone subtracts.
        taken: (rows, cols) of the image before it was resized.
    """
    generator = torch.Generator().manual_seed(seed)
    image = _recoloured(_noisy(image, taken, generator), generator)
    colour = torch.tensor(outside, dtype=image.dtype)[:, None, None]
    moved = _move(torch.cat([image - colour, mask[None]]), generator)
    return (moved[:3] + colour).clamp(0, 1), (moved[3] > 0.5).to(mask.dtype)


def _recoloured(image: Float[Tensor, "3 rows cols"], generator: torch.Generator) -> Float[Tensor, "3 rows cols"]:
    brightness, contrast, saturation = (
        1 + COLOUR * _signed(generator) if _uniform(generator) < COLOURED else 1.0 for _ in range(3)
    )
    image = (image * brightness).clamp(0, 1)
    image = (image.mean() + contrast * (image - image.mean())).clamp(0, 1)
    grey = image.mean(0, keepdim=True)
    return (grey + saturation * (image - grey)).clamp(0, 1)


def _noisy(
    image: Float[Tensor, "3 rows cols"], taken: Size, generator: torch.Generator
) -> Float[Tensor, "3 rows cols"]:
    """What the noise changes in the image as it was taken is resized as the image was, which is the same: resizing
    is linear. The pixels that are hit have the colour of the resized image there."""
    if _uniform(generator) >= NOISY:
        return image
    rows, cols = (torch.randn(taken, generator=generator) > NOISE_FROM).nonzero(as_tuple=True)
    size = image.shape[1], image.shape[2]
    colours = image[:, rows * size[0] // taken[0], cols * size[1] // taken[1]]
    changes = (colours * torch.randn(colours.shape, generator=generator)).clamp(0, 1) - colours
    noise = []
    for change in changes:  # one colour at a time: photographs can be large
        plane = image.new_zeros(taken)
        plane[rows, cols] = change
        noise.append(F.interpolate(plane[None, None], size, mode="bicubic", antialias=True)[0, 0])
    return (image + torch.stack(noise)).clamp(0, 1)


def _move(layers: Float[Tensor, "layers rows cols"], generator: torch.Generator) -> Float[Tensor, "layers rows cols"]:
    """Turn, shift and mirror in one sampling; ``layers`` are the colours and the mask."""
    angle = math.radians(ANGLE) * _signed(generator) if _uniform(generator) < MOVED else 0.0
    shifts = [2 * SHIFT * _signed(generator) for _ in range(2)]
    right, down = shifts if _uniform(generator) < MOVED else (0.0, 0.0)
    across, upright = (-1.0 if _uniform(generator) < MIRRORED else 1.0 for _ in range(2))
    tall = layers.shape[1] / layers.shape[2]
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = torch.tensor(
        [[across * cosine, -upright * sine * tall, right], [across * sine / tall, upright * cosine, down]]
    )
    grid = F.affine_grid(matrix[None], [1, *layers.shape], align_corners=False)
    return F.grid_sample(layers[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _uniform(generator: torch.Generator) -> float:
    """In [0, 1)."""
    return float(torch.rand((), generator=generator))


def _signed(generator: torch.Generator) -> float:
    """In [-1, 1)."""
    return 2 * _uniform(generator) - 1
