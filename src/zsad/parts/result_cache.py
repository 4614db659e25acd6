"""Results that depend on trained parameters, computed again only when these have changed."""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn


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
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def _state(self) -> object:
        """Changes with every step, load or move of the parameters."""
        parameters = [parameter for source in self._sources for parameter in source.parameters()]
        trained = [parameter for parameter in parameters if parameter.requires_grad] or parameters[:1]
        return tuple(
            (parameter.data_ptr(), parameter._version, parameter.dtype, parameter.device) for parameter in trained
        )
