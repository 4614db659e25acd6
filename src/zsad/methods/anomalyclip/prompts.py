"""Prompts without a class name, and deep prompts in the text tower (AnomalyCLIP, Zhou et al. 2024, 3.2-3.3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import Edits, level_index
from zsad.errors import ConfigError
from zsad.parts.deep_prompts import overwrite
from zsad.parts.prompts import encode_with_context
from zsad.parts.similarity import state_features

WORDS = ("object.", "damaged object.")
"""What follows the learned vectors of the normal and of the anomalous state."""
START_STD = 0.02
REFERENCE_DEPTH = 12
"""Depth of the text tower whose layers are counted."""


class ObjectAgnosticPrompts(nn.Module):
    """ "[V_1]...[V_E] object." and "[W_1]...[W_E] damaged object.", the same for all images.

    At the input of the second to the ``depth``-th layer the first ``deep_length`` learned vectors are replaced by
    vectors of that layer, which both states share.

    Args:
        clip: whose text tower reads the prompts.
        length: E, vectors of each state.
        depth: layers of a 12-layer text tower with learned vectors; 1 is none but those of the input.
        deep_length: vectors of each deeper layer.
    """

    def __init__(self, clip: Clip, length: int, depth: int, deep_length: int) -> None:
        super().__init__()
        text = clip.config.text
        self.blocks = range(1, level_index(depth, REFERENCE_DEPTH, text.depth) + 1)
        self.contexts = nn.Parameter(_drawn(2, length, text.width))
        self.deep = nn.ParameterList(nn.Parameter(_drawn(deep_length, text.width)) for _ in self.blocks)
        longest = max(clip.tokenizer.count(words) for words in WORDS) + length
        if longest > text.context:
            rule = f"learned vectors and words fit into the {text.context} tokens of the text tower"
            raise ConfigError(rule, f"{longest} tokens", "learn fewer vectors (prompt_length)")

    def forward(self, clip: Clip) -> Float[Tensor, "2 embed"]:
        """Unit vectors of the normal and of the anomalous state."""
        features = encode_with_context(clip, self.contexts, [[words] for words in WORDS], before=self._edits())
        return state_features(features[:, None])

    def _edits(self) -> Edits:
        return {block: overwrite(vectors[None]) for block, vectors in zip(self.blocks, self.deep, strict=True)}


def _drawn(*shape: int) -> Tensor:
    return nn.init.normal_(torch.empty(*shape), std=START_STD)
