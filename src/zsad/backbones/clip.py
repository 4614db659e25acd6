"""CLIP: a vision tower and a text tower with a joint space, their tokenizer and normalisation."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones import prompt_cache
from zsad.backbones.config import ClipConfig
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.towers import TextTower, VisionTower

KEPT = 256
"""Number of sets of prompts whose features are cached in memory."""


class Clip(nn.Module):
    """CLIP (Radford et al. 2021). A new one has random, trainable weights; see :meth:`freeze`.

    Attributes:
        name: of the architecture, for instance ``"ViT-L-14-336"``.
        weights: a description of where the weights came from.
        fingerprint: content hash of weights and configuration; ``None`` while they can change.
    """

    def __init__(self, name: str, config: ClipConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.name, self.config, self.tokenizer = name, config, tokenizer
        self.weights = "random"
        self.fingerprint: str | None = None
        self._encoded: dict[str, Tensor] = {}
        self.vision = VisionTower(config)
        self.text = TextTower(config)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

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
        return self.logit_scale.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        return self.vision.projection.dtype

    def encode_prompts(self, prompts: Sequence[str]) -> Float[Tensor, "prompts embed"]:
        """Features of the prompts, not normalised, in the given order; from the cache where these weights have encoded
        them before."""
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
