"""CLIP: a vision tower and a text tower with a joint space, open between their blocks; tokenizer and normalisation.

Attention of the text tower is causal, so that tokens after the end token of a prompt need not be computed. The vision
tower is also that of DINOv2 and DINOv3, which have no text tower.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsad.backbones import prompt_cache
from zsad.backbones.config import ClipConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.transformer import NO_EDITS, Edits, Transformer
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError, InputError


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
        before: Edits = NO_EDITS,
        after: Edits = NO_EDITS,
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
        before: Edits = NO_EDITS,
        after: Edits = NO_EDITS,
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


KEPT = 256
"""Number of sets of prompts whose features are cached in memory."""


class Clip(nn.Module):
    """CLIP (Radford et al. 2021). A new one has random, trainable weights; see :meth:`freeze`.

    A backbone that only sees (DINOv2, DINOv3) is one without ``text``, ``tokenizer`` and ``logit_scale``.

    Attributes:
        name: of the architecture, for instance ``"ViT-L-14-336"``.
        weights: a description of where the weights came from.
        fingerprint: content hash of weights and configuration; ``None`` while they can change.
    """

    text: TextTower
    tokenizer: Tokenizer
    logit_scale: nn.Parameter

    def __init__(self, name: str, config: ClipConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.name, self.config = name, config
        self.weights = "random"
        self.fingerprint: str | None = None
        self._encoded: dict[str, Tensor] = {}
        self.vision = VisionTower(config)
        if tokenizer is not None:
            self.tokenizer = tokenizer
        if config.has_text:
            self.text = TextTower(config)
            self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower."""
        return self.config.has_text

    def freeze(self, weights: str, fingerprint: str) -> "Clip":
        """Freeze the weights: no gradients, always in evaluation mode, prompts cached by the fingerprint."""
        self.weights, self.fingerprint = weights, fingerprint
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> "Clip":
        """As in PyTorch, except that a frozen Clip stays in evaluation mode."""
        super().train(mode and self.fingerprint is None)
        return self

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.vision.class_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return self.vision.class_embedding.dtype

    def encode_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "prompts embed"]:
        """Features of the prompts, not normalised, in the given order; from the cache where these weights have encoded
        them before.

        Raises:
            ConfigError: the backbone has no text tower.
        """
        check_text(self, "what encodes prompts")
        if self.fingerprint is None:
            return self._encode(prompts)
        key = prompt_cache.key(f"{self.fingerprint} {self.dtype}", prompts)
        if key not in self._encoded:
            if len(self._encoded) == KEPT:
                del self._encoded[next(iter(self._encoded))]
            self._encoded[key] = self._from_disk(key, prompts)
        return self._encoded[key].to(self.device, self.dtype)

    # Cached features must be usable in training too, which tensors made in inference mode are not.
    @torch.inference_mode(False)
    def _from_disk(self, key: str, prompts: Sequence[str]) -> Float[Tensor, "prompts embed"]:
        features = prompt_cache.read(key, (len(prompts), self.config.embed), self.dtype)
        if features is None:
            features = self._encode(prompts)
            prompt_cache.write(key, features)
        return features

    @torch.inference_mode(False)
    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> Float[Tensor, "prompts embed"]:
        ids = [self.tokenizer.encode(prompt) for prompt in prompts]
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for number, tokens in enumerate(ids):
            by_length[len(tokens)].append(number)
        features = torch.empty(len(ids), self.config.embed, device=self.device, dtype=self.dtype)
        # The cache holds full precision, even if training in half precision fills it first.
        with torch.autocast(self.device.type, enabled=False):
            for numbers in by_length.values():
                batch = torch.tensor([ids[number] for number in numbers], device=self.device)
                features[numbers] = self.text(batch)
        return features


def check_text(clip: Clip, what: str) -> None:
    """Refuse a backbone without a text tower.

    Args:
        clip: the backbone.
        what: that needs text, for instance the name of a method.

    Raises:
        ConfigError: it has none.
    """
    if not clip.has_text:
        remedy = "use a CLIP, such as ViT-L-14-336, or a method without text: musc, patchcore or auto"
        raise ConfigError(f"{what} needs a backbone with a text tower", f"{clip.name}, which only sees", remedy)
