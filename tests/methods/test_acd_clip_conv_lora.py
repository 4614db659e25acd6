"""Conv-LoRA against its equations one by one, and what an update may and may not change."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zsad.methods.acd_clip.conv_lora import Adapter, ConvLora, Lora
from zsad.types import Size

WIDTH, RANK, CONV_RANK = 12, 4, 3


def make(
    kernels: tuple[int, ...] = (3, 5), shared: bool = False, divided: bool = False, zero: bool = False
) -> ConvLora:
    torch.manual_seed(0)
    return ConvLora(WIDTH, RANK, CONV_RANK, kernels, shared=shared, divided=divided, zero=zero)


def tokens_of(count: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, count, WIDTH, generator=torch.Generator().manual_seed(1))


def slow_update(update: Lora | ConvLora, tokens: Tensor, grid: Size, divided: bool) -> Tensor:
    """Equations 1-3 in their order, with the concatenation of the branches; or x W_down W_up."""
    if isinstance(update, Lora):
        return update.scale * (tokens @ update.down @ update.up)
    outputs = []
    for number, (down, up) in enumerate(zip(update.conv_down, update.conv_up, strict=True)):
        pair = min(number, len(update.down) - 1)
        kernel = down.weight.shape[-1]
        factor = 1 / kernel if divided else 1.0
        low = (tokens @ update.down[pair]).transpose(1, 2).reshape(len(tokens), -1, *grid)
        convolved = factor * F.conv2d(low, down.weight, padding=kernel // 2)  # equation 2
        refined = factor * F.conv2d(convolved, up.weight, padding=kernel // 2)
        outputs.append(refined.flatten(2).transpose(1, 2) @ update.up[pair])  # equation 3
    stacked = torch.cat(outputs, -1).transpose(1, 2).reshape(len(tokens), -1, *grid)
    return F.conv2d(stacked, update.fusion.weight).flatten(2).transpose(1, 2)  # equation 1


def slow_adapter(adapter: Adapter, tokens: Tensor, grid: Size, divided: bool) -> Tensor:
    """One token at a time."""
    update = slow_update(adapter.update, tokens[:, adapter.spared :], grid, divided)
    result = tokens.clone()
    for number in range(len(tokens)):
        for cell in range(update.shape[1]):
            x, delta = tokens[number, adapter.spared + cell], update[number, cell]
            if adapter.blend is None:
                merged = x + delta
            else:
                weight = adapter.blend.flatten()
                merged = (1 - weight) * x + weight * delta * x.norm() / delta.norm()
            result[number, adapter.spared + cell] = merged
    return result


# --- equations 1-3


@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (2, 2), (1, 7)])
@pytest.mark.parametrize("kernels", [(3, 5), (1,), (3, 5, 7)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("divided", [True, False])
def test_conv_lora_equals_its_equations_written_out(
    grid: Size, kernels: tuple[int, ...], shared: bool, divided: bool
) -> None:
    update, tokens = make(kernels, shared, divided), tokens_of(grid[0] * grid[1])
    torch.testing.assert_close(update(tokens, grid), slow_update(update, tokens, grid, divided), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kernel", [3, 5])
def test_each_of_the_two_convolutions_is_divided_by_its_kernel(kernel: int) -> None:
    tokens = tokens_of(16)
    whole, divided = (make((kernel,), divided=divided)(tokens, (4, 4)) for divided in (False, True))
    torch.testing.assert_close(divided * kernel * kernel, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("kernels", "reach"), [((1,), 0), ((3,), 2), ((3, 5), 4)])
def test_an_update_sees_as_far_as_its_convolutions(kernels: tuple[int, ...], reach: int) -> None:
    update, tokens, grid = make(kernels), tokens_of(11 * 11, 1), (11, 11)
    touched = tokens.clone()
    touched[0, 5 * 11 + 5] += 1
    changed = (update(touched, grid) - update(tokens, grid)).norm(dim=-1).reshape(grid) > 1e-6
    expected = torch.zeros(grid, dtype=torch.bool)
    expected[5 - reach : 6 + reach, 5 - reach : 6 + reach] = True
    torch.testing.assert_close(changed, expected)


def test_branches_share_one_pair_of_projections_or_have_their_own() -> None:
    assert [len(make(shared=shared).down) for shared in (True, False)] == [1, 2]
    assert [len(make(shared=shared).up) for shared in (True, False)] == [1, 2]


def test_plain_lora_looks_at_one_token_at_a_time() -> None:
    torch.manual_seed(0)
    update, tokens = Lora(WIDTH, RANK, 0.5, zero=False), tokens_of(6)
    together = update(tokens, (2, 3))
    for cell in range(6):
        expected = 0.5 * (tokens[:, cell] @ update.down @ update.up)
        torch.testing.assert_close(together[:, cell], expected, rtol=1e-5, atol=1e-7)


# --- merging


@pytest.mark.parametrize("spared", [0, 1, 2])
@pytest.mark.parametrize("blend", [None, 0.3])
def test_merging_equals_one_token_at_a_time(spared: int, blend: float | None) -> None:
    adapter, tokens = Adapter(make(), WIDTH, blend=blend, spared=spared), tokens_of(12 + spared)
    torch.testing.assert_close(adapter(tokens, (4, 3)), slow_adapter(adapter, tokens, (4, 3), False))


@pytest.mark.parametrize("blend", [None, 0.3])
def test_the_class_token_is_not_touched(blend: float | None) -> None:
    tokens = tokens_of(13)
    adapted = Adapter(make(), WIDTH, blend=blend, spared=1)(tokens, (4, 3))
    torch.testing.assert_close(adapted[:, 0], tokens[:, 0], rtol=0, atol=0)
    assert (adapted[:, 1:] - tokens[:, 1:]).norm(dim=-1).min() > 1e-4


@pytest.mark.parametrize("update", [make(zero=True), Lora(WIDTH, RANK, 1.0, zero=True)])
def test_an_added_update_that_starts_at_zero_changes_no_bit(update: Lora | ConvLora) -> None:
    tokens = tokens_of(13)
    adapted = Adapter(update, WIDTH, blend=None, spared=1)(tokens, (4, 3))
    torch.testing.assert_close(adapted, tokens, rtol=0, atol=0)


def test_a_blend_of_zero_changes_no_bit() -> None:
    tokens = tokens_of(13)
    adapted = Adapter(make(), WIDTH, blend=0.0, spared=1)(tokens, (4, 3))
    torch.testing.assert_close(adapted, tokens, rtol=0, atol=0)


def test_a_blend_of_one_is_the_update_at_each_tokens_length() -> None:
    update, tokens = make(), 10 * tokens_of(13)
    adapted = Adapter(update, WIDTH, blend=1.0, spared=1)(tokens, (4, 3))[:, 1:]
    torch.testing.assert_close(adapted.norm(dim=-1), tokens[:, 1:].norm(dim=-1))
    directions = F.cosine_similarity(adapted, update(tokens[:, 1:], (4, 3)), dim=-1)
    torch.testing.assert_close(directions, torch.ones_like(directions))


def test_no_factor_of_a_blended_update_reaches_the_answer() -> None:
    adapter, tokens = Adapter(make(), WIDTH, blend=0.3, spared=1), tokens_of(13)
    before = adapter(tokens, (4, 3))
    with torch.no_grad():
        adapter.update.fusion.weight.mul_(0.125)
    torch.testing.assert_close(adapter(tokens, (4, 3)), before)


def test_a_blended_update_of_zero_is_finite_and_so_are_its_gradients() -> None:
    adapter = Adapter(make(zero=True), WIDTH, blend=0.3, spared=1)
    adapted = adapter(tokens_of(13), (4, 3))
    adapted.square().mean().backward()
    assert adapted.isfinite().all()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in adapter.parameters())


def test_tokens_keep_their_type_under_autocast() -> None:
    adapter = Adapter(make(), WIDTH, blend=0.3, spared=1)
    with torch.autocast("cpu", torch.bfloat16):
        adapted = adapter(tokens_of(13).bfloat16(), (4, 3))
    assert adapted.dtype == torch.bfloat16
    torch.testing.assert_close(adapted.float(), adapter(tokens_of(13), (4, 3)), rtol=0.05, atol=0.1)
