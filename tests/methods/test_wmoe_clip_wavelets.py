"""The Haar transform against blocks written out, its identities and its inverse."""

import pytest
import torch
from torch import Tensor

from zsad.methods.wmoe_clip.wavelets import Bands, haar
from zsad.types import Size

SIZES = [(4, 6), (5, 3), (37, 37), (1, 1), (2, 5)]


def maps(size: Size) -> Tensor:
    return torch.randn(2, *size, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def slow_haar(x: Tensor, step: int) -> Bands:
    """Block by block; indices beyond the edge mean the edge."""
    rows, cols = x.shape[1:3]
    blocks = []
    for row in range(0, rows, step):
        for col in range(0, cols, step):
            below, right = min(row + 1, rows - 1), min(col + 1, cols - 1)
            a, b, c, d = x[:, row, col], x[:, row, right], x[:, below, col], x[:, below, right]
            blocks.append(torch.stack([a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d]) / 2)
    size = (-(-rows // step), -(-cols // step))
    return Bands(*torch.stack(blocks, 2).unflatten(2, size))


def inverse_haar(bands: Bands, size: Size) -> Tensor:
    """The maps of (rows, cols) whose decimated transform the bands are."""
    low, horizontal, vertical, diagonal = bands
    upper, lower = (low + horizontal) / 2, (low - horizontal) / 2
    left, right = (vertical + diagonal) / 2, (vertical - diagonal) / 2
    above = torch.stack([upper + left, upper - left], 3).flatten(2, 3)
    below = torch.stack([lower + right, lower - right], 3).flatten(2, 3)
    return torch.stack([above, below], 2).flatten(1, 2)[:, : size[0], : size[1]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decimated", [False, True])
def test_bands_equal_blocks_written_out(size: Size, decimated: bool) -> None:
    for ours, expected in zip(haar(maps(size), decimated), slow_haar(maps(size), 1 + decimated), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("size", SIZES)
def test_low_and_high_frequencies_together_are_twice_the_maps(size: Size) -> None:
    bands = haar(maps(size))
    torch.testing.assert_close(sum(bands), 2 * maps(size))
    assert {band.shape for band in bands} == {maps(size).shape}


@pytest.mark.parametrize("size", SIZES)
def test_the_decimated_transform_is_undone_by_its_inverse(size: Size) -> None:
    torch.testing.assert_close(inverse_haar(haar(maps(size), decimated=True), size), maps(size))


def test_the_decimated_transform_keeps_the_energy() -> None:
    x = maps((4, 6))
    torch.testing.assert_close(sum(band.square().sum() for band in haar(x, decimated=True)), x.square().sum())


def test_the_decimated_bands_are_every_second_of_the_others() -> None:
    x = maps((4, 6))
    for whole, half in zip(haar(x), haar(x, decimated=True), strict=True):
        torch.testing.assert_close(whole[:, ::2, ::2], half, rtol=0, atol=0)


def test_a_constant_map_has_no_detail() -> None:
    low, *details = haar(torch.full((1, 5, 5, 1), 3.0))
    torch.testing.assert_close(low, torch.full_like(low, 6.0))
    assert all(detail.abs().max() == 0 for detail in details)


@pytest.mark.parametrize("band", ["horizontal", "vertical", "diagonal"])
def test_an_edge_is_seen_in_its_own_band(band: str) -> None:
    down, right = torch.meshgrid(torch.tensor([1.0, -1.0]), torch.tensor([1.0, -1.0]), indexing="ij")
    edge = {"horizontal": down, "vertical": right, "diagonal": down * right}[band]
    bands = haar(edge[None, :, :, None], decimated=True)._asdict()
    assert {name for name, values in bands.items() if values.abs().max() > 0} == {band}
