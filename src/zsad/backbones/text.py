"""CLIP's text tower, open between its blocks. Attention is causal: nothing after a prompt's end token is ever run."""

from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsad.backbones.config import ClipConfig
from zsad.backbones.transformer import NOTHING, Edits, Transformer
from zsad.errors import InputError


class TextTower(nn.Module):
    """Text transformer of CLIP (Radford et al. 2021)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        text = config.text
        self.token_embedding = nn.Embedding(text.vocabulary, text.width)
        self.position_embedding = nn.Parameter(0.01 * torch.randn(text.context, text.width))
        self.transformer = Transformer(text, config.activation, causal=True)
        self.norm_final = nn.LayerNorm(text.width)
        self.projection = nn.Parameter(text.width**-0.5 * torch.randn(text.width, config.embed))
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(
        self,
        prompts: Int[Tensor, "prompts tokens"] | Float[Tensor, "prompts tokens width"],
        ends: Int[Tensor, "prompts"] | None = None,
        *,
        before: Edits = NOTHING,
        after: Edits = NOTHING,
    ) -> Float[Tensor, "prompts embed"]:
        """Features in the joint space, not normalised.

        Args:
            prompts: token ids, or token embeddings without positions (learned prompts).
            ends: index of each prompt's end token; the last token where not given.

        Raises:
            InputError: the prompts are longer than the context.
        """
        tokens, _ = self.run(prompts, before=before, after=after)
        if ends is None:
            return self.project(tokens[:, -1])
        return self.project(tokens[torch.arange(len(tokens), device=tokens.device), ends])

    def run(
        self,
        prompts: Int[Tensor, "prompts tokens"] | Float[Tensor, "prompts tokens width"],
        *,
        before: Edits = NOTHING,
        after: Edits = NOTHING,
        keep: Collection[int] = (),
    ) -> tuple[Float[Tensor, "prompts tokens width"], dict[int, Tensor]]:
        """Output of the last block for every token, and the outputs of the blocks in ``keep``."""
        embedded = prompts if prompts.is_floating_point() else self.token_embedding(prompts)
        length, context = embedded.shape[1], len(self.position_embedding)
        if length > context:
            raise InputError(
                f"a prompt has at most {context} tokens", length, "shorten it, or let the tokenizer cut it"
            )
        tokens = embedded + self.position_embedding[:length]
        out: tuple[Tensor, dict[int, Tensor]] = self.transformer(
            tokens, (1, length), before=before, after=after, keep=keep
        )
        return out

    def project(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape embed"]:
        """Final norm and projection into the joint space, as CLIP does with the end token."""
        return self.norm_final(tokens) @ self.projection
