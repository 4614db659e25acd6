"""Weights by a formula, so that authors' code can be run on the same ones and its answers written down as numbers."""

import zlib

import torch
from torch import Tensor, nn


def waves(name: str, shape: torch.Size) -> Tensor:
    """Numbers in [-1, 1] that depend on the name and the position alone."""
    count = shape.numel()
    phase = zlib.crc32(name.encode()) % 1000
    return torch.sin(torch.arange(count, dtype=torch.float64) * 0.7548776662 + phase).reshape(shape).float()


@torch.no_grad()
def fill(module: nn.Module, prefix: str = "") -> nn.Module:
    """Give every parameter such numbers, of a size at which it matters to the answer."""
    for name, one in module.named_parameters():
        drawn = waves(prefix + name, one.shape)
        if "norm" in name and name.endswith("weight"):
            one.copy_(1 + 0.3 * drawn)
        elif one.ndim <= 1:
            one.copy_(0.3 * drawn)
        elif "embedding" in name and "patch" not in name:
            one.copy_(0.5 * drawn)
        else:
            one.copy_(1.5 * drawn * one[0].numel() ** -0.5)
    return module
