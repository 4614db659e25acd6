"""Maps of the patch grid at the size of pictures: enlarged, smoothed."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.types import Size

TRUNCATE = 4.0
"""The Gaussian ends after this many standard deviations, as in SciPy, which the field's code uses."""


def resize(maps: Float[Tensor, "batch rows cols"], size: Size) -> Float[Tensor, "batch new_rows new_cols"]:
    """Bilinear, pixel centres aligned (``align_corners=False``), averaged when shrinking; in [0, 1]."""
    shrinks = size[0] < maps.shape[1] or size[1] < maps.shape[2]
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False, antialias=shrinks)[:, 0].clamp(0, 1)


def smooth(maps: Float[Tensor, "batch rows cols"], sigma: float) -> Float[Tensor, "batch rows cols"]:
    """Gaussian filter, mirrored at the border with the edge pixel repeated; sigma 0 changes nothing."""
    if sigma == 0:
        return maps
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, 1, -1)
    across = F.conv2d(_mirror(maps, radius)[:, None], kernel)
    down = F.conv2d(_mirror(across[:, 0].transpose(1, 2), radius)[:, None], kernel)
    return down[:, 0].transpose(1, 2).clamp(0, 1)


def _mirror(maps: Float[Tensor, "batch rows cols"], radius: int) -> Float[Tensor, "batch rows wide"]:
    cols = maps.shape[-1]
    index = torch.arange(-radius, cols + radius, device=maps.device) % (2 * cols)
    return maps[..., torch.minimum(index, 2 * cols - 1 - index)]
