"""Results that depend on trained parameters, computed again only when these have changed."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from zsad.errors import InputError


class ResultCache:
    """Cache of results for calls without gradient, so that a detector encodes each class name once.

    While gradients are recorded nothing is cached.

    Args:
        sources: the modules whose trained parameters the results depend on.
    """

    def __init__(self, *sources: nn.Module) -> None:
        self._sources = sources
        self._stamp: object = None
        self._kept: dict[Hashable, Tensor] = {}

    def __call__(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """The result for ``key``, computed if it is not cached or outdated."""
        if torch.is_grad_enabled():
            return compute()
        stamp = self._state()
        if stamp != self._stamp:
            self._kept, self._stamp = {}, stamp
        kept = self._kept  # another thread may begin a new one
        if key not in kept:
            kept[key] = compute()
        return kept[key]

    def of_classes(self, class_names: Sequence[str], images: int, compute: Callable[[str], Tensor]) -> Tensor:
        """The result for the class of each image, stacked; each class is computed once.

        Args:
            class_names: of each image.
            images: their number.
            compute: gives the result for a class.

        Raises:
            InputError: there is not one class name for each image.
        """
        if len(class_names) != images:
            raise InputError("every image has one class name", f"{len(class_names)} for {images}", "give one for each")
        results = {name: self(name, partial(compute, name)) for name in dict.fromkeys(class_names)}
        return torch.stack([results[name] for name in class_names])

    def _state(self) -> object:
        """Changes with every step, load or move of the parameters."""
        parameters = [parameter for source in self._sources for parameter in source.parameters()]
        trained = [parameter for parameter in parameters if parameter.requires_grad] or parameters[:1]
        return tuple(
            (parameter.data_ptr(), parameter._version, parameter.dtype, parameter.device) for parameter in trained
        )
