"""One level of the Haar wavelet transform of maps of features, with or without decimation, and attention over it.

The filters are orthonormal, as in PyWavelets: a 2×2 block (a b; c d) becomes low = (a+b+c+d)/2, horizontal =
(a+b-c-d)/2, vertical = (a-b+c-d)/2, diagonal = (a-b-c+d)/2.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Bands(NamedTuple):
    """The sub-bands of a map: low frequencies, and high frequencies in three directions."""

    low: Float[Tensor, "batch rows cols width"]
    horizontal: Float[Tensor, "batch rows cols width"]
    vertical: Float[Tensor, "batch rows cols width"]
    diagonal: Float[Tensor, "batch rows cols width"]


def haar(maps: Float[Tensor, "batch rows cols width"], decimated: bool = False) -> Bands:
    """Sub-bands of every channel.

    Args:
        maps: of any size; the last row and column are repeated as padding.
        decimated: blocks do not overlap, so that the bands have half the rows and columns, rounded up; otherwise there
            is a block at every cell (à trous), and the bands have the size of the maps.
    """
    a, b, c, d = _corners(maps, decimated)
    upper, lower = (a + b) / 2, (c + d) / 2
    left, right = (a - b) / 2, (c - d) / 2
    return Bands(upper + lower, upper - lower, left + right, left - right)


class WaveletAttention(nn.Module):
    """Text refined by patches with reweighted high frequencies: WCMA of WMoE-CLIP (section 2.2), for one level.

    Args:
        embed: width of text and patches.
        decimated: as in :func:`haar`.
        magnitude: high frequencies are the sum of the magnitudes of the bands, not of the bands.
        residual: the text is added to the result.
    """

    def __init__(self, embed: int, decimated: bool, magnitude: bool, residual: bool) -> None:
        super().__init__()
        self.decimated, self.magnitude, self.residual = decimated, magnitude, residual
        self.channels = nn.Linear(embed, embed)  # W_1
        self.cells = nn.Linear(embed, embed)  # W_2
        self.pointwise = nn.Linear(embed, embed)  # δ_p: a 1×1 convolution
        self.query, self.key, self.value = (nn.Linear(embed, embed, bias=False) for _ in range(3))

    def forward(
        self, text: Float[Tensor, "batch 2 embed"], patches: Float[Tensor, "batch rows cols embed"]
    ) -> Float[Tensor, "batch 2 embed"]:
        """F'_T (eq. 7) from F_T and F_I."""
        enhanced = self.enhance(patches).flatten(1, 2)
        keyed = self.query(text) @ self.key.weight
        relevance = keyed @ enhanced.transpose(1, 2) / text.shape[-1] ** 0.5
        attended = relevance.float().softmax(-1).to(enhanced.dtype) @ enhanced
        return self.value(attended) + (text if self.residual else 0)

    def enhance(
        self, patches: Float[Tensor, "batch rows cols embed"]
    ) -> Float[Tensor, "batch band_rows band_cols embed"]:
        """F_p (eq. 5 and 6): F_H ⊙ W_h + F_L, between F_L and F_L + F_H."""
        low, both = self._low_and_both(patches)
        of_channels = self.channels(both.mean((1, 2), keepdim=True).relu())
        of_cells = self.cells(self.pointwise(both).relu())
        return torch.lerp(low, both, (of_channels + of_cells).sigmoid())

    def _low_and_both(self, patches: Float[Tensor, "batch rows cols embed"]) -> tuple[Tensor, Tensor]:
        """F_L, and F_L + F_H: for the sum of bands, twice the upper left cell of each block."""
        if self.magnitude:
            low, *bands = haar(patches, self.decimated)
            return low, low + sum((band.abs() for band in bands), torch.zeros_like(low))
        a, b, c, d = _corners(patches, self.decimated)
        return (a + b + c + d) / 2, 2 * a


def _corners(maps: Float[Tensor, "batch rows cols width"], decimated: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The upper left, upper right, lower left and lower right cell of every block."""
    rows, cols = maps.shape[1:3]
    step = 2 if decimated else 1
    down, right = (rows % 2, cols % 2) if decimated else (1, 1)
    maps = torch.cat([maps, maps[:, rows - 1 :].expand(-1, down, -1, -1)], 1) if down else maps
    maps = torch.cat([maps, maps[:, :, cols - 1 :].expand(-1, -1, right, -1)], 2) if right else maps
    above, below = maps[:, :-1:step], maps[:, 1::step]
    return above[:, :, :-1:step], above[:, :, 1::step], below[:, :, :-1:step], below[:, :, 1::step]
