"""The vision tower of CLIP, which is also that of DINOv2 and DINOv3 where it is so configured."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.config import ClipConfig, PositionResize
from zsad.backbones.stem import Stem
from zsad.backbones.transformer import NO_EDITS, Edits, Transformer
from zsad.errors import ConfigError, InputError
from zsad.types import Size, Trace

MIN_GRID = 2

Listener = Callable[[Tensor], None]
"""Reads the tokens (batch, tokens, width) that enter a block, and changes nothing."""

OFFSET = 0.1
"""Cells by which DINOv2's code enlarges a grid when it resizes positions, against rounding errors of the size."""


@dataclass
class _SharedPass:
    """The last images that a tower embedded, and the pass of their tokens."""

    tower: "VisionTower"
    images: Tensor | None = None
    tokens: Tensor | None = None
    grid: Size = (0, 0)
    trace: Trace | None = None


_SHARED: ContextVar[_SharedPass | None] = ContextVar("shared pass", default=None)
"""Of each thread, since passes run side by side."""


class VisionTower(nn.Module):
    """Vision transformer of CLIP (Radford et al. 2021): patches, class token, positions, norm, blocks, norm.

    As configured also that of DINOv2 (Oquab et al., TMLR 2024), its form with registers (Darcet et al., ICLR 2024) and
    DINOv3 (Siméoni et al., 2025): without the first norm and the projection, with LayerScale, with registers behind the
    class token, with rotary positions.

    Attributes:
        width: of the tokens.
        first_patch: index of the first patch among the tokens.
        has_projection: whether there is a joint space, and a ``projection`` into it.
    """

    projection: nn.Parameter

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        vision = config.vision
        self.patch_size, self.width, self.first_patch = vision.patch, vision.width, 1 + vision.registers
        self.position_resize: PositionResize = config.position_resize
        scale = vision.width**-0.5
        self.patch_embedding = (
            nn.Conv2d(3, vision.width, vision.patch, stride=vision.patch, bias=vision.patch_bias)
            if vision.stem == "patches"
            else Stem(vision.width)
        )
        self.class_embedding = nn.Parameter(scale * torch.randn(vision.width))
        self.position_embedding = (
            nn.Parameter(scale * torch.randn(vision.grid**2 + 1, vision.width)) if vision.rotary_base is None else None
        )
        self.registers = nn.Parameter(scale * torch.randn(vision.registers, vision.width)) if vision.registers else None
        self.norm_pre = nn.LayerNorm(vision.width, eps=vision.epsilon) if vision.norm_pre else None
        self.transformer = Transformer(vision, config.activation, causal=False)
        self.norm_post = nn.LayerNorm(vision.width, eps=vision.epsilon)
        self._asked_for: set[int] = set()
        self.has_projection = config.has_text
        if self.has_projection:
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

    def run_listened(
        self,
        images: Float[Tensor, "batch 3 rows cols"],
        listeners: Mapping[int, Listener],
        *,
        keep: Collection[int] = (),
    ) -> Trace:
        """Run the unchanged tower and hand the inputs of blocks to listeners, in the order of the blocks.

        Nothing is kept for them, except while passes are shared (:meth:`sharing`): then they read what the shared pass
        keeps.

        Args:
            images: normalised.
            listeners: by block index from 0.
            keep: as of :meth:`forward`.

        Raises:
            ConfigError: an index lies outside the tower.
            InputError: the images are too small for a 2×2 grid.
        """
        if self._shared is None:
            edits = {index: partial(_heard, listener) for index, listener in listeners.items()}
            return self(images, before=edits, keep=keep)
        self.transformer.check(listeners)
        # The input of a block is the output of the one before it, and that of block 0 is kept as INPUT = -1.
        trace = self(images, keep={*keep, *(index - 1 for index in listeners)})
        for index in sorted(listeners):
            listeners[index](trace.kept[index - 1])
        return Trace(kept={block: trace.kept[block] for block in keep}, last=trace.last, grid=trace.grid)

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """While the block lasts, passes of the same tensor of images that no edit changes are one pass.

        It keeps every block that was asked for in such a block before, so that the first images may need more passes
        than those that follow. A block of this kind within another shares with it. What is handed out must not be
        modified in place.
        """
        token = _SHARED.set(self._shared or _SharedPass(self))
        try:
            yield
        finally:
            _SHARED.reset(token)

    @property
    def _shared(self) -> _SharedPass | None:
        shared = _SHARED.get()
        return shared if shared is not None and shared.tower is self else None

    def embed(self, images: Float[Tensor, "batch 3 rows cols"]) -> tuple[Float[Tensor, "batch tokens width"], Size]:
        """Tokens that enter block 0 (class token, registers, patches), and their grid."""
        shared = self._shared
        if shared is not None and shared.tokens is not None and shared.images is images:
            return shared.tokens, shared.grid
        grid = self.grid(images.shape[-2], images.shape[-1])
        tokens = self.arrange(self.patch_embedding(images))
        if shared is not None:
            shared.images, shared.tokens, shared.grid, shared.trace = images, tokens, grid, None
        return tokens, grid

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
        """Embedded patches with the class token before them, their positions, registers and the first norm."""
        rows, cols = patches.shape[-2:]
        first = self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)
        if self.position_embedding is not None:
            tokens = tokens + self.positions((rows, cols)).to(patches.dtype)
        if self.registers is not None:
            registers = self.registers.to(patches.dtype).expand(len(patches), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        return tokens if self.norm_pre is None else self.norm_pre(tokens)

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
        shared = self._shared
        if shared is not None and tokens is shared.tokens and not before and not after:
            return self._run_shared(shared, tokens, grid, set(keep))
        last, kept = self.transformer(tokens, grid, before=before, after=after, keep=keep)
        return Trace(kept=kept, last=last, grid=grid)

    def _run_shared(self, shared: _SharedPass, tokens: Tensor, grid: Size, keep: set[int]) -> Trace:
        """The pass of these tokens, run again only if a block is asked for that it did not keep."""
        if shared.trace is None or not keep <= shared.trace.kept.keys():
            last, kept = self.transformer(tokens, grid, keep=self._asked_for | keep)
            shared.trace = Trace(kept=kept, last=last, grid=grid)
        self._asked_for |= keep
        trace = shared.trace
        return Trace(kept={block: trace.kept[block] for block in keep}, last=trace.last, grid=grid)

    def project(self, tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape embed"]:
        """Post-norm and projection into the joint space, as CLIP does with its class token; the norm alone in a tower
        that has no joint space."""
        normed = self.norm_post(tokens)
        return normed @ self.projection if self.has_projection else normed

    def patch_map(
        self, tokens: Float[Tensor, "batch tokens width"], grid: Size
    ) -> Float[Tensor, "batch width rows cols"]:
        """The patch tokens of a block on their grid, as published methods compare them.

        Those of CLIP as they are, and those of a tower without a joint space after the last norm, as
        ``get_intermediate_layers`` of DINOv2 and DINOv3 gives them.
        """
        patches = tokens[:, self.first_patch :]
        if not self.has_projection:
            patches = self.norm_post(patches)
        return patches.transpose(1, 2).unflatten(2, grid)

    def positions(self, grid: Size) -> Float[Tensor, "tokens width"]:
        """The position embeddings, resized to the grid. The trained table is never changed.

        Raises:
            ConfigError: the positions of this tower are rotary.
        """
        if self.position_embedding is None:
            rule = "position embeddings are those of a tower that has a table of them"
            raise ConfigError(rule, "a tower with rotary positions", "use another backbone")
        first, table = self.position_embedding[:1], self.position_embedding[1:]
        side = round(len(table) ** 0.5)
        if grid == (side, side):
            return self.position_embedding
        square = table.float().T.reshape(1, -1, side, side)
        if self.position_resize == "bicubic_offset":
            factors = [(cells + OFFSET) / side for cells in grid]
            resized = F.interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
            return torch.cat([first, resized.flatten(2)[0].T.to(table.dtype)])
        resized = F.interpolate(
            square,
            size=grid,
            mode="bilinear" if self.position_resize == "bilinear" else "bicubic",
            align_corners=False,
            antialias=self.position_resize == "bicubic_antialias",
        )
        return torch.cat([first, resized.flatten(2)[0].T.to(table.dtype)])


def _heard(listener: Listener, tokens: Tensor, _: Size) -> Tensor:
    """As an edit that leaves the tokens as they are."""
    listener(tokens)
    return tokens
