"""CLIP: a vision tower and a text tower with a joint space, open between their blocks; tokenizer and normalisation.

Attention of the text tower is causal, so that tokens after the end token of a prompt need not be computed.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones import prompt_cache
from zsad.backbones.config import ClipConfig, PositionResize
from zsad.backbones.stem import Stem
from zsad.backbones.tokenizer import Tokenizer
from zsad.backbones.transformer import NO_EDITS, Edits, Transformer
from zsad.errors import InputError
from zsad.types import Size, Trace

MIN_GRID = 2


class VisionTower(nn.Module):
    """Vision transformer of CLIP (Radford et al. 2021): patches, class token, positions, norm, blocks, norm."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        vision = config.vision
        self.patch_size = vision.patch
        self.position_resize: PositionResize = config.position_resize
        scale = vision.width**-0.5
        self.patch_embedding = (
            nn.Conv2d(3, vision.width, vision.patch, stride=vision.patch, bias=False)
            if vision.stem == "patches"
            else Stem(vision.width)
        )
        self.class_embedding = nn.Parameter(scale * torch.randn(vision.width))
        self.position_embedding = nn.Parameter(scale * torch.randn(vision.grid**2 + 1, vision.width))
        self.norm_pre = nn.LayerNorm(vision.width)
        self.transformer = Transformer(vision, config.activation, causal=False)
        self.norm_post = nn.LayerNorm(vision.width)
        self.projection = nn.Parameter(scale * torch.randn(vision.width, config.embed))

    def forward(
        self,
        images: Float[Tensor, "batch 3 rows cols"],
        *,
        before: Edits = NO_EDITS,
        after: Edits = NO_EDITS,
        keep: Collection[int] = (),
    ) -> Trace:
        """Run the tower on normalised images of any size whose patch grid is at least 2×2.

        See :meth:`zsad.backbones.transformer.Transformer.forward` for ``before``, ``after`` and ``keep``.

        Raises:
            InputError: the images are too small for a 2×2 grid.
        """
        tokens, grid = self.embed(images)
        return self.run(tokens, grid, before=before, after=after, keep=keep)

    def embed(self, images: Float[Tensor, "batch 3 rows cols"]) -> tuple[Float[Tensor, "batch tokens width"], Size]:
        """Tokens that enter block 0 (class token first), and their grid."""
        grid = self.grid(images.shape[-2], images.shape[-1])
        return self.arrange(self.patch_embedding(images)), grid

    def grid(self, rows: int, cols: int) -> Size:
        """The patch grid of images of so many pixels.

        Raises:
            InputError: it is smaller than 2×2.
        """
        grid = rows // self.patch_size, cols // self.patch_size
        if min(grid) < MIN_GRID:
            raise InputError(
                f"an image covers at least {MIN_GRID}×{MIN_GRID} patches of {self.patch_size} px",
                f"{rows}×{cols} px",
                f"use an image size of at least {MIN_GRID * self.patch_size}",
            )
        return grid

    def arrange(self, patches: Float[Tensor, "batch width grid_rows grid_cols"]) -> Float[Tensor, "batch tokens width"]:
        """Embedded patches with the class token before them, their positions and the first norm."""
        rows, cols = patches.shape[-2:]
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        return self.norm_pre(tokens + self.positions((rows, cols)).to(patches.dtype))

    def run(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        grid: Size,
        *,
        before: Edits = NO_EDITS,
        after: Edits = NO_EDITS,
        keep: Collection[int] = (),
    ) -> Trace:
        """Run the blocks on tokens from :meth:`embed`, or on a selection of them."""
        last, kept = self.transformer(tokens, grid, before=before, after=after, keep=keep)
        return Trace(kept=kept, last=last, grid=grid)

    def project(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape embed"]:
        """Post-norm and projection into the joint space, as CLIP does with its class token."""
        return self.norm_post(tokens) @ self.projection

    def positions(self, grid: Size) -> Float[Tensor, "tokens width"]:
        """The position embeddings, resized to the grid. The trained table is never changed."""
        first, table = self.position_embedding[:1], self.position_embedding[1:]
        side = round(len(table) ** 0.5)
        if grid == (side, side):
            return self.position_embedding
        square = table.float().T.reshape(1, -1, side, side)
        resized = F.interpolate(
            square,
            size=grid,
            mode="bilinear" if self.position_resize == "bilinear" else "bicubic",
            align_corners=False,
            antialias=self.position_resize == "bicubic_antialias",
        )
        return torch.cat([first, resized.flatten(2)[0].T.to(table.dtype)])


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
