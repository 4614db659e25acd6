"""Hybrid prompts: vectors that are the same for all images, plus vectors made from each (AdaCLIP, Cao et al. 2024)."""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.transformer import Edits
from zsad.types import Size

Kind = Literal["both", "static", "dynamic"]
START_STD = 0.02


class HybridPrompts(nn.Module):
    """The prompts of one tower.

    Static vectors belong to a block. Dynamic ones are linear in the image's feature, and the same in all blocks.

    Args:
        embed: width of the image's feature.
        width: of the tower.
        length: vectors of a block.
        blocks: that have prompts.
        kind: which of the two there are.
    """

    def __init__(self, embed: int, width: int, length: int, blocks: range, kind: Kind) -> None:
        super().__init__()
        self.length, self.blocks = length, blocks
        static, dynamic = kind != "dynamic", kind != "static"
        self.static = nn.ParameterList(_drawn(length, width) for _ in blocks) if static else None
        self.dynamic = nn.Linear(embed, length * width) if dynamic else None

    def forward(self, image: Float[Tensor, "batch embed"]) -> dict[int, Float[Tensor, "batch length width"]]:
        """The vectors of each block."""
        made = self.dynamic(image).unflatten(1, (self.length, -1)) if self.dynamic is not None else None
        if self.static is None:
            assert made is not None
            return dict.fromkeys(self.blocks, made)
        fixed = zip(self.blocks, self.static, strict=True)
        if made is None:
            return {block: vectors.expand(len(image), -1, -1) for block, vectors in fixed}
        return {block: vectors + made for block, vectors in fixed}


class Appended:
    """Edits of a vision tower: vectors behind the patches, in the first blocks those of the block.

    In the other blocks they are what the block before made of them. Between the blocks they are set aside, so that kept
    tokens are those of the grid.

    Args:
        vectors: by block, from block 0 on.
        depth: of the tower.
    """

    def __init__(self, vectors: dict[int, Float[Tensor, "batch length width"]], depth: int) -> None:
        self.vectors, self.aside = vectors, vectors[0]
        self.before: Edits = {block: partial(self._enter, block) for block in range(depth)}
        self.after: Edits = dict.fromkeys(range(depth), self._leave)

    def _enter(self, block: int, tokens: Tensor, grid: Size) -> Tensor:
        return torch.cat([tokens, self.vectors.get(block, self.aside).to(tokens.dtype)], 1)

    def _leave(self, tokens: Tensor, grid: Size) -> Tensor:
        length = self.aside.shape[1]
        self.aside = tokens[:, -length:]
        return tokens[:, :-length]


def _drawn(length: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.normal_(torch.empty(length, width), std=START_STD))
