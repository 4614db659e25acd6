"""Weights by a formula, so that authors' code can be run on the same ones and its answers written down as numbers."""

import zlib

import torch
from torch import Tensor, nn

MASK = 0xFFFFFFFF


def noise(name: str, shape: torch.Size) -> Tensor:
    """Numbers in [-1, 1) that depend on the name and the position alone: a hash of integers of 32 bits."""
    numbers = torch.arange(shape.numel(), dtype=torch.int64) + zlib.crc32(name.encode())
    for _ in range(2):
        numbers = ((numbers ^ (numbers >> 16)) * 0x45D9F3B) & MASK
    numbers = numbers ^ (numbers >> 16)
    return (numbers.double() / 2**31 - 1).float().reshape(shape)


@torch.no_grad()
def fill(module: nn.Module) -> nn.Module:
    """Give every parameter such numbers, of a size at which it matters to the answer."""
    for name, one in module.named_parameters():
        drawn = noise(name, one.shape)
        if "norm" in name and name.endswith("weight"):
            one.copy_(1 + 0.3 * drawn)
        elif one.ndim <= 1:
            one.copy_(0.3 * drawn)
        elif "embedding" in name and "patch" not in name:
            one.copy_(0.5 * drawn)
        else:
            one.copy_(1.5 * drawn * one[0].numel() ** -0.5)
    return module
