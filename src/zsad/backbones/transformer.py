"""The transformer of both towers, as an open loop: callers can edit the tokens between its blocks."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.config import EPSILON, Activation, TowerConfig
from zsad.backbones.rotary import Rotation, rotary_periods, rotation
from zsad.errors import ConfigError
from zsad.types import Size

Edit = Callable[[Tensor, Size], Tensor]
"""Changes the tokens (batch, tokens, width) between two blocks; the size is the patch grid, or (1, tokens) for text."""

Edits = Mapping[int, Edit]
NO_EDITS: Edits = MappingProxyType({})
QUERY, KEY, VALUE = 0, 1, 2
INPUT = -1
"""Index under which the input of block 0 is kept."""


QUICK = 1.702
"""QuickGELU(x) = x·σ(1.702x) = SiLU(1.702x) / 1.702, the activation that OpenAI's CLIP was trained with."""

ACTIVATIONS: Mapping[Activation, tuple[Callable[[Tensor], Tensor], float]] = {
    "quick_gelu": (F.silu, QUICK),
    "gelu": (F.gelu, 1.0),
}
"""A function f and a scale s, which together mean f(s·x) / s."""


class Attention(nn.Module):
    """Multi-head self-attention (CLIP: heads of equal width, biases everywhere)."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], turn: Rotation | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """Attention of all tokens to all; ``turn`` rotates queries and keys by the positions of their patches."""
        query, key, value = (self.heads_of(x, part) for part in (QUERY, KEY, VALUE))
        if turn is not None:
            query, key = turn(query), turn(key)
        return self.merge_heads(F.scaled_dot_product_attention(query, key, value, is_causal=self.causal))

    def heads_of(self, x: Float[Tensor, "batch tokens width"], part: int) -> Float[Tensor, "batch heads tokens head"]:
        """Project to queries, keys or values, split into heads.

        One product for each part: attention reads its rows faster from three tensors than from one three times as wide.
        """
        weight, bias = self.qkv.weight.chunk(3)[part], self.qkv.bias.chunk(3)[part]
        return F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def merge_heads(self, x: Float[Tensor, "batch heads tokens head"]) -> Float[Tensor, "batch tokens width"]:
        """Join the heads and apply the output projection."""
        return self.out(x.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The MLP of a block, with a hidden layer four times as wide as the tower.

    The scale of the activation is folded into the matrix products, which saves two passes over the widest tensor.
    """

    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.activation, self.scale = ACTIVATIONS[activation]
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        rows, scale = x.flatten(0, 1), self.scale
        wide = self.activation(torch.addmm(self.up.bias, rows, self.up.weight.T, beta=scale, alpha=scale))
        return torch.addmm(self.down.bias, wide, self.down.weight.T, alpha=1 / scale).unflatten(0, x.shape[:2])


class Block(nn.Module):
    """Pre-norm residual block: attention, then MLP; what each adds may be scaled by a vector (LayerScale)."""

    def __init__(
        self,
        width: int,
        heads: int,
        activation: Activation,
        causal: bool,
        epsilon: float = EPSILON,
        layer_scale: bool = False,
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, eps=epsilon)
        self.attention = Attention(width, heads, causal)
        self.norm_2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = Mlp(width, activation)
        self.scale_1, self.scale_2 = (nn.Parameter(torch.ones(width)) if layer_scale else None for _ in range(2))

    def forward(
        self, x: Float[Tensor, "batch tokens width"], turn: Rotation | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        x = x + _scaled(self.attention(self.norm_1(x), turn), self.scale_1)
        return x + _scaled(self.mlp(self.norm_2(x)), self.scale_2)


def _scaled(x: Float[Tensor, "batch tokens width"], scale: Tensor | None) -> Float[Tensor, "batch tokens width"]:
    return x if scale is None else x * scale


class Transformer(nn.Module):
    """A stack of blocks run as an open loop.

    Attributes:
        periods: of rotary positions; a buffer, since published weights bring their own.
    """

    periods: Float[Tensor, "channels"] | None

    def __init__(self, config: TowerConfig, activation: Activation, causal: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, activation, causal, config.epsilon, config.layer_scale)
            for _ in range(config.depth)
        )
        base = config.rotary_base
        self.register_buffer("periods", None if base is None else rotary_periods(config.width // config.heads, base))
        self._initialise(config.width, config.depth)

    def _initialise(self, width: int, depth: int) -> None:
        """CLIP's own initialisation: layers that write to the residual stream are scaled down by their number."""
        into_stream = width**-0.5 * (2 * depth) ** -0.5
        for block in self.blocks:
            assert isinstance(block, Block)
            nn.init.normal_(block.attention.qkv.weight, std=width**-0.5)
            nn.init.normal_(block.attention.out.weight, std=into_stream)
            nn.init.normal_(block.mlp.up.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.down.weight, std=into_stream)
            for layer in (block.attention.qkv, block.attention.out, block.mlp.up, block.mlp.down):
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width"],
        grid: Size,
        *,
        before: Edits = NO_EDITS,
        after: Edits = NO_EDITS,
        keep: Collection[int] = (),
    ) -> tuple[Float[Tensor, "batch tokens width"], dict[int, Tensor]]:
        """Run all blocks.

        Args:
            tokens: input of block 0.
            grid: passed to the edits; with rotary positions it says where the last rows × cols of the tokens are.
            before: edits of the input of a block, by block index from 0.
            after: edits of the output of a block; the edited tokens are kept and passed on.
            keep: block indices whose output is returned; -1 is the input of block 0.

        Returns:
            The output of the last block, and the kept outputs by block index.

        Raises:
            ConfigError: an index lies outside the tower.
        """
        self.check(before, after, (index for index in keep if index != INPUT))
        kept = {INPUT: tokens} if INPUT in keep else {}
        turn = None if self.periods is None else rotation(grid, self.periods, tokens.dtype)
        for index, block in enumerate(self.blocks):
            if index in before:
                tokens = before[index](tokens, grid)
            tokens = block(tokens, turn)
            if index in after:
                tokens = after[index](tokens, grid)
            if index in keep:
                kept[index] = tokens
        return tokens, kept

    def check(self, *uses: Iterable[int]) -> None:
        """Refuse indices of blocks, from 0, that the tower does not have.

        Raises:
            ConfigError: there is one.
        """
        for index in (index for use in uses for index in use):
            if not 0 <= index < len(self.blocks):
                raise ConfigError(
                    f"a block index lies in 0..{len(self.blocks) - 1}",
                    index,
                    "count blocks from 0 (level_index converts)",
                )


def level_index(level: int, reference_depth: int, depth: int) -> int:
    """Block index from 0 of a paper's "layer n", which counts from 1, on a tower of another depth.

    The papers use layers 6, 12, 18, 24 of a 24-block tower: the quarter points, which are at other indices in other
    towers.

    >>> [level_index(level, 24, 24) for level in (6, 12, 18, 24)]
    [5, 11, 17, 23]
    >>> [level_index(level, 24, 12) for level in (6, 12, 18, 24)]
    [2, 5, 8, 11]
    """
    if not 1 <= level <= reference_depth:
        raise ConfigError(f"a layer lies in 1..{reference_depth}", level, "count layers from 1, as the papers do")
    return max(round(level * depth / reference_depth), 1) - 1


def l2_normalize(x: Float[Tensor, "*shape embed"]) -> Float[Tensor, "*shape embed"]:
    """L2-normalise along the last axis."""
    return F.normalize(x, dim=-1)
