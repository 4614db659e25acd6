"""Transforms against SciPy and NumPy, windows against loops, and the fast filter against the definition."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import Tensor

from zsad.methods.fe_clip.frequency import (
    Statistic,
    Transform,
    join_windows,
    repeat_border,
    sliding_statistics,
    split_windows,
    transform_matrix,
)
from zsad.types import Size

TRANSFORMS: list[Transform] = ["dct", "fft"]
STATISTICS: list[Statistic] = ["mean", "mean_abs", "log_abs"]
GRIDS = [(6, 6), (7, 4), (2, 2), (1, 5), (37, 37)]


def grid(size: Size, batch: int = 2, width: int = 3) -> Tensor:
    return torch.randn(batch, *size, width, generator=torch.Generator().manual_seed(sum(size)))


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_the_transpose_undoes_a_transform(transform: Transform, side: int) -> None:
    matrix = transform_matrix(transform, side)
    assert matrix.shape == ({"dct": 1, "fft": 2}[transform], side**2, side**2)
    columns = matrix.flatten(0, 1)
    torch.testing.assert_close(columns.T @ columns, torch.eye(side**2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_dct_is_orthonormal_and_equals_scipy(side: int) -> None:
    window = np.random.default_rng(side).standard_normal((side, side)).astype(np.float32)
    (matrix,) = transform_matrix("dct", side)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(side**2), rtol=0, atol=1e-6)
    expected = torch.from_numpy(dctn(window, norm="ortho")).flatten()
    torch.testing.assert_close(matrix @ torch.from_numpy(window).flatten(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_fft_equals_numpy(side: int) -> None:
    window = np.random.default_rng(side).standard_normal((side, side))
    real, imaginary = transform_matrix("fft", side) @ torch.from_numpy(window).float().flatten()
    expected = torch.from_numpy(np.fft.fft2(window, norm="ortho")).flatten()
    torch.testing.assert_close(torch.complex(real, imaginary), expected.to(torch.complex64), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", GRIDS)
@pytest.mark.parametrize("side", [1, 2, 3, 8])
def test_joined_windows_are_the_grid(size: Size, side: int) -> None:
    whole = grid(size)
    windows = split_windows(whole, side)
    assert windows.shape == (2, -(-size[0] // side), -(-size[1] // side), side**2, 3)
    torch.testing.assert_close(join_windows(windows, side, size), whole, rtol=0, atol=0)


def test_windows_tile_the_grid_row_by_row() -> None:
    cells = torch.arange(24.0).reshape(1, 4, 6, 1)
    assert split_windows(cells, 2)[0, :, :, :, 0].tolist() == [
        [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]],
        [[12, 13, 18, 19], [14, 15, 20, 21], [16, 17, 22, 23]],
    ]


def test_37_cells_are_lengthened_to_39_by_one_on_each_side() -> None:
    whole = grid((37, 37))
    windows = split_windows(whole, 3)
    assert windows.shape[1:3] == (13, 13)
    first, last = windows[:, 0, 0].unflatten(1, (3, 3)), windows[:, -1, -1].unflatten(1, (3, 3))
    torch.testing.assert_close(first, whole[:, [0, 0, 1]][:, :, [0, 0, 1]], rtol=0, atol=0)
    torch.testing.assert_close(last, whole[:, [35, 36, 36]][:, :, [35, 36, 36]], rtol=0, atol=0)


def test_the_border_is_repeated_as_pytorch_does() -> None:
    whole = grid((4, 5))
    expected = torch.nn.functional.pad(whole.permute(0, 3, 1, 2), (3, 0, 1, 2), mode="replicate").permute(0, 2, 3, 1)
    torch.testing.assert_close(repeat_border(whole, (1, 2), (3, 0)), expected, rtol=0, atol=0)
    assert repeat_border(whole, (0, 0), (0, 0)) is whole


def slow_statistics(one: np.ndarray, transform: Transform, statistic: Statistic, side: int) -> np.ndarray:
    """Of one channel: every window transformed by somebody else's code, its responses averaged."""
    before, after = (side - 1) // 2, side // 2
    padded, result = np.pad(one, (before, after), mode="edge"), np.empty_like(one)
    for row, col in np.ndindex(*one.shape):
        window = padded[row : row + side, col : col + side]
        responses = dctn(window, norm="ortho") if transform == "dct" else np.fft.fft2(window, norm="ortho")
        parts = [responses] if transform == "dct" else [responses.real, responses.imag]
        measure = {"mean": lambda r: r, "mean_abs": np.abs, "log_abs": lambda r: np.log1p(np.abs(r))}[statistic]
        result[row, col] = sum(measure(part).mean() for part in parts)
    return result


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("size", [(5, 4), (2, 2)])
def test_the_fast_statistics_equal_the_definition(
    transform: Transform, statistic: Statistic, side: int, size: Size
) -> None:
    whole = grid(size)
    fast = sliding_statistics(whole, transform_matrix(transform, side), statistic)
    assert fast.shape == whole.shape
    for number, channel in np.ndindex(2, 3):
        slow = slow_statistics(whole[number, :, :, channel].double().numpy(), transform, statistic, side)
        expected = torch.from_numpy(slow).float()
        torch.testing.assert_close(fast[number, :, :, channel], expected, rtol=1e-5, atol=1e-5)


def test_the_signed_mean_of_a_dct_is_nearly_a_shift_along_the_diagonal() -> None:
    impulse = torch.zeros(1, 5, 5, 1)
    impulse[0, 2, 2] = 1
    spread = sliding_statistics(impulse, transform_matrix("dct", 3), "mean")[0, :, :, 0]
    torch.testing.assert_close(spread[3, 3], torch.tensor(0.3184), rtol=0, atol=1e-3)
    spread[3, 3] = 0
    assert spread.abs().max() < 0.06


def test_the_signed_mean_of_an_fft_is_a_shift_along_the_diagonal() -> None:
    whole = grid((5, 5))
    shifted = repeat_border(whole, (1, 0), (1, 0))[:, :5, :5]
    torch.testing.assert_close(sliding_statistics(whole, transform_matrix("fft", 3), "mean"), shifted / 3)
