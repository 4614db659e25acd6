"""Checkpoints of the authors: what a method makes of one, and the checks that such readers share.

A reader (:meth:`zsad.methods.Trainable.from_published`) gets the content of a file as data. It takes the sets of
tensors that it knows (:func:`tensor_set`), infers hyperparameters from their shapes (:func:`numbered`, :func:`size`),
and says the name and shape of every tensor that must be there (:func:`checked`).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zsad.backbones.config import Activation, PositionResize
from zsad.errors import ImportRefused
from zsad.tensors.reading import is_finite

MOST = 64
"""Levels, prompts or blocks that are numbered in a checkpoint."""
WRAPPER = "module."
"""Prefix of the names that torch.nn.DataParallel saves."""
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
REMEDY = "name the file that the authors' training saved, and the method it was made for"


@dataclass(frozen=True)
class PublishedDetector:
    """What a checkpoint of the authors is here.

    Attributes:
        options: fields of the method's configuration, inferred from shapes or known of that code.
        tensors: the trained tensors of the method, under the names of its own state dict.
        backbone: the architecture that it was trained on, see ``zsad backbones``.
        image_size: side in px at which that code ran.
        activation: of the backbone in that code, which may not be that of the weights.
        position_resize: how that code resized position embeddings; None is the way of the architecture.
    """

    options: dict[str, Any]
    tensors: dict[str, Tensor]
    backbone: str
    image_size: int
    activation: Activation
    position_resize: PositionResize | None = None


def tensor_set(state: Mapping[str, Any], *path: str) -> dict[str, Tensor]:
    """The tensors of one entry of a checkpoint, by name, without the prefix of ``DataParallel``.

    Args:
        state: content of the file.
        path: keys that lead to the entry; none for the file itself, of which other values are left out.

    Raises:
        ImportRefused: there is no such entry, or it has no tensors.
    """
    found: Any = state
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            raise ImportRefused(f"the checkpoint has the entry {'.'.join(path)}", _names(found), REMEDY)
        found = found[key]
    tensors = {} if not isinstance(found, Mapping) else {k: v for k, v in found.items() if isinstance(v, Tensor)}
    if not tensors:
        place = f"the entry {'.'.join(path)} of the checkpoint" if path else "the checkpoint"
        raise ImportRefused(f"{place} has tensors by name", _names(found), REMEDY)
    is_wrapped = all(name.startswith(WRAPPER) for name in tensors)
    return {name.removeprefix(WRAPPER * is_wrapped): tensor for name, tensor in tensors.items()}


def numbered(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many tensors a numbered name has: 4 for ``"fc.{}.weight"`` where fc.0.weight to fc.3.weight are there.

    Raises:
        ImportRefused: there is none, or there are more than 64.
    """
    count = next((number for number in range(MOST + 1) if pattern.format(number) not in tensors), MOST + 1)
    if not 1 <= count <= MOST:
        value = _names(tensors) if count == 0 else f"more than {MOST}"
        raise ImportRefused(f"the checkpoint has {pattern.format(0)} and so on, at most {MOST}", value, REMEDY)
    return count


def size(tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """The size of a tensor along an axis, from which a hyperparameter follows.

    Raises:
        ImportRefused: there is no such tensor, or it has no such axis, or nothing along it.
    """
    if name not in tensors:
        raise ImportRefused(f"the checkpoint has the tensor {name}", _names(tensors), REMEDY)
    shape = tuple(tensors[name].shape)
    if not -len(shape) <= axis < len(shape) or shape[axis] == 0:
        raise ImportRefused(f"{name} has entries along axis {axis}", f"shape {shape}", REMEDY)
    return shape[axis]


def checked(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], unused: Collection[str] = ()
) -> dict[str, Tensor]:
    """The expected tensors in fp32, after a check that they and no others are there, in these shapes and finite.

    Args:
        tensors: of the checkpoint.
        expected: shape of each tensor, by its name in the checkpoint.
        unused: regular expressions for names of further tensors that the authors' code saves and does not need.

    Raises:
        ImportRefused: a tensor is missing, unknown, of another shape, not of floating point, or not finite.
    """
    extra = [name for name in tensors if name not in expected and not any(re.fullmatch(one, name) for one in unused)]
    if missing := [name for name in expected if name not in tensors]:
        rest = f", and {len(missing) - 1} more that are missing" if len(missing) > 1 else ""
        others = f"; unknown ones such as {extra[0]}" if extra else ""
        rule = f"the checkpoint has the tensor {missing[0]} of shape {expected[missing[0]]}"
        raise ImportRefused(rule, f"none{rest}{others}", REMEDY)
    if extra:
        raise ImportRefused("every tensor of the checkpoint is known", f"{extra[0]}, one of {len(extra)}", REMEDY)
    for name, shape in expected.items():
        if tuple(tensors[name].shape) != shape:
            raise ImportRefused(f"{name} has the shape {shape}", tuple(tensors[name].shape), REMEDY)
        if tensors[name].dtype not in NUMBERS:
            raise ImportRefused(f"{name} has floating-point numbers", tensors[name].dtype, REMEDY)
        if not is_finite(tensors[name].float()):
            value = "infinite ones, or some that are no number"
            raise ImportRefused(f"the numbers of {name} are finite", value, "copy or download the file again")
    return {name: tensors[name].detach().float() for name in expected}


def linear_levels(
    layers: Mapping[str, Tensor], levels: int, what: str, ours: str = "linear."
) -> tuple[dict[str, Tensor], tuple[int, int]]:
    """Linear layers ``fc.0``, ``fc.1`` and so on under our names, and the (outputs, inputs) of each.

    Args:
        layers: a set of tensors that has these and nothing else.
        levels: how many there are.
        what: the authors' method, for the message.
        ours: what stands for ``fc.`` here.

    Raises:
        ImportRefused: there are more or fewer, or one is of another shape.
    """
    count = numbered(layers, "fc.{}.weight")
    if count != levels:
        rule = f"a checkpoint of {what} has {levels} linear layers, one for each level that the authors read"
        raise ImportRefused(rule, count, REMEDY)
    shape = size(layers, "fc.0.weight", 0), size(layers, "fc.0.weight", 1)
    shapes: dict[str, tuple[int, ...]] = {"weight": shape, "bias": shape[:1]}
    found = checked(layers, {f"fc.{level}.{kind}": of for level in range(count) for kind, of in shapes.items()})
    return {name.replace("fc.", ours, 1): tensor for name, tensor in found.items()}, shape


def _names(found: object) -> str:
    """What is there instead, in words."""
    if isinstance(found, Mapping):
        names = sorted(map(str, found))
        return f"{', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else "nothing"
    return f"a value of type {type(found).__name__}"
