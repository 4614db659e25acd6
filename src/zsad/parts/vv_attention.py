"""V-V attention: a second stream of tokens next to an unchanged tower, a pure function of the tower and its tokens.

There are two ways to the same tokens: :func:`run_with_tower` computes the stream while the tower runs and holds one set
of tokens, and :func:`vv_stream` computes it afterwards from a trace that has kept every block.
"""

from collections.abc import Collection, Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.backbones.transformer import VALUE, Attention, Block
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError
from zsad.types import Trace


def run_with_tower(
    tower: VisionTower,
    images: Float[Tensor, "batch 3 rows cols"],
    start: int,
    levels: Sequence[int],
    *,
    keep: Collection[int] = (),
) -> tuple[Trace, dict[int, Tensor]]:
    """Run the tower on images, and with it the V-V stream of :func:`vv_stream`.

    Of the original path the last output and those of the blocks in ``keep`` are kept, and of the stream its current
    tokens and the requested outputs. While the tower shares its passes, the stream reads the blocks of the shared one.

    Returns:
        The trace of the unchanged tower, and Float[Tensor, "batch tokens width"] of the stream by block index.
    """
    stream = _VVStream(tower, levels)
    listeners = {index: partial(stream.listen, index) for index in range(start, max(levels) + 1)}
    trace = tower.run_listened(images, listeners, keep=keep)
    return trace, stream.read


def needed_blocks(start: int, levels: Sequence[int]) -> list[int]:
    """Blocks whose outputs a trace must keep for :func:`vv_stream`.

    >>> needed_blocks(2, [3, 4])
    [1, 2, 3]
    """
    return list(range(start - 1, max(levels)))


def vv_stream(tower: VisionTower, trace: Trace, start: int, levels: Sequence[int]) -> dict[int, Tensor]:
    """Tokens of the V-V stream after each of the blocks ``levels``.

    The stream leaves the original path at the input of block ``start`` and takes its values from the original path at
    every block: S_l = Proj(softmax(V V^T / sqrt(d)) V) + S_(l-1), without an MLP (KAnoCLIP, equations 7-8;
    AnomalyCLIP, Zhou et al. 2024, does the same).

    Args:
        tower: the tower of the trace.
        trace: with the outputs of :func:`needed_blocks` kept.
        start: first block with V-V attention, from 0.
        levels: blocks, from ``start`` on, whose outputs of the stream are returned.

    Returns:
        Float[Tensor, "batch tokens width"] by block index.

    Raises:
        ConfigError: the trace lacks needed outputs.
    """
    missing = [index for index in needed_blocks(start, levels) if index not in trace.kept]
    if missing:
        raise ConfigError("the trace must keep every block under the V-V stream", f"without {missing}", "keep them")
    stream = _VVStream(tower, levels)
    for index in range(start, max(levels) + 1):
        stream.listen(index, trace.kept[index - 1])
    return stream.read


def vv_attention(attention: Attention, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """Attention with the values as queries and keys too."""
    value = attention.heads_of(x, VALUE)
    return attention.merge_heads(F.scaled_dot_product_attention(value, value, value))


class _VVStream:
    """The state of the stream, updated with the input of one block after the other."""

    def __init__(self, tower: VisionTower, levels: Sequence[int]) -> None:
        self.tower, self.levels = tower, levels
        self.tokens: Tensor | None = None
        self.read: dict[int, Tensor] = {}

    def listen(self, index: int, tokens: Float[Tensor, "batch tokens width"]) -> None:
        """Update the stream at block ``index``, of which these are the input."""
        block = self.tower.transformer.blocks[index]
        assert isinstance(block, Block)
        stream = tokens if self.tokens is None else self.tokens
        self.tokens = stream + vv_attention(block.attention, block.norm_1(tokens))
        if index in self.levels:
            self.read[index] = self.tokens
