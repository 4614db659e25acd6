"""Self prompting: the prompts against equations 15-16, and what the tower sees block by block."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.small import CONFIG, SIZE, frozen, images
from zsad.backbones.clip import Clip
from zsad.errors import InputError
from zsad.methods.afr_clip.self_prompts import Placement, SelfPrompts, prompt_edits, prompted_blocks
from zsad.types import Trace

DEEPER = replace(CONFIG, vision=replace(CONFIG.vision, depth=8))
COUNT, WIDTH = 3, CONFIG.vision.width
BLOCKS = range(1, 4)


def prompts_for(batch: int) -> Tensor:
    return torch.randn(batch, COUNT, WIDTH, generator=torch.Generator().manual_seed(5))


@torch.inference_mode()
def traced(clip: Clip, prompts: Tensor, placement: Placement) -> Trace:
    before, after = prompt_edits(prompts, BLOCKS, placement)
    return clip.vision(images(2), before=before, after=after, keep=range(DEEPER.vision.depth))


@torch.inference_mode()
def written_out(clip: Clip, prompts: Tensor, appended: bool) -> dict[int, Tensor]:
    """Equations 17-18, one block after another; appended prompts stay until the last block that sees them."""
    blocks, kept = clip.vision.transformer.blocks, {}
    tokens = blocks[0](clip.vision.embed(images(2))[0])
    if appended:
        tokens = torch.cat([tokens, torch.zeros(2, COUNT, WIDTH)], 1)
    for index in range(1, DEEPER.vision.depth):
        if index in BLOCKS:
            tokens = torch.cat([tokens[:, :-COUNT], prompts.expand(2, -1, -1)], 1)
        tokens = blocks[index](tokens)
        if appended and index == BLOCKS[-1]:
            tokens = tokens[:, :-COUNT]
        kept[index] = tokens
    return kept


def test_the_prompts_are_a_head_each_plus_the_learned_tokens() -> None:
    torch.manual_seed(0)
    prompts, seen = SelfPrompts(COUNT, WIDTH, 7, learned=True), torch.randn(2, 7)
    assert prompts.heads is not None
    assert prompts.learned is not None
    ours = prompts(seen)
    for number in range(COUNT):
        rows = slice(number * WIDTH, (number + 1) * WIDTH)
        of_image = seen @ prompts.heads.weight[rows].T + prompts.heads.bias[rows]
        torch.testing.assert_close(ours[:, number], of_image + prompts.learned[number])


def test_either_half_can_be_left_out() -> None:
    seen = torch.randn(2, 7)
    of_image = SelfPrompts(COUNT, WIDTH, 7, learned=False)
    assert {name for name, _ in of_image.named_parameters()} == {"heads.weight", "heads.bias"}
    assert of_image(seen).shape == (2, COUNT, WIDTH)
    of_all = SelfPrompts(COUNT, WIDTH, None, learned=True)
    assert {name for name, _ in of_all.named_parameters()} == {"learned"}
    assert of_all(None).shape == (1, COUNT, WIDTH)


@pytest.mark.parametrize(
    ("stages", "depth", "blocks"),
    [(1, 24, (1, 6)), (2, 24, (1, 12)), (3, 24, (1, 18)), (4, 24, (1, 24)), (1, 12, (1, 3)), (1, 4, (1, 2))],
)
def test_prompts_enter_after_the_first_block_and_stay_to_the_end_of_a_stage(
    stages: int, depth: int, blocks: tuple[int, int]
) -> None:
    assert prompted_blocks(stages, depth) == range(*blocks)


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("placement", ["append", "replace"])
def test_the_tower_runs_as_written_out(placement: Placement, sets: int) -> None:
    clip, prompts = frozen(DEEPER), prompts_for(sets)
    kept, expected = traced(clip, prompts, placement).kept, written_out(clip, prompts, placement == "append")
    for index in range(1, DEEPER.vision.depth):
        ours = kept[index]
        torch.testing.assert_close(ours, expected[index][:, : ours.shape[1]], rtol=1e-5, atol=1e-5)


def test_appended_prompts_leave_the_class_token_and_the_grid_as_many_as_they_were() -> None:
    clip = frozen(DEEPER)
    cells = (SIZE // CONFIG.vision.patch) ** 2
    lengths = {index: kept.shape[1] for index, kept in traced(clip, prompts_for(2), "append").kept.items()}
    assert lengths == dict.fromkeys(range(8), 1 + cells)


@pytest.mark.parametrize("placement", ["append", "replace"])
def test_no_token_but_the_prompts_is_touched_or_moved(placement: Placement) -> None:
    tokens, prompts = torch.randn(2, 1 + 16, WIDTH), prompts_for(2)
    before, after = prompt_edits(prompts, BLOCKS, placement)
    entered = before[1](tokens, (4, 4))
    kept = tokens if placement == "append" else tokens[:, :-COUNT]
    torch.testing.assert_close(entered, torch.cat([kept, prompts], 1), rtol=0, atol=0)
    left = after[1](entered + 1, (4, 4)) if placement == "append" else entered + 1
    renewed = before[2](left, (4, 4))
    torch.testing.assert_close(renewed, torch.cat([kept + 1, prompts], 1), rtol=0, atol=0)
    assert set(before) == set(BLOCKS)
    assert set(after) == (set(BLOCKS) if placement == "append" else set())


def test_an_image_without_so_many_patches_cannot_have_them_replaced() -> None:
    before, _ = prompt_edits(torch.randn(1, 5, WIDTH), BLOCKS, "replace")
    with pytest.raises(InputError, match=r"at least the 5 patches that the prompts replace; got 2×2 patches"):
        before[1](torch.randn(1, 5, WIDTH), (2, 2))
