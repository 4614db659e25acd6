"""Deep prompts: vectors in the place of tokens at the input of blocks (Jia et al., Visual Prompt Tuning, 2022)."""

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.transformer import Edit
from zsad.types import Size

AFTER_START = 1
"""Position of the first deep prompt in a text: behind the start token."""


def overwrite(vectors: Float[Tensor, "#prompts length width"], first: int = AFTER_START) -> Edit:
    """An edit that puts vectors in the place of as many tokens.

    Args:
        vectors: of each sequence, or one set for all.
        first: position of the first token that is overwritten; a negative one counts from the end.
    """

    def edit(tokens: Float[Tensor, "prompts tokens width"], grid: Size) -> Float[Tensor, "prompts tokens width"]:
        length, begin = vectors.shape[1], first % tokens.shape[1]
        own = vectors.to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :begin], own, tokens[:, begin + length :]], 1)

    return edit
