"""Bi-CMCI: where it starts, and who reads whom."""

import torch
from torch import Tensor

from zsad.methods.kanoclip.cross_modal import BiCmci, BiCrossAttention, Residual

GRID, WIDTH, EMBED, HIDDEN = (4, 3), 10, 6, 8


def make(start: float) -> BiCmci:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BiCmci(WIDTH, EMBED, HIDDEN, heads=2, groups=2, stride=2, start=start)


def inputs(batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(batch, GRID[0] * GRID[1], WIDTH, generator=generator)
    return patches, torch.randn(batch, 2, EMBED, generator=generator)


def test_with_a_scale_of_zero_it_only_reads() -> None:
    stage, (patches, states) = make(0.0), inputs()
    visual, text = stage(patches, states, GRID)
    torch.testing.assert_close(visual, stage.read_patches(patches), rtol=0, atol=0)
    torch.testing.assert_close(text, stage.read_states(states), rtol=0, atol=0)


def test_it_starts_close_to_that() -> None:
    (patches, states), start, full = inputs(), make(1e-4), make(1.0)
    for near, far, plain in zip(
        start(patches, states, GRID), full(patches, states, GRID), make(0.0)(patches, states, GRID), strict=True
    ):
        assert 0 < (near - plain).abs().max() < 1e-3
        assert (far - plain).abs().max() > 0.05


def test_patches_and_texts_of_an_image_read_each_other_and_no_other_image() -> None:
    stage, (patches, states) = make(1.0), inputs()
    visual, text = stage(patches, states, GRID)
    other_states, other_patches = states.clone(), patches.clone()
    other_states[0, 1], other_patches[0, 5] = other_states[0, 1].flip(0), other_patches[0, 5].flip(0)
    seen, said = stage(patches, other_states, GRID)[0], stage(other_patches, states, GRID)[1]
    assert ((seen - visual)[0].abs().amax(-1) > 1e-6).all()
    assert ((said - text)[0].abs().amax(-1) > 1e-6).all()
    torch.testing.assert_close(seen[1], visual[1], rtol=0, atol=0)
    torch.testing.assert_close(said[1], text[1], rtol=0, atol=0)


def test_one_text_reads_the_other() -> None:
    stage, (_, states) = make(1.0), inputs()
    changed = states.clone()
    changed[:, 1] = changed[:, 1].flip(-1)
    first, second = (stage.states_themselves(stage.read_states(one)) for one in (states, changed))
    assert (first - second)[:, 0].abs().max() > 1e-6


def test_in_both_directions_what_was_before_is_read() -> None:
    fusion = BiCrossAttention(HIDDEN, 2, 0.5)
    visual, text = torch.randn(1, 5, HIDDEN), torch.randn(1, 2, HIDDEN)
    seen, said = fusion.norm_visual(visual), fusion.norm_text(text)
    fused_visual, fused_text = fusion(visual, text)
    torch.testing.assert_close(fused_visual, visual + 0.5 * fusion.to_visual(seen, said))
    torch.testing.assert_close(fused_text, text + 0.5 * fusion.to_text(said, seen))


def test_a_residual_is_scaled_for_each_channel() -> None:
    residual, x = Residual(torch.nn.Identity(), HIDDEN, 1.0), torch.randn(1, 3, HIDDEN)
    with torch.no_grad():
        residual.scale.copy_(torch.arange(HIDDEN))
    torch.testing.assert_close(residual(x), x + torch.arange(HIDDEN) * residual.norm(x))


def test_each_mlp_is_two_layers_with_gelu_between() -> None:
    """Residual, four times as wide inside; the paper names no activation."""
    stage, generator = make(0.5), torch.Generator().manual_seed(2)
    for residual in (stage.patches_mlp, stage.states_mlp):
        x = 2 * torch.randn(2, 3, HIDDEN, generator=generator)
        first, second = (one for one in residual.branch.children() if isinstance(one, torch.nn.Linear))
        assert first.weight.shape == (4 * HIDDEN, HIDDEN)
        inside = residual.norm(x) @ first.weight.T + first.bias
        active = inside * (1 + torch.erf(inside / 2**0.5)) / 2
        torch.testing.assert_close(residual(x), x + 0.5 * (active @ second.weight.T + second.bias))


def test_the_parts_and_their_order() -> None:
    """Themselves, each other, MLPs: the order of Grounding DINO's feature enhancer, since the paper gives none."""
    stage, (patches, states) = make(1.0), inputs()
    visual = stage.patches_themselves(stage.read_patches(patches), GRID)
    text = stage.states_themselves(stage.read_states(states))
    visual, text = stage.each_other(visual, text)
    expected = stage.patches_mlp(visual), stage.states_mlp(text)
    for ours, theirs in zip(stage(patches, states, GRID), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
