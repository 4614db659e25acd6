"""The copies of each normal image that MVFA-AD remembers beside the image itself."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

ANGLES = (-math.pi / 8, -math.pi / 16, math.pi / 16, math.pi / 8)
SHIFTS = ((0.1, 0.1), (-0.1, 0.1), (-0.1, -0.1), (0.1, -0.1))
"""(x, y) in half widths and half heights of the image."""
COPIES = 1 + len(ANGLES) + len(SHIFTS) + 2


def support_copies(images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "copies batch 3 rows cols"]:
    """The images, rotated by ±π/8 and ±π/16, shifted by a twentieth to each corner, and mirrored both ways (code).

    What comes from outside of the image is mirrored at its border. Rotations of images that are not square shear them,
    as in the code, whose images are.
    """
    turned = [_moved(images, math.cos(a), -math.sin(a), 0.0, math.sin(a), math.cos(a), 0.0) for a in ANGLES]
    shifted = [_moved(images, 1.0, 0.0, x, 0.0, 1.0, y) for x, y in SHIFTS]
    return torch.stack([images, *turned, *shifted, images.flip(-1), images.flip(-2)])


def _moved(images: Float[Tensor, "batch 3 rows cols"], *matrix: float) -> Float[Tensor, "batch 3 rows cols"]:
    """Sampled bilinearly where an affine map in [-1, 1] leads to."""
    theta = images.new_tensor(matrix).reshape(1, 2, 3).expand(len(images), -1, -1)
    where = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, where, padding_mode="reflection", align_corners=False)
