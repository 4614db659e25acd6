"""The staged dual path of CLIP-AD: a V-V stream beside the tower that begins anew at each quarter."""

from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.transformer import Block
from zsad.backbones.vision import VisionTower
from zsad.parts.vv_attention import vv_attention
from zsad.types import Trace

STAGES = 4


def staged_stream(
    tower: VisionTower, images: Float[Tensor, "batch 3 rows cols"], blocks: Sequence[int]
) -> tuple[Trace, dict[int, Tensor]]:
    """Run the unchanged tower, and beside it the sum of V-V attentions of its blocks since the quarter began.

    Unlike the V-V stream of AnomalyCLIP (:mod:`zsad.parts.vv_attention`) it does not start from the tower's tokens.

    Args:
        tower: of a frozen CLIP.
        images: normalised.
        blocks: whose outputs are kept, of both paths.

    Returns:
        The trace of the tower, and Float[Tensor, "batch tokens width"] of the stream by block index.
    """
    depth, read = len(tower.transformer.blocks), {}
    state: dict[str, Tensor] = {}

    def listen(index: int, tokens: Tensor) -> None:
        attended = _attended(tower, index, tokens)
        begins = index % (depth / STAGES) == 0
        state["tokens"] = attended if begins else state["tokens"] + attended
        if index in blocks:
            read[index] = state["tokens"]

    trace = tower.run_listened(images, {index: partial(listen, index) for index in range(depth)}, keep=blocks)
    return trace, read


def with_next_attention(
    tower: VisionTower, index: int, tokens: Float[Tensor, "batch tokens width"]
) -> Float[Tensor, "batch tokens width"]:
    """The output of a block and, unless it is the last, what the attention of the next block adds to it.

    The authors' code adds it in place, to the tensor that it has kept.
    """
    blocks = tower.transformer.blocks
    if index + 1 == len(blocks):
        return tokens
    following = blocks[index + 1]
    assert isinstance(following, Block)
    return tokens + following.attention(following.norm_1(tokens))


def _attended(tower: VisionTower, index: int, tokens: Tensor) -> Tensor:
    block = tower.transformer.blocks[index]
    assert isinstance(block, Block)
    return vv_attention(block.attention, block.norm_1(tokens))
