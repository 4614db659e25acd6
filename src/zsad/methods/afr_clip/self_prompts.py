"""Self prompting: prompt tokens from the CNN features of an image, and their insertion into the vision tower."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.transformer import Edits, level_index
from zsad.errors import InputError
from zsad.types import Size

Placement = Literal["append", "replace"]
STAGE_ENDS = (6, 12, 18, 24)
"""Last layer of each stage of a 24-layer tower, counted from 1."""
START = 0.02


class SelfPrompts(nn.Module):
    """K prompt tokens per image (AFR-CLIP, Yuan et al. 2025, equations 15-16).

    Each is a linear head on the vector of the CNN (P_v), plus K learned tokens shared by all images (P_l).

    Args:
        count: K.
        width: of the vision tower.
        channels: width of the vector of the CNN; ``None`` for P_l alone.
        learned: whether to use P_l; initialised from N(0, 0.02²), which the LayerNorm before the first attention scales
            to the other tokens.
    """

    def __init__(self, count: int, width: int, channels: int | None, learned: bool) -> None:
        super().__init__()
        self.count = count
        self.heads = None if channels is None else nn.Linear(channels, count * width)
        self.learned = nn.Parameter(START * torch.randn(count, width)) if learned else None

    def forward(self, features: Float[Tensor, "batch channels"] | None) -> Float[Tensor, "images count width"]:
        """The prompts of each image, or one set for all without a CNN."""
        if self.heads is None:
            assert self.learned is not None
            return self.learned[None]
        of_image = self.heads(features).unflatten(1, (self.count, -1))
        return of_image if self.learned is None else of_image + self.learned


def prompted_blocks(stages: int, depth: int) -> range:
    """Blocks, from 0, with prompts: those of the first ``stages`` quarters except for block 0, at least one.

    >>> [list(prompted_blocks(1, depth)) for depth in (24, 12, 4)]
    [[1, 2, 3, 4, 5], [1, 2], [1]]
    """
    return range(1, max(level_index(STAGE_ENDS[stages - 1], STAGE_ENDS[-1], depth), 1) + 1)


def prompt_edits(
    prompts: Float[Tensor, "images count width"], blocks: range, placement: Placement
) -> tuple[Edits, Edits]:
    """Edits for the arguments ``before`` and ``after`` of the tower.

    The prompts are inserted anew in every block and its outputs for them dropped, so that kept tokens are those of the
    grid.

    Args:
        prompts: of each image, or one set for all.
        blocks: those with prompts.
        placement: ``append`` puts the prompts after the patches. ``replace`` overwrites the last K patches,
            which then are the outputs of the last of the blocks for the prompts (equation 18 literally).
    """

    def enter(tokens: Tensor, grid: Size) -> Tensor:
        return torch.cat([tokens, _for_each(prompts, tokens)], dim=1)

    def leave(tokens: Tensor, grid: Size) -> Tensor:
        return tokens[:, : -prompts.shape[1]]

    def overwrite(tokens: Tensor, grid: Size) -> Tensor:
        _check_room(prompts.shape[1], grid)
        return enter(leave(tokens, grid), grid)

    if placement == "replace":
        return dict.fromkeys(blocks, overwrite), {}
    return dict.fromkeys(blocks, enter), dict.fromkeys(blocks, leave)


def _for_each(prompts: Tensor, tokens: Tensor) -> Tensor:
    return prompts.to(tokens.dtype).expand(len(tokens), -1, -1)


def _check_room(count: int, grid: Size) -> None:
    if count > grid[0] * grid[1]:
        raise InputError(
            f"an image has at least the {count} patches that the prompts replace",
            f"{grid[0]}×{grid[1]} patches",
            'use larger images, or the placement "append"',
        )
