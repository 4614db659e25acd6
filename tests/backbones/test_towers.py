"""The open loop between the blocks, other image sizes, prompts of any length, and weights that never change."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.small import CONFIG, DEPTH, PATCH, SIZE, assert_unchanged, build, frozen, images, snapshot
from zsad.backbones.clip import Clip
from zsad.backbones.config import PositionResize, TowerConfig
from zsad.backbones.transformer import ACTIVATIONS, Mlp, l2_normalize, level_index
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError, InputError
from zsad.types import Size

GRID = (SIZE // PATCH, SIZE // PATCH)
SIZES = [(16, 16), (40, 24), (35, 70), (24, 96), (64, 64)]


@pytest.fixture(scope="module")
def clip() -> Clip:
    return frozen()


def same(ours: Tensor, theirs: Tensor) -> None:
    """Bit for bit."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def doubled(tokens: Tensor, grid: Size) -> Tensor:
    return 2 * tokens


# --- the open loop


def test_an_edit_before_a_block_is_what_that_block_reads(clip: Clip) -> None:
    trace = clip.vision(images(2), before={2: doubled}, keep=[1, 2])
    plain = clip.vision(images(2), keep=[1])
    same(trace.kept[1], plain.kept[1])
    same(trace.kept[2], clip.vision.transformer.blocks[2](2 * plain.kept[1]))


def test_an_edit_after_a_block_is_kept_and_read_by_the_next(clip: Clip) -> None:
    trace = clip.vision(images(2), after={1: doubled}, keep=[0, 1, 2])
    same(trace.kept[1], 2 * clip.vision.transformer.blocks[1](trace.kept[0]))
    same(trace.kept[2], clip.vision.transformer.blocks[2](trace.kept[1]))


def test_an_edit_after_the_last_block_is_the_output(clip: Clip) -> None:
    trace = clip.vision(images(1), after={DEPTH - 1: doubled}, keep=[DEPTH - 1])
    same(trace.last, 2 * clip.vision(images(1)).last)
    same(trace.kept[DEPTH - 1], trace.last)


def test_edits_before_and_after_one_block_both_happen_in_that_order(clip: Clip) -> None:
    trace = clip.vision(images(1), before={0: doubled}, after={0: lambda tokens, grid: tokens + 1}, keep=[-1, 0])
    same(trace.kept[0], clip.vision.transformer.blocks[0](2 * trace.kept[-1]) + 1)


def test_minus_one_is_the_input_of_block_0_before_any_edit(clip: Clip) -> None:
    trace = clip.vision(images(1), before={0: doubled}, keep=[-1])
    same(trace.kept[-1], clip.vision.embed(images(1))[0])


def test_what_was_not_asked_for_is_not_kept(clip: Clip) -> None:
    assert set(clip.vision(images(1)).kept) == set()
    assert set(clip.vision(images(1), keep=[-1, 3]).kept) == {-1, 3}


def test_edits_may_add_tokens(clip: Clip) -> None:
    prompts = torch.full((1, 3, CONFIG.vision.width), 0.5)
    trace = clip.vision(
        images(1),
        before={1: lambda tokens, grid: torch.cat([tokens, prompts], 1)},
        after={2: lambda tokens, grid: tokens[:, :-3]},
        keep=[0, 1, 2],
    )
    lengths = {index: tokens.shape[1] for index, tokens in trace.kept.items()}
    assert lengths == {0: 17, 1: 20, 2: 17}
    assert trace.last.shape == (1, 17, CONFIG.vision.width)
    assert not torch.equal(trace.last, clip.vision(images(1)).last)


def test_edits_are_told_the_grid(clip: Clip) -> None:
    told = []

    def listen(tokens: Tensor, grid: Size) -> Tensor:
        told.append(grid)
        return tokens

    clip.vision(images(1, 40, 24), before={0: listen}, after={3: listen})
    clip.text(torch.tensor([[49406, 320, 49407]]), before={0: listen})
    assert told == [(5, 3), (5, 3), (1, 3)]


def test_identity_edits_change_nothing(clip: Clip) -> None:
    nothing = {index: lambda tokens, grid: tokens for index in range(DEPTH)}
    plain = clip.vision(images(2), keep=range(-1, DEPTH))
    edited = clip.vision(images(2), before=nothing, after=nothing, keep=range(-1, DEPTH))
    same(edited.last, plain.last)
    for index in range(-1, DEPTH):
        same(edited.kept[index], plain.kept[index])


@pytest.mark.parametrize("shared", [False, True])
def test_listeners_are_told_the_input_of_their_block_in_the_order_of_the_blocks(clip: Clip, shared: bool) -> None:
    pixels, heard = images(2), dict[int, Tensor]()
    plain = clip.vision(pixels, keep=range(-1, DEPTH))
    with clip.vision.sharing() if shared else nullcontext():
        clip.vision(pixels)
        trace = clip.vision.run_listened(pixels, {i: partial(heard.__setitem__, i) for i in (3, 0, 2)}, keep=[1])
    assert list(heard) == [0, 2, 3]
    for index, tokens in heard.items():
        same(tokens, plain.kept[index - 1])
    assert trace.kept.keys() == {1}
    same(trace.kept[1], plain.kept[1])
    same(trace.last, plain.last)
    assert trace.grid == plain.grid


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("index", [DEPTH, -1])
def test_a_listener_of_a_block_outside_the_tower_is_refused(clip: Clip, shared: bool, index: int) -> None:
    with clip.vision.sharing() if shared else nullcontext():
        with pytest.raises(ConfigError, match=rf"a block index lies in 0..{DEPTH - 1}; got {index}"):
            clip.vision.run_listened(images(1), {index: lambda tokens: None})
        clip.vision(images(1))


def test_a_block_that_is_refused_is_not_asked_for_again(clip: Clip) -> None:
    with clip.vision.sharing():
        with pytest.raises(ConfigError, match="a block index lies in"):
            clip.vision(images(1), keep=[DEPTH])
        assert clip.vision(images(1), keep=[0]).kept.keys() == {0}


@pytest.mark.parametrize("index", [DEPTH, -2, 100])
def test_keeping_a_block_outside_the_tower_is_refused(clip: Clip, index: int) -> None:
    with pytest.raises(ConfigError, match=rf"a block index lies in 0..{DEPTH - 1}; got {index}"):
        clip.vision(images(1), keep=[0, index])


@pytest.mark.parametrize("slot", ["before", "after"])
@pytest.mark.parametrize("index", [DEPTH, -1])
def test_editing_outside_the_tower_is_refused(clip: Clip, slot: str, index: int) -> None:
    with pytest.raises(ConfigError, match=rf"got {index}"):
        clip.vision(images(1), **{slot: {index: doubled}})


def test_run_continues_from_what_embed_made(clip: Clip) -> None:
    tokens, grid = clip.vision.embed(images(2))
    same(clip.vision.run(tokens, grid).last, clip.vision(images(2)).last)


# --- inside a block


@pytest.mark.parametrize(
    ("activation", "written_out"),
    [
        ("quick_gelu", lambda x: x * torch.sigmoid(1.702 * x)),
        ("gelu", lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))),
    ],
)
def test_perceptron_is_the_published_activation_between_two_matrices(
    activation: str, written_out: Callable[[Tensor], Tensor]
) -> None:
    torch.manual_seed(0)
    mlp = Mlp(8, activation)
    x = 3 * torch.randn(2, 5, 8)
    torch.testing.assert_close(mlp(x), mlp.down(written_out(mlp.up(x))), rtol=1e-5, atol=1e-6)


def test_every_activation_has_a_test() -> None:
    assert set(ACTIVATIONS) == {"quick_gelu", "gelu"}


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of its heads; got 10 / 3"):
        TowerConfig(10, 1, 3)


# --- image sizes


@pytest.mark.parametrize("size", SIZES)
def test_any_size_works_and_then_the_native_size_gives_the_old_answer(clip: Clip, size: Size) -> None:
    before = clip.vision(images(2)).last
    table = clip.vision.position_embedding.clone()
    trace = clip.vision(images(2, *size))
    assert trace.grid == (size[0] // PATCH, size[1] // PATCH)
    assert trace.last.shape == (2, 1 + trace.grid[0] * trace.grid[1], CONFIG.vision.width)
    assert trace.last.isfinite().all()
    same(clip.vision(images(2)).last, before)
    same(clip.vision.position_embedding, table)


def test_pixels_beyond_the_last_whole_patch_do_not_count(clip: Clip) -> None:
    ragged = images(1, 35, 70)
    same(clip.vision(ragged).last, clip.vision(ragged[..., :32, :64].contiguous()).last)


@pytest.mark.parametrize("size", [(15, 32), (32, 15), (8, 8), (1, 1)])
def test_an_image_below_two_by_two_patches_is_refused(clip: Clip, size: Size) -> None:
    with pytest.raises(InputError, match=rf"2×2 patches of 8 px; got {size[0]}×{size[1]} px.*at least 16"):
        clip.vision(images(1, *size))


def test_patches_are_numbered_row_by_row_after_the_class_token(clip: Clip) -> None:
    plain, marked = images(1, 24, 40), images(1, 24, 40)
    marked[..., 8:16, 24:32] += 1  # row 1, column 3 of a 3×5 grid
    changed = (clip.vision.embed(plain)[0] != clip.vision.embed(marked)[0]).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 1 * 5 + 3]


# --- positions


def tower(position_resize: PositionResize) -> VisionTower:
    return frozen(replace(CONFIG, position_resize=position_resize)).vision


@pytest.mark.parametrize("grid", [(5, 3), (7, 7), (2, 3)])
def test_ways_of_resizing_positions_differ(grid: Size) -> None:
    ways = [tower(way).positions(grid) for way in ("bicubic_antialias", "bicubic", "bilinear")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (ways[one] - ways[other]).abs().max() > 1e-3
        same(ways[one][0], ways[other][0])


@pytest.mark.parametrize("antialias", [False, True])
def test_bicubic_positions_are_those_of_the_published_code(antialias: bool) -> None:
    ours = tower("bicubic_antialias" if antialias else "bicubic")
    table = ours.position_embedding
    # As in open_clip's resize_pos_embed.
    grid = table[1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(6, 5), mode="bicubic", antialias=antialias, align_corners=False)
    expected = torch.cat([table[:1], resized.permute(0, 2, 3, 1).reshape(30, -1)])
    torch.testing.assert_close(ours.positions((6, 5)), expected, rtol=1e-6, atol=1e-6)


def test_bilinear_positions_written_out() -> None:
    ours = tower("bilinear")
    table = ours.position_embedding[1:].reshape(4, 4, -1).detach().numpy()
    resized = ours.positions((5, 7))[1:].reshape(5, 7, -1)
    for row in range(5):
        for col in range(7):
            y, x = (np.clip((n + 0.5) * 4 / of - 0.5, 0, 3) for n, of in ((row, 5), (col, 7)))
            top, left = min(int(y), 2), min(int(x), 2)
            down, right = y - top, x - left
            cell = (1 - down) * ((1 - right) * table[top, left] + right * table[top, left + 1])
            cell += down * ((1 - right) * table[top + 1, left] + right * table[top + 1, left + 1])
            np.testing.assert_allclose(resized[row, col].detach().numpy(), cell, rtol=1e-4, atol=1e-5)


def test_native_grid_uses_the_table_itself() -> None:
    vision = tower("bicubic_antialias")
    assert vision.positions(GRID) is vision.position_embedding


# --- text

PROMPTS = ("x", "a photo of a damaged metal nut.", "a close-up photo of the unblemished carpet for visual inspection.")


def padded(clip: Clip, prompts: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Padded to the context with zeros, as OpenAI's ``tokenize`` does, and where the end tokens are."""
    ids = [clip.tokenizer.encode(prompt) for prompt in prompts]
    rows = torch.tensor([row + [0] * (77 - len(row)) for row in ids])
    return rows, torch.tensor([len(row) - 1 for row in ids])


def test_a_prompt_cut_after_its_end_token_equals_the_padded_one(clip: Clip) -> None:
    features = clip.text(*padded(clip, PROMPTS))
    for prompt, feature in zip(PROMPTS, features, strict=True):
        alone = clip.text(torch.tensor([clip.tokenizer.encode(prompt)]))[0]
        torch.testing.assert_close(alone, feature, rtol=1e-5, atol=1e-6)


def test_encoding_prompts_of_mixed_lengths_keeps_their_order(clip: Clip) -> None:
    several = (*PROMPTS, *reversed(PROMPTS), "y")
    expected = clip.text(*padded(clip, several))
    torch.testing.assert_close(clip.encode_prompts(several), expected, rtol=1e-5, atol=1e-6)


def test_nothing_after_the_end_token_counts(clip: Clip) -> None:
    ids, ends = padded(clip, PROMPTS)
    other = ids.clone()
    other[0, ends[0] + 1 :] = 1234
    same(clip.text(ids, ends)[0], clip.text(other, ends)[0])


def test_embeddings_instead_of_ids_give_the_same(clip: Clip) -> None:
    ids, ends = padded(clip, PROMPTS)
    same(clip.text(clip.text.token_embedding(ids), ends), clip.text(ids, ends))


def test_edits_of_the_text_tower_reach_the_feature(clip: Clip) -> None:
    ids = torch.tensor([clip.tokenizer.encode(PROMPTS[1])])
    tokens, kept = clip.text.run(ids, before={1: doubled}, keep=[0, 1])
    same(kept[1], clip.text.transformer.blocks[1](2 * kept[0]))
    same(clip.text(ids, before={1: doubled}), clip.text.project(tokens[:, -1]))
    assert not torch.equal(clip.text(ids, before={1: doubled}), clip.text(ids))


def test_causal_attention_written_out(clip: Clip) -> None:
    attention = clip.text.transformer.blocks[0].attention
    x = torch.randn(1, 6, CONFIG.text.width, generator=torch.Generator().manual_seed(0))
    whole = attention(x)
    for length in range(1, 7):
        query, key, value = attention.qkv(x[:, :length]).reshape(1, length, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind()
        weights = (query[:, :, -1:] @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        last = attention.out((weights @ value).transpose(1, 2).flatten(2))
        torch.testing.assert_close(whole[:, length - 1], last[:, 0], rtol=1e-5, atol=1e-6)


def test_a_prompt_longer_than_the_context_is_refused(clip: Clip) -> None:
    with pytest.raises(InputError, match="a prompt has at most 77 tokens; got 78"):
        clip.text(torch.zeros(1, 78, dtype=torch.long))
    assert clip.text(torch.zeros(1, 77, dtype=torch.long)).shape == (1, CONFIG.embed)


# --- frozen


def test_a_frozen_clip_has_no_gradients_and_its_weights_never_change() -> None:
    clip = frozen()
    before = snapshot(clip)
    trace = clip.vision(images(2, 40, 24), keep=range(DEPTH))
    clip.encode_prompts(PROMPTS)
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert not trace.last.requires_grad
    assert_unchanged(clip, before)


def test_gradients_pass_through_a_frozen_clip_to_what_is_trained() -> None:
    clip, before = frozen(), None
    prompt = nn.Parameter(torch.zeros(1, 1, CONFIG.vision.width))
    before = snapshot(clip)
    clip.vision(images(1), before={0: lambda tokens, grid: tokens + prompt}).last.square().mean().backward()
    assert prompt.grad is not None
    assert prompt.grad.abs().sum() > 0
    assert_unchanged(clip, before)


def test_a_frozen_clip_stays_in_evaluation_mode() -> None:
    clip = frozen()
    parent = nn.ModuleDict({"clip": clip, "head": nn.Linear(1, 1)}).train()
    assert parent["head"].training
    assert not any(module.training for module in clip.modules())


def test_a_fresh_clip_can_be_trained() -> None:
    clip = build().train()
    assert all(module.training for module in clip.modules())
    assert all(parameter.requires_grad for parameter in clip.parameters())
    assert clip.fingerprint is None


def test_precision_is_that_of_the_weights() -> None:
    clip = frozen().to(torch.bfloat16)
    assert clip.dtype == torch.bfloat16
    assert clip.vision(images(1, 40, 24).bfloat16()).last.dtype == torch.bfloat16
    assert clip.encode_prompts(PROMPTS).dtype == torch.bfloat16


# --- helpers


@pytest.mark.parametrize(
    ("depth", "indices"), [(24, [5, 11, 17, 23]), (12, [2, 5, 8, 11]), (32, [7, 15, 23, 31]), (4, [0, 1, 2, 3])]
)
def test_the_papers_layers_are_the_quarter_points(depth: int, indices: list[int]) -> None:
    assert [level_index(level, 24, depth) for level in (6, 12, 18, 24)] == indices


def test_every_layer_lies_inside_every_tower() -> None:
    for depth in (1, 2, 5, 12, 40):
        indices = [level_index(level, 24, depth) for level in range(1, 25)]
        assert indices == sorted(indices)
        assert indices[0] >= 0
        assert indices[-1] == depth - 1


@pytest.mark.parametrize("level", [0, 25, -1])
def test_a_layer_outside_the_paper_is_refused(level: int) -> None:
    with pytest.raises(ConfigError, match=rf"a layer lies in 1..24; got {level}"):
        level_index(level, 24, 12)


def test_unit_vectors_have_length_one() -> None:
    lengths = l2_normalize(images(2)).square().sum(-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
