"""Ways to take a module out of a method that has been trained: all edit a copy, and nothing is trained anew."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from zsad.methods._base import Method
from zsad.methods._trainable import FrozenBackboneMethod
from zsad.types import BackboneFeatures, Evidence

M = TypeVar("M", bound=Method)


@dataclass(frozen=True)
class Module(Generic[M]):
    """A module of a paper that can be taken out.

    Attributes:
        name: with its section or equation.
        place: what stands in its place: an element that changes nothing, or what CLIP alone has there.
        take_out: edits a method so.
    """

    name: str
    place: str
    take_out: Callable[[M], object]


def without(method: M, module: Module[M]) -> M:
    """A copy of the method, the module taken out; the frozen backbone is shared."""
    copied = copy.deepcopy(method, {id(method.clip): method.clip})
    with torch.no_grad():
        module.take_out(copied)
    return copied.eval()


class Observed:
    """Takes the place of ``extract_features``: those of each image are computed once.

    It serves the copies of :func:`without` too, as long as their options are those of the method.
    """

    def __init__(self, method: FrozenBackboneMethod) -> None:
        self.method, self.config, self.known = method, method.config, dict[str, BackboneFeatures]()

    def __call__(self, images: Tensor) -> BackboneFeatures:
        if self.method.config != self.config:
            return type(self.method).extract_features(self.method, images)
        key = sha256(images.cpu().numpy().tobytes()).hexdigest()
        if key not in self.known:
            self.known[key] = type(self.method).extract_features(self.method, images)
        return self.known[key]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Observed":
        copied = copy.copy(self)
        copied.method = copy.deepcopy(self.method, memo)
        return copied


def observe_once(method: Method) -> None:
    """If the method is a reader; others edit the tower, and what it says is another thing without a module."""
    if isinstance(method, FrozenBackboneMethod):
        setattr(method, "extract_features", Observed(method))  # noqa: B010  # a method is no variable to mypy


def at(path: str, edit: Callable[[Any], object]) -> Callable[[Method], None]:
    """The same edit of every module or parameter whose name is the path; ``*`` stands for anything between dots."""
    wanted = path.split(".")

    def is_meant(name: str) -> bool:
        parts = name.split(".")
        return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))

    def edit_all(method: Method) -> None:
        known = [*method.named_modules(), *method.named_parameters()]
        meant = [one for name, one in known if is_meant(name)]
        assert meant, f"{type(method).__name__} has no {path}"
        for one in meant:
            edit(one)

    return edit_all


def zero(module: nn.Module) -> None:
    """Its output is 0."""
    module.register_forward_hook(lambda _, inputs, output: torch.zeros_like(output))


def skip(module: nn.Module) -> None:
    """Its output is its first input."""
    module.register_forward_hook(lambda _, inputs, output: inputs[0])


def option(**values: object) -> Callable[[Method], None]:
    """Options that the forward looks at, not those by which a method is built."""

    def edit(method: Method) -> None:
        method.config = replace(method.config, **values)  # type: ignore[arg-type]  # the callers know the options

    return edit


def rescored(score: Callable[[M, Any], Tensor]) -> Callable[[M], None]:
    """Another score of the same evidence."""

    def rescore(method: M, _: object, evidence: Evidence) -> Evidence:
        return replace(evidence, score=score(method, evidence))

    def edit(method: M) -> None:
        method.register_forward_hook(rescore)

    return edit


def empty(module: Any) -> None:
    """A linear layer or convolution, or a single parameter, at 0."""
    for one in [module] if isinstance(module, Tensor) else module.parameters():
        one.zero_()


def constant(layer: nn.Linear, value: float) -> None:
    """A layer that says the same of everything."""
    layer.weight.zero_()
    layer.bias.fill_(value)
