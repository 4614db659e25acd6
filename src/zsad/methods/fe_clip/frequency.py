"""Frequencies of patch tokens: orthonormal transforms of windows that tile the grid, and of windows that slide over it.

Grids are channels-last, [batch, rows, cols, width], as the tokens of a tower; every channel is transformed alone.
A transform is a fixed matrix with one part for real coefficients (DCT) or two for real and imaginary ones (FFT). Its
columns are orthonormal over all parts together, so that its transpose is the exact inverse.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.types import Size

Transform = Literal["dct", "fft"]
Statistic = Literal["mean", "mean_abs", "log_abs"]


def transform_matrix(transform: Transform, side: int) -> Float[Tensor, "parts coefficients cells"]:
    """The two-dimensional orthonormal transform of a window of side×side cells, both axes row by row.

    Args:
        transform: ``"dct"`` is the DCT-II in one part, ``"fft"`` the Fourier transform in a real and an imaginary one.
        side: of the window.
    """
    if transform == "dct":
        return torch.kron(_dct(side), _dct(side))[None].float()
    both = torch.kron(_fourier(side), _fourier(side))
    return torch.stack([both.real, both.imag]).float()


def split_windows(
    grid: Float[Tensor, "batch rows cols width"], side: int
) -> Float[Tensor, "batch down across cells width"]:
    """Windows of side×side cells that tile the grid, padded by repeating its border if the side does not divide it."""
    padded = repeat_border(grid, _missing(grid.shape[1], side), _missing(grid.shape[2], side))
    return padded.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3).flatten(3, 4)


def join_windows(
    windows: Float[Tensor, "batch down across cells width"], side: int, size: Size
) -> Float[Tensor, "batch rows cols width"]:
    """The inverse of :func:`split_windows`: a grid of that size, without the padding."""
    padded = windows.unflatten(3, (side, side)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    top, left = _missing(size[0], side)[0], _missing(size[1], side)[0]
    return padded[:, top : top + size[0], left : left + size[1]]


def sliding_statistics(
    grid: Float[Tensor, "batch rows cols width"],
    matrix: Float[Tensor, "parts coefficients cells"],
    statistic: Statistic,
) -> Float[Tensor, "batch rows cols width"]:
    """A statistic of the frequency responses of the window around every cell, over all coefficients; parts are summed.

    The signed mean is linear, so it is one fixed filter: the mean row of the matrix. For the others the responses
    are computed one coefficient at a time, to save memory.

    Args:
        grid: padded by repeating its border.
        matrix: of :func:`transform_matrix`, for a square window.
        statistic: ``"mean"`` of the responses r, of |r| (``"mean_abs"``) or of log(1 + |r|) (``"log_abs"``).
    """
    side = round(matrix.shape[-1] ** 0.5)
    around = ((side - 1) // 2, side // 2)
    padded = repeat_border(grid, around, around)
    if statistic == "mean":
        return _filter(padded, matrix.mean(1).sum(0))
    total = torch.zeros_like(grid)
    for row in matrix.flatten(0, 1):
        response = _filter(padded, row).abs()
        total = total + (response.log1p() if statistic == "log_abs" else response)
    return total / matrix.shape[1]


def repeat_border(
    grid: Float[Tensor, "batch rows cols width"], vertical: Size, horizontal: Size
) -> Float[Tensor, "batch padded_rows padded_cols width"]:
    """The grid with its outermost cells repeated so many times (above, below) and (to the left, to the right)."""
    for axis, (before, after) in ((1, vertical), (2, horizontal)):
        if before or after:
            first, last = grid.narrow(axis, 0, 1), grid.narrow(axis, -1, 1)
            grid = torch.cat([*[first] * before, grid, *[last] * after], axis)
    return grid


def _filter(
    padded: Float[Tensor, "batch padded_rows padded_cols width"], row: Float[Tensor, "cells"]
) -> Float[Tensor, "batch rows cols width"]:
    """Every window's product with one row of the matrix: a convolution that treats all channels alike."""
    side, width = round(len(row) ** 0.5), padded.shape[-1]
    kernel = row.to(padded.dtype).reshape(1, 1, side, side).expand(width, -1, -1, -1)
    return F.conv2d(padded.permute(0, 3, 1, 2), kernel, groups=width).permute(0, 2, 3, 1)


def _missing(length: int, side: int) -> tuple[int, int]:
    """Cells to add before and after, so that windows tile the length."""
    missing = -length % side
    return missing // 2, missing - missing // 2


def _dct(side: int) -> Float[Tensor, "coefficients cells"]:
    """DCT-II with orthonormal rows (Ahmed et al. 1974)."""
    cell = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(torch.pi / side * (cell + 0.5) * cell[:, None]) * (2 / side) ** 0.5
    return torch.cat([waves[:1] / 2**0.5, waves[1:]])


def _fourier(side: int) -> Tensor:
    """Discrete Fourier transform, unitary."""
    cell = torch.arange(side, dtype=torch.float64)
    angle = -2 * torch.pi / side * cell * cell[:, None]
    return torch.polar(torch.full_like(angle, side**-0.5), angle)
