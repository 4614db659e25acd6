"""Square windows of patch tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsad.types import Size


def window_tokens(grid: Size, side: int) -> Int[Tensor, "windows tokens"]:
    """Token indices of every side×side window at stride 1, each led by the class token (index 0).

    A window larger than the grid is the grid.

    >>> window_tokens((2, 3), 2)
    tensor([[0, 1, 2, 4, 5],
            [0, 2, 3, 5, 6]])
    """
    rows, cols = grid
    height, width = min(side, rows), min(side, cols)
    cells = torch.arange(1, rows * cols + 1).reshape(rows, cols)
    windows = cells.unfold(0, height, 1).unfold(1, width, 1).reshape(-1, height * width)
    return torch.cat([torch.zeros(len(windows), 1, dtype=torch.long), windows], 1)


def harmonic_spread(
    scores: Float[Tensor, "batch windows"], windows: Int[Tensor, "windows tokens"], grid: Size
) -> Float[Tensor, "batch rows cols"]:
    """Each cell's harmonic mean of the scores of the windows that cover it (WinCLIP, Jeong et al. 2023)."""
    members = windows[:, 1:] - 1
    cells = members.flatten().to(scores.device)
    inverse = (1 / scores).repeat_interleave(members.shape[1], 1)
    total = inverse.new_zeros(len(scores), grid[0] * grid[1]).index_add_(1, cells, inverse)
    count = inverse.new_zeros(grid[0] * grid[1]).index_add_(0, cells, torch.ones_like(inverse[0]))
    return (count / total).unflatten(1, grid)
