"""Random changes to a picture and its mask, the same for the same seed."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

COLOUR, NOISE, CHANCE = 0.5, 0.05, 0.7
ANGLE, SHIFT = 30.0, 0.15


def augment(
    image: Float[Tensor, "3 rows cols"], mask: Float[Tensor, "rows cols"], seed: int
) -> tuple[Float[Tensor, "3 rows cols"], Float[Tensor, "rows cols"]]:
    """A picture in [0, 1] recoloured, overlaid with noise, turned, shifted and mirrored, with its mask.

    The kinds and their strengths are those of ACD-CLIP's published code: colour (brightness, contrast, saturation by up
    to a half) and noise, each for 7 pictures of 10; up to 30° and 15 % of the side; each way mirrored for half of them.
    What comes in from outside is black and normal. The strength of the noise is ours: σ = 0.05.
    """
    generator = torch.Generator().manual_seed(seed)
    image = _recolour(image, generator)
    moved = _move(torch.cat([image, mask[None]]), generator)
    return moved[:3].clamp(0, 1), (moved[3] > 0.5).to(mask.dtype)


def _recolour(image: Float[Tensor, "3 rows cols"], generator: torch.Generator) -> Float[Tensor, "3 rows cols"]:
    colour, noise = (_uniform(generator) < CHANCE for _ in range(2))
    if colour:
        brightness, contrast, saturation = (1 + COLOUR * (2 * _uniform(generator) - 1) for _ in range(3))
        image = (image * brightness).clamp(0, 1)
        image = (image.mean() + contrast * (image - image.mean())).clamp(0, 1)
        grey = image.mean(0, keepdim=True)
        image = (grey + saturation * (image - grey)).clamp(0, 1)
    if noise:
        image = image + NOISE * torch.randn(image.shape, generator=generator)
    return image


def _move(layers: Float[Tensor, "layers rows cols"], generator: torch.Generator) -> Float[Tensor, "layers rows cols"]:
    """Turn, shift and mirror in one sampling; ``layers`` are the colours and the mask."""
    angle = math.radians(ANGLE) * (2 * _uniform(generator) - 1)
    right, down = (2 * SHIFT * (2 * _uniform(generator) - 1) for _ in range(2))
    across, upright = (1.0 if _uniform(generator) < 0.5 else -1.0 for _ in range(2))
    tall = layers.shape[1] / layers.shape[2]
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = torch.tensor(
        [[across * cosine, -upright * sine * tall, right], [across * sine / tall, upright * cosine, down]]
    )
    grid = F.affine_grid(matrix[None], [1, *layers.shape], align_corners=False)
    return F.grid_sample(layers[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
