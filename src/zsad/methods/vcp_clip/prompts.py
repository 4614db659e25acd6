"""Prompts whose object is read off the image, and texts that attend to its patches (VCP-CLIP, Qu et al. 2024)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import Edits, l2_normalize, level_index
from zsad.parts.deep_prompts import AFTER_START, overwrite
from zsad.parts.prompts import insert_vectors
from zsad.types import Size

STATES = ("a photo of a good", "a photo of a damaged")
"""What precedes the vectors that stand for the object."""
REFERENCE_DEPTH = 12
"""Depth of the text tower whose layers are counted."""
KERNEL = 3
"""Of the convolution over the channels of the image's feature."""
DROPOUT = 0.1
"""Of the deep prompts, in training."""
EPSILON = 1e-6
"""Of the LayerNorm before CLIP's last one."""


class ContextPrompts(nn.Module):
    """Pre-VCP and deep text prompts.

    The words of a state are followed by vectors of the image: learned queries, plus a convolution over the channels of
    its feature. Behind the start token stands a deep prompt, which each further block replaces by its own; all pass one
    linear layer.

    Args:
        clip: whose text tower reads the prompts.
        length: vectors that stand for the object.
        deep_length: deep prompts of a block; 0 is none.
        deep_layers: blocks of a 12-block text tower after the first that have their own.
    """

    def __init__(self, clip: Clip, length: int, deep_length: int, deep_layers: int) -> None:
        super().__init__()
        embed, width, depth = clip.config.embed, clip.config.text.width, clip.config.text.depth
        self.deep_length, self.last = deep_length, depth - 1
        self.queries = nn.Parameter(nn.init.trunc_normal_(torch.empty(length, width)))
        self.context = nn.Conv1d(1, length, KERNEL, padding="same")
        self.fit = nn.Identity() if embed == width else nn.Linear(embed, width)
        blocks = range(level_index(deep_layers + 1, REFERENCE_DEPTH, depth) + 1)
        self.deep = nn.ParameterList(_uniform(deep_length, width) for _ in blocks if deep_length)
        self.project = nn.Linear(width, width) if deep_length else None
        if self.project is not None:
            nn.init.kaiming_normal_(self.project.weight, mode="fan_out")
        self.norm = nn.LayerNorm(width, eps=EPSILON) if deep_length else None

    def forward(self, clip: Clip, image: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch 2 embed"]:
        """Unit vectors of the normal and the anomalous state of each image."""
        vectors = self.queries + self.fit(self.context(image[:, None]))
        before, after = self._edits()
        features = []
        for words in STATES:
            tokens, _ = clip.text.run(insert_vectors(clip, words, vectors, ""), before=before, after=after)
            end = tokens[:, -1]
            features.append(clip.text.project(end if self.norm is None else self.norm(end)))
        return l2_normalize(torch.stack(features, 1).float())

    def _edits(self) -> tuple[Edits, Edits]:
        """The first deep prompt enters behind the start token; the last block's output for it is dropped."""
        if self.project is None:
            return {}, {}
        first, *others = (F.dropout(self.project(one), DROPOUT, self.training)[None] for one in self.deep)

        def enter(tokens: Tensor, grid: Size) -> Tensor:
            own = first.to(tokens.dtype).expand(len(tokens), -1, -1)
            return torch.cat([tokens[:, :AFTER_START], own, tokens[:, AFTER_START:]], 1)

        def leave(tokens: Tensor, grid: Size) -> Tensor:
            return torch.cat([tokens[:, :AFTER_START], tokens[:, AFTER_START + self.deep_length :]], 1)

        deeper = {block: overwrite(vectors) for block, vectors in enumerate(others, 1)}
        return {0: enter, **deeper}, {self.last: leave}


class PatchAttention(nn.Module):
    """Post-VCP: both texts attend to the patches of an image, without the usual division by the root of the width.

    Args:
        embed: width of the texts.
        width: of the patches and of the result.
        heads: of the attention.
    """

    def __init__(self, embed: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(embed, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, texts: Float[Tensor, "batch 2 embed"], patches: Float[Tensor, "batch cells width"]
    ) -> Float[Tensor, "batch 2 width"]:
        """Unit vectors of the two states, in the space of the patches."""
        parts = (self.query(texts), self.key(patches), self.value(patches))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return l2_normalize(self.out(seen.transpose(1, 2).flatten(2)).float())


def log_scale(temperature: float) -> nn.Parameter:
    """The logarithm of 1 / τ, which is learned."""
    return nn.Parameter(torch.tensor(math.log(1 / temperature)))


def _uniform(length: int, width: int) -> nn.Parameter:
    return nn.Parameter(nn.init.uniform_(torch.empty(length, width), -1, 1))
