"""Deformable attention against samples and heads written out."""

import math

import pytest
import torch
from torch import Tensor

from zsad.methods.kanoclip.deformable_attention import CrossAttention, DeformableAttention, centres
from zsad.types import Size

WIDTH, HEADS, GROUPS = 8, 2, 4
GRIDS = [(4, 4), (5, 3), (2, 7), (3, 2)]


def make(stride: int = 2, seed: int = 0, groups: int = GROUPS) -> DeformableAttention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DeformableAttention(WIDTH, HEADS, groups, stride)


def cells_of(grid: Size, batch: int = 2) -> Tensor:
    return torch.randn(batch, grid[0] * grid[1], WIDTH, generator=torch.Generator().manual_seed(1))


def stir(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for one in module.parameters():
            one.add_(0.5 * torch.randn(one.shape, generator=generator))


def slow_attention(attention: CrossAttention, x: Tensor, context: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √d) V, head by head."""
    query, key, value = attention.query(x), context @ attention.key.weight.T, attention.value(context)
    head, joined = WIDTH // HEADS, []
    for number in range(HEADS):
        q, k, v = (part[..., number * head : (number + 1) * head] for part in (query, key, value))
        joined.append((q @ k.transpose(1, 2) / head**0.5).softmax(-1) @ v)
    return attention.out(torch.cat(joined, -1))


def slow_read(image: Tensor, row: float, col: float) -> Tensor:
    """Bilinear reading of [rows, cols, width] at a place counted in cells; beyond the border the border goes on."""
    rows, cols = image.shape[:2]
    top, left = math.floor(row), math.floor(col)
    total = torch.zeros(image.shape[2])
    for down in (top, top + 1):
        for across in (left, left + 1):
            weight = (1 - abs(row - down)) * (1 - abs(col - across))
            total = total + weight * image[min(max(down, 0), rows - 1), min(max(across, 0), cols - 1)]
    return total


def slow_samples(x: Tensor, grid: Size, stride: int) -> Tensor:
    """The centres of as many equal parts as there are strides along each side."""
    rows, cols = (math.ceil(side / stride) for side in grid)
    return torch.stack(
        [
            torch.stack(
                [
                    slow_read(image, (row + 0.5) * grid[0] / rows - 0.5, (col + 0.5) * grid[1] / cols - 0.5)
                    for row in range(rows)
                    for col in range(cols)
                ]
            )
            for image in x.unflatten(1, grid)
        ]
    )


def slow_position(attention: DeformableAttention, image: Tensor, row: int, col: int, samples: Size) -> list[float]:
    """(col, row) at which one group, [rows, cols, channels] of its queries, takes one of its samples.

    DAT: a 5×5 depthwise convolution, LayerNorm over channels, GELU, projection without bias, tanh, times the distance
    between samples.
    """
    stride = attention.look.stride[0]
    window = attention.look.bias.clone()
    for down in range(5):
        for across in range(5):
            y, x = row * stride + down - 2, col * stride + across - 2
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                window = window + attention.look.weight[:, 0, down, across] * image[y, x]
    centred = window - window.mean()
    normed = centred / (centred.square().mean() + 1e-5).sqrt() * attention.norm.weight + attention.norm.bias
    active = [0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in normed.tolist()]
    position = []
    for weights, place, count in zip(attention.shift.weight.tolist(), (col, row), reversed(samples), strict=True):
        shift = math.tanh(sum(weight * value for weight, value in zip(weights, active, strict=True)))
        position.append(min(max((2 * place + 1) / count - 1 + shift * 2 / count, -1), 1))
    return position


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_without_shifts_it_is_attention_over_plain_samples(grid: Size, stride: int) -> None:
    attention, x = make(stride), cells_of(grid)
    expected = slow_attention(attention, x, slow_samples(x, grid, stride))
    torch.testing.assert_close(attention(x, grid), expected, rtol=1e-4, atol=1e-5)


def test_without_shifts_at_stride_1_it_is_self_attention() -> None:
    attention, x = make(1), cells_of((4, 5))
    torch.testing.assert_close(attention(x, (4, 5)), CrossAttention.forward(attention, x), rtol=1e-4, atol=1e-5)


def test_a_shift_moves_what_is_read_by_at_most_one_sample() -> None:
    attention, x, grid = make(1), cells_of((3, 4)), (3, 4)
    with torch.no_grad():
        attention.norm.weight.zero_()
        attention.norm.bias.fill_(1)
        attention.shift.weight[0] = 1e4  # to the right, as far as it goes
    positions = attention.positions(attention.query(x), grid)
    read = attention.sample(x, positions, grid).unflatten(1, grid)
    image = x.unflatten(1, grid)
    expected = torch.cat([image[:, :, 1:], image[:, :, -1:]], 2)
    torch.testing.assert_close(read, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_positions_stay_on_the_grid_and_groups_have_their_own(grid: Size) -> None:
    attention, x = make(), cells_of(grid)
    still = attention.positions(attention.query(x), grid)
    plain = centres((math.ceil(grid[0] / 2), math.ceil(grid[1] / 2)), x.device)
    torch.testing.assert_close(still, plain.expand_as(still), rtol=0, atol=0)
    stir(attention)
    moved = attention.positions(attention.query(x), grid)
    assert moved.shape == (2 * GROUPS, *plain.shape)
    assert moved.abs().max() <= 1
    reach = torch.tensor([2 / plain.shape[1], 2 / plain.shape[0]])
    assert ((moved - plain).abs() <= reach + 1e-6).all()
    first, second = moved.unflatten(0, (2, GROUPS))[0, :2]
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("stride", [1, 2])
def test_positions_equal_the_offsets_written_out(grid: Size, stride: int) -> None:
    attention, groups = make(stride, groups=2), 2
    stir(attention)
    with torch.no_grad():
        query = attention.query(cells_of(grid))
        rows, cols = samples = (math.ceil(grid[0] / stride), math.ceil(grid[1] / stride))
        expected = [
            [[slow_position(attention, image, row, col, samples) for col in range(cols)] for row in range(rows)]
            for cells in query.unflatten(1, grid)
            for image in cells.chunk(groups, -1)
        ]
        ours = attention.positions(query, grid)
    torch.testing.assert_close(ours, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_each_group_reads_its_own_channels() -> None:
    attention, x, grid = make(1), cells_of((3, 3), 1), (3, 3)
    positions = centres(grid, x.device).expand(GROUPS, -1, -1, -1).clone()
    positions[1] = positions[1].flip(1)  # the second group reads the image mirrored
    read = attention.sample(x, positions, grid).unflatten(1, grid)
    expected, part = x.unflatten(1, grid).clone(), WIDTH // GROUPS
    expected[..., part : 2 * part] = expected[..., part : 2 * part].flip(2)
    torch.testing.assert_close(read, expected, rtol=1e-4, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    attention, x = make(), cells_of((5, 4))
    stir(attention)
    attention(x, (5, 4)).square().sum().backward()
    for name, one in attention.named_parameters():
        assert one.grad is not None, name
        assert one.grad.abs().max() > 1e-6, name


def test_half_precision_reads_at_full_precision() -> None:
    attention, x = make().to(torch.bfloat16), cells_of((5, 4)).to(torch.bfloat16)
    positions = attention.positions(attention.query(x), (5, 4))
    assert positions.dtype == torch.float32
    half = attention(x, (5, 4))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), make()(x.float(), (5, 4)), rtol=0.05, atol=0.02)


def test_cross_attention_equals_the_heads_written_out() -> None:
    attention, x, context = CrossAttention(WIDTH, HEADS), cells_of((2, 3)), cells_of((1, 2))
    torch.testing.assert_close(attention(x, context), slow_attention(attention, x, context), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(attention(x), slow_attention(attention, x, x), rtol=1e-4, atol=1e-6)
