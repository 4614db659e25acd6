"""One graph for any number of images, from the traces of two and of three.

A trace knows the number of its images in shapes and in constants alone. What differs between two traces of one method
is a multiple of that number, and a constant with a row for each image has the same row for each.
"""

import operator
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
TWO, THREE = 2, 3
SHAPED: dict[Any, Any] = {
    aten.reshape.default: torch.reshape,
    aten.view.default: torch.reshape,
    aten.expand.default: Tensor.expand,
    aten.unflatten.int: torch.unflatten,
    aten.repeat.default: Tensor.repeat,
    aten.new_full.default: Tensor.new_full,
    aten.new_zeros.default: Tensor.new_zeros,
    aten.new_ones.default: Tensor.new_ones,
}
"""Operations that take a shape, as those of Python, which take one that is known when they run."""


class FixedBatchError(Exception):
    """The traces differ in more than the number of images."""


def any_batch(two: fx.GraphModule, three: fx.GraphModule) -> fx.GraphModule:
    """The trace of three images, for any number of them.

    Args:
        two, three: traces of one method on so many images.

    Raises:
        FixedBatchError: they differ in more than shapes and constants with a row for each image.
    """
    pairs = list(zip(two.graph.nodes, three.graph.nodes, strict=False))
    if len(two.graph.nodes) != len(three.graph.nodes):
        raise FixedBatchError("other operations for another number of images")
    images = next(node for node in three.graph.nodes if node.op == "placeholder")
    with three.graph.inserting_after(images):
        shape = three.graph.call_function(getattr, (images, "shape"))
    with three.graph.inserting_after(shape):
        batch = three.graph.call_function(operator.getitem, (shape, 0))
    for old, node in pairs:
        if (old.op, old.op == "get_attr" or old.target) != (node.op, node.op == "get_attr" or node.target):
            raise FixedBatchError(f"{old.target} for two images, {node.target} for three")
        if node.op == "get_attr":
            _repeat_rows(three, node, getattr(two, old.target), batch)
        elif node.op == "call_function":
            _free(three.graph, node, old, batch)
    three.graph.lint()
    three.recompile()
    return three


def _free(graph: fx.Graph, node: fx.Node, old: fx.Node, batch: fx.Node) -> None:
    """Write what depends on the number of images as such."""
    with graph.inserting_before(node):
        args = tuple(_joined(graph, ours, theirs, batch) for ours, theirs in zip(node.args, old.args, strict=True))
    if args != node.args:
        if node.target not in SHAPED:
            raise FixedBatchError(f"{node.target} of a number of images")
        node.target = SHAPED[node.target]
        node.args = args


def _joined(graph: fx.Graph, ours: Any, theirs: Any, batch: fx.Node) -> Any:
    """An argument of three images and the same of two, for any number."""
    if isinstance(ours, fx.Node):
        return ours
    if isinstance(ours, list | tuple):
        if len(ours) != len(theirs):
            raise FixedBatchError("lists of another length for another number of images")
        items = [_joined(graph, *pair, batch) for pair in zip(ours, theirs, strict=True)]
        return items if any(a is not b for a, b in zip(items, ours, strict=True)) else ours
    if ours == theirs:
        return ours
    each = ours // THREE if type(ours) is int else 0
    if type(ours) is not int or (each * THREE, each * TWO) != (ours, theirs):
        raise FixedBatchError(f"{theirs} for two images, {ours} for three")
    return batch if each == 1 else graph.call_function(operator.mul, (batch, each))


def _repeat_rows(graph: fx.GraphModule, node: fx.Node, of_two: Tensor, batch: fx.Node) -> None:
    """Make a constant with rows for each image one that is repeated as often as there are images."""
    of_three = getattr(graph, str(node.target))
    if of_two.shape == of_three.shape and torch.equal(of_two, of_three):
        return
    axes = [axis for axis, pair in enumerate(zip(of_two.shape, of_three.shape, strict=True)) if pair[0] != pair[1]]
    if len(axes) != 1 or of_three.shape[axes[0]] % THREE:
        raise FixedBatchError("constants of images that are not alike")
    axis, each = axes[0], of_three.shape[axes[0]] // THREE
    one = of_three.narrow(axis, 0, each).contiguous()
    times = [THREE if place == axis else 1 for place in range(one.ndim)]
    if not torch.equal(one.repeat(times), of_three):
        raise FixedBatchError("constants of images that are not alike")
    graph.register_buffer(str(node.target), one)
    with graph.graph.inserting_after(node):
        repeated = graph.graph.call_function(Tensor.repeat, (node, [batch if time > 1 else 1 for time in times]))
    node.replace_all_uses_with(repeated, delete_user_cb=lambda user: user is not repeated)
