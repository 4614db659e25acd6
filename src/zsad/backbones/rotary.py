"""Rotary positions over the two axes of a patch grid, as DINOv3 has them in place of a table of positions.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021; Siméoni et al., "DINOv3", 2025. A
quarter of the channels of a head gives the frequencies for each axis, and channel n is rotated together with channel
n + half:

    angle = 2π · coordinate / period,  coordinates of the centres of patches in [-1, 1],
    periods = base ** (4n / channels)

so that the angles say where in the image a patch is, whatever the size of the grid. Tokens that stand for no patch (the
class token, registers) are not rotated.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.errors import ConfigError
from zsad.types import Size


def rotary_periods(channels: int, base: float) -> Float[Tensor, "channels"]:
    """Periods of the frequencies of one axis, for heads of so many channels.

    Raises:
        ConfigError: the channels of a head are not a multiple of 4.
    """
    if channels % 4:
        rule = "rotary positions over two axes need a multiple of 4 channels a head"
        raise ConfigError(rule, channels, "choose the number of heads so")
    return base ** (torch.arange(channels // 4) / (channels // 4))


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the angles of every patch, for all channels of a head."""

    cosines: Float[Tensor, "cells head"]
    sines: Float[Tensor, "cells head"]

    def __call__(self, heads: Float[Tensor, "batch heads tokens head"]) -> Float[Tensor, "batch heads tokens head"]:
        """Queries or keys with the last tokens, those of patches, rotated; the first ones are as they were."""
        first = heads.shape[2] - len(self.cosines)
        others, patches = heads[:, :, :first], heads[:, :, first:]
        low, high = patches.chunk(2, dim=-1)
        turned = patches * self.cosines + torch.cat([-high, low], dim=-1) * self.sines
        return torch.cat([others, turned], dim=2)


def rotation(grid: Size, periods: Float[Tensor, "channels"], dtype: torch.dtype) -> Rotation:
    """The rotation of the patches of a grid, row by row."""
    axes = [2 * (torch.arange(side, device=periods.device) + 0.5) / side - 1 for side in grid]
    coordinates = torch.cartesian_prod(*axes)  # [cells, 2], (row, col)
    angles = 2 * torch.pi * (coordinates[:, :, None] / periods.float()).flatten(1).repeat(1, 2)
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))
