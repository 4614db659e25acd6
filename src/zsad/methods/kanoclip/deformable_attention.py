"""Attention over a context, and self-attention whose context is sampled at positions predicted from the image.

Xia et al., "Vision Transformer with Deformable Attention", CVPR 2022 (DAT).
"""

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.types import Size

KERNEL = 5
"""Kernel size of the convolution that predicts offsets, in cells (DAT: 3 to 9, by the size of the grid)."""
REACH = 1.0
"""Maximum offset of a sample, in distances between samples (DAT's range factor 2)."""


class CrossAttention(nn.Module):
    """Multi-head attention of queries over a context.

    Keys have no bias, since a softmax is invariant to a constant.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch queries width"], context: Float[Tensor, "batch keys width"] | None = None
    ) -> Float[Tensor, "batch queries width"]:
        """Cross-attention to the context, or self-attention if there is none."""
        return self.attend(self.query(x), x if context is None else context)

    def attend(
        self, query: Float[Tensor, "batch queries width"], context: Float[Tensor, "batch keys width"]
    ) -> Float[Tensor, "batch queries width"]:
        """The same for projected queries."""
        parts = (query, self.key(context), self.value(context))
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class DeformableAttention(CrossAttention):
    """Self-attention of a grid of cells over samples of it, at offsets predicted from the queries.

    Channels are split into groups; the reference points of each group are the centres of equal parts of the grid, one
    for every ``stride`` cells along each side, rounded up. Offsets are at most ``REACH`` sample distances, with
    bilinear sampling, and start at 0. DAT's relative-position bias is omitted, since the tokens of the tower have
    positions.

    Args:
        width: channels, a multiple of heads and groups.
        heads: of the attention.
        groups: of channels that share offsets.
        stride: cells per sample, along each side.
    """

    def __init__(self, width: int, heads: int, groups: int, stride: int) -> None:
        super().__init__(width, heads)
        self.groups, part = groups, width // groups
        self.look = nn.Conv2d(part, part, KERNEL, stride, KERNEL // 2, groups=part)
        self.norm = nn.LayerNorm(part)
        self.shift = nn.Linear(part, 2, bias=False)
        nn.init.zeros_(self.shift.weight)

    def forward(  # type: ignore[override]  # the context is sampled, so a grid takes its place
        self, x: Float[Tensor, "batch cells width"], grid: Size
    ) -> Float[Tensor, "batch cells width"]:
        query = self.query(x)
        return self.attend(query, self.sample(x, self.positions(query, grid), grid))

    def positions(
        self, query: Float[Tensor, "batch cells width"], grid: Size
    ) -> Float32[Tensor, "batch_groups rows cols 2"]:
        """Sampling positions of each group: (col, row), from -1 to 1 between the outer edges of the grid."""
        features = self.norm(self.look(self._group(query, grid)).permute(0, 2, 3, 1))
        rows, cols = features.shape[1:3]
        apart = torch.tensor([2 / cols, 2 / rows], device=features.device)
        shift = self.shift(F.gelu(features)).float().tanh() * REACH * apart
        return (centres((rows, cols), features.device) + shift).clamp(-1, 1)

    def sample(
        self, x: Float[Tensor, "batch cells width"], positions: Float32[Tensor, "batch_groups rows cols 2"], grid: Size
    ) -> Float[Tensor, "batch samples width"]:
        """The grid sampled bilinearly at the positions, in fp32; groups are concatenated."""
        cells = self._group(x, grid).float()
        read = F.grid_sample(cells, positions, mode="bilinear", padding_mode="border", align_corners=False)
        return read.flatten(2).unflatten(0, (-1, self.groups)).flatten(1, 2).transpose(1, 2).to(x.dtype)

    def _group(
        self, x: Float[Tensor, "batch cells width"], grid: Size
    ) -> Float[Tensor, "batch_groups part grid_rows grid_cols"]:
        return x.transpose(1, 2).unflatten(1, (self.groups, -1)).flatten(0, 1).unflatten(2, grid)


def centres(grid: Size, device: torch.device) -> Float32[Tensor, "rows cols 2"]:
    """Centres of the cells of a grid: (col, row), from -1 to 1 between its outer edges.

    >>> centres((1, 2), torch.device("cpu")).tolist()
    [[[-0.5, 0.0], [0.5, 0.0]]]
    """
    down, across = ((torch.arange(side, device=device) + 0.5) * (2 / side) - 1 for side in grid)
    return torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
