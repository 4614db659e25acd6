"""Towers that are built to be filled from a file: nothing in them is drawn at random first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWS = (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)


class SkipInit(TorchFunctionMode):
    """Within, weights of new layers are room on the CPU that nothing is written to, so that they cost nothing.

    The meta device is not used: there PyTorch runs draws and products through ``torch._dynamo``, whose import takes a
    second.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in DRAWS:
            return args[0] if args else given["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **given)
