"""The adapters of AA-CLIP, and the tower under surgery that its text is trained against."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.transformer import Block, l2_normalize
from zsad.backbones.vision import VisionTower
from zsad.parts.vv_attention import vv_attention
from zsad.types import Size

Surgery = Literal["images", "patches"]


class Projection(nn.Module):
    """A linear layer without bias, with or without a LeakyReLU; drawn as Xavier's uniform (code)."""

    def __init__(self, width: int, out: int, *, relu: bool) -> None:
        super().__init__()
        self.relu, self.linear = relu, nn.Linear(width, out, bias=False)
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, tokens: Float[Tensor, "*leading width"]) -> Float[Tensor, "*leading out"]:
        projected = self.linear(tokens)
        return F.leaky_relu(projected) if self.relu else projected


class ResidualAdapter(nn.Module):
    """(1 - w) x + w |x| a / |a| with a = LeakyReLU(W x), for every token x; an edit for the towers."""

    def __init__(self, width: int, weight: float) -> None:
        super().__init__()
        self.weight, self.update = weight, Projection(width, width, relu=True)

    def forward(self, tokens: Float[Tensor, "batch tokens width"], grid: Size) -> Float[Tensor, "batch tokens width"]:
        scaled = l2_normalize(self.update(tokens)) * tokens.norm(dim=-1, keepdim=True)
        return (1 - self.weight) * tokens + self.weight * scaled


@torch.no_grad()
def surgical_levels(
    tower: VisionTower,
    images: Float[Tensor, "batch 3 rows cols"],
    start: int,
    levels: list[int],
    surgery: Surgery,
) -> tuple[dict[int, Tensor], Size]:
    """Outputs of blocks of the tower with V-V attention in place of its own from block ``start`` on.

    Unlike the V-V stream of AnomalyCLIP (:mod:`zsad.parts.vv_attention`) it is the only stream, and keeps the MLPs.

    Args:
        tower: of a frozen CLIP.
        images: normalised.
        start: first block under surgery, from 0.
        levels: blocks whose outputs are returned.
        surgery: ``"patches"``: attention between the patches of an image; ``"images"``: between the images of the
            batch, at each place by itself, which is what the authors' code computes, since it takes one axis for the
            other.

    Returns:
        Float[Tensor, "batch tokens width"] by block index, and the grid of the patches.
    """
    tokens, grid = tower.embed(images)
    kept = {}
    for index, block in enumerate(tower.transformer.blocks):
        assert isinstance(block, Block)
        if index < start:
            tokens = block(tokens)
        else:
            normed = block.norm_1(tokens)
            if surgery == "images":
                attended = vv_attention(block.attention, normed.transpose(0, 1)).transpose(0, 1)
            else:
                attended = vv_attention(block.attention, normed)
            tokens = tokens + attended
            tokens = tokens + block.mlp(block.norm_2(tokens))
        if index in levels:
            kept[index] = tokens
        if index == max(levels):
            break
    return kept, grid
