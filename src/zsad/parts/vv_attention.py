"""V-V attention: a second stream beside an untouched tower, a pure function of the tower and its trace."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.backbones.transformer import VALUE, Attention, Block
from zsad.backbones.vision import VisionTower
from zsad.errors import ConfigError
from zsad.types import Trace


def needed_blocks(start: int, levels: Sequence[int]) -> list[int]:
    """Blocks whose outputs a trace must keep for :func:`vv_stream`.

    >>> needed_blocks(2, [3, 4])
    [1, 2, 3]
    """
    return list(range(start - 1, max(levels)))


def vv_stream(tower: VisionTower, trace: Trace, start: int, levels: Sequence[int]) -> dict[int, Tensor]:
    """Tokens of the V-V stream after each of the blocks ``levels``.

    The stream leaves the original path at the input of block ``start`` and takes its values from the original path at
    every block: S_l = Proj(softmax(V V^T / sqrt(d)) V) + S_(l-1), without a perceptron (KAnoCLIP, equations 7-8;
    AnomalyCLIP, Zhou et al. 2024, does the same).

    Args:
        tower: the tower that made the trace.
        trace: with the outputs of :func:`needed_blocks` kept.
        start: first block with V-V attention, from 0.
        levels: blocks, from ``start`` on, after which the stream is read.

    Returns:
        Float[Tensor, "batch tokens width"] by block index.

    Raises:
        ConfigError: the trace does not hold what is needed.
    """
    missing = [index for index in needed_blocks(start, levels) if index not in trace.kept]
    if missing:
        raise ConfigError("the trace must keep every block under the V-V stream", f"without {missing}", "keep them")
    stream, read = trace.kept[start - 1], {}
    for index in range(start, max(levels) + 1):
        block = tower.transformer.blocks[index]
        assert isinstance(block, Block)
        stream = stream + vv_attention(block.attention, block.norm_1(trace.kept[index - 1]))
        if index in levels:
            read[index] = stream
    return read


def vv_attention(attention: Attention, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
    """Attention in which query, key and value are all the value."""
    value = attention.heads_of(x, VALUE)
    return attention.merge_heads(F.scaled_dot_product_attention(value, value, value))
