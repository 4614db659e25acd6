"""From a method to one graph: picture in, map and score out; all that does not depend on the picture is a constant.

The method itself runs, on real images, and what it does to them is recorded operation by operation. Prompts, banks,
positions and learned weights are computed by the same code and stand in the graph as numbers.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, get_proxy_mode, has_proxy_slot, make_fx
from torch.utils._pytree import tree_leaves

from zsad.methods._base import Method
from zsad.scoring import anomaly_maps, image_scores

IDLE = ("_set_grad_enabled", "_enter_autocast", "_exit_autocast")
"""Calls that a trace records and that say nothing about values in fp32."""

VALUES = (torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
"""Operations from a tensor to a value of Python."""


class ScoredImages(nn.Module):
    """A method with its normalisation, its map and its score.

    Args:
        method: in evaluation mode, fp32, on the CPU.
        side: in px at which it runs.
        class_name: of all images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, method: Method, side: int, class_name: str) -> None:
        super().__init__()
        self.method, self.side, self.class_name = method, side, class_name
        for name, values in (("mean", method.clip.config.mean), ("std", method.clip.config.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(
        self, images: Float[Tensor, "batch 3 rows cols"]
    ) -> tuple[Float[Tensor, "batch rows cols"], Float[Tensor, "batch"]]:
        """Maps at the size of the images, and scores.

        Args:
            images: RGB in [0, 1], of the side at which the method runs.
        """
        evidence = self.method((images - self.mean) / self.std, [self.class_name] * len(images))
        maps = anomaly_maps(evidence, (self.side, self.side), self.method.config)
        return maps, image_scores(evidence, self.method.config)


@torch.no_grad()
def trace(scored: ScoredImages, images: Float[Tensor, "batch 3 side side"]) -> fx.GraphModule:
    """What a method does to a batch of that size, as a graph of ATen operations without control flow.

    Args:
        scored: the method.
        images: any pictures.

    Raises:
        RuntimeError: what the method does depends on the values of the picture.
    """
    scored(images)  # what is computed once and remembered, such as encoded prompts, is then no part of the graph
    record = make_fx(lambda pixels: scored(pixels), decomposition_table=_apart_from_constants(), pre_dispatch=True)
    graph: fx.GraphModule = record(images)
    _drop_idle(graph)
    return graph


@cache
def _apart_from_constants() -> dict[Any, Callable[..., object]]:
    """For every operation: computed at once where no operand depends on the picture, else recorded."""
    table: dict[Any, Callable[..., object]] = {}
    for name in torch._C._dispatch_get_all_op_names():
        space, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        if space == "aten" and hasattr(torch.ops.aten, packet):
            operation = getattr(getattr(torch.ops.aten, packet), overload or "default", None)
            if operation is not None:
                table[operation] = partial(_constant, operation)
    return table


def _constant(operation: Callable[..., object], *args: object, **kwargs: object) -> object:
    """The result of an operation that is not recorded; NotImplemented for one that is.

    Checks of values (``if not (counts > 0).all()``) have for every picture the answer that they have for these; whether
    that is right is for the parity check to say. Loops whose rounds depend on the picture cannot be recorded.
    """
    mode = get_proxy_mode()
    assert mode is not None
    operands = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    depends = any(has_proxy_slot(operand, mode.tracer) for operand in operands)
    if depends and (operation not in VALUES or operands[0].dtype != torch.bool):
        return NotImplemented
    with disable_proxy_modes_tracing():
        return operation(*args, **kwargs)


def _drop_idle(graph: fx.GraphModule) -> None:
    for node in reversed(graph.graph.nodes):
        if node.op == "call_function" and getattr(node.target, "__name__", "") in IDLE:
            node.replace_all_uses_with(None)
            graph.graph.erase_node(node)
        elif node.op == "get_attr":  # an expanded view of a constant has strides that exporters misread
            constant = getattr(graph, node.target)
            delattr(graph, node.target)
            graph.register_buffer(node.target, constant.detach().clone(memory_format=torch.contiguous_format))
    graph.graph.eliminate_dead_code()
    graph.recompile()
