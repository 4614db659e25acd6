"""Operations that no exporter has, in a traced graph, as others that give the same."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten


def rewrite(graph: fx.GraphModule) -> None:
    """Replace, in place, resizing, sums over repeated indices, moved and cut axes, searches and lower bounds.

    Args:
        graph: of :func:`zsad.export.tracing.trace`.
    """
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target in _REPLACEMENTS:
            with graph.graph.inserting_before(node):
                new = _REPLACEMENTS[node.target](graph, node)
            new.meta = dict(node.meta)
            node.replace_all_uses_with(new)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def constant(graph: fx.GraphModule, value: Tensor) -> fx.Node:
    """A constant of the graph."""
    name = f"constant_{sum(1 for _ in graph.buffers())}"
    graph.register_buffer(name, value)
    return graph.graph.get_attr(name)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """The shape that the result of a node had in the trace."""
    return tuple(node.meta["tensor_meta"].shape)


def _arguments(node: fx.Node) -> tuple[Any, ...]:
    return node.args


def _resized(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Antialiased resizing is linear and separable: a product from the left and one from the right."""
    planes, (rows, cols), *rest = _arguments(node)
    resize: Any = node.target
    height, width = shape_of(planes)[-2:]

    def operator(cells: int, pixels: int) -> Tensor:
        unit = torch.eye(cells)[None, None]
        enlarged: Tensor = resize(unit, [pixels, cells], *rest, **node.kwargs)
        return enlarged[0, 0].contiguous()

    left = graph.graph.call_function(aten.matmul.default, (constant(graph, operator(height, rows)), planes))
    right = constant(graph, operator(width, cols).mT.contiguous())
    return graph.graph.call_function(aten.matmul.default, (left, right))


def _scattered(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """``index_add`` is ``scatter_add`` with the index repeated over the other axes."""
    base, axis, index, source = _arguments(node)
    shape = shape_of(source)
    positions = getattr(graph, index.target)
    along = [1] * len(shape)
    along[axis] = -1
    repeated = constant(graph, positions.reshape(along).expand(shape).contiguous())
    return graph.graph.call_function(aten.scatter_add.default, (base, axis, repeated, source))


def _counted(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The place of one value in each sorted row: how many are smaller."""
    ordered, value = _arguments(node)
    smaller = graph.graph.call_function(aten.lt.Tensor, (ordered, value))
    return graph.graph.call_function(aten.sum.dim_IntList, (smaller, [-1], True))


def _sliced(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The part of an axis, counted from its beginning: what begins at -1 would end at 0."""
    values, axis, start, length = _arguments(node)
    start %= shape_of(values)[axis]
    return graph.graph.call_function(aten.slice.Tensor, (values, axis, start, start + length))


def _permuted(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """All axes in their new order, counted from the first: of ``movedim(-1, 1)`` the exporter leaves an axis of -1."""
    values, source, destination = _arguments(node)
    order = list(range(len(shape_of(values))))
    moved = order.pop(source)
    order.insert(destination % len(shape_of(values)), moved)
    return graph.graph.call_function(aten.permute.default, (values, order))


def _bounded(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """A lower bound is a maximum: ONNX Runtime makes infinity, of images that are left out, finite where it clips."""
    values, bound = _arguments(node)
    lowest = constant(graph, torch.tensor(bound, dtype=node.meta["tensor_meta"].dtype))
    return graph.graph.call_function(aten.maximum.default, (values, lowest))


_REPLACEMENTS: dict[Any, Callable[[fx.GraphModule, fx.Node], fx.Node]] = {
    aten._upsample_bilinear2d_aa.vec: _resized,
    aten._upsample_bicubic2d_aa.vec: _resized,
    aten.index_add.default: _scattered,
    aten.index_add_.default: _scattered,
    aten.clamp_min.default: _bounded,
    aten.movedim.int: _permuted,
    aten.narrow.default: _sliced,
    aten.searchsorted.Tensor: _counted,
}
