"""Random numbers for the images of a batch: the same for each, also where only a part of the batch is at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_part: ContextVar[tuple[int, int] | None] = ContextVar("_part", default=None)


@contextmanager
def part_of_batch(first: int, images: int) -> Iterator[None]:
    """Within, images are those from ``first`` on of a batch of so many."""
    token = _part.set((first, images))
    try:
        yield
    finally:
        _part.reset(token)


def normal_noise(images: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal numbers, [images, *shape], from PyTorch's global generator.

    Within :func:`part_of_batch`, those of the whole batch are drawn: from the same state of the generator, an image
    has the same numbers in any micro-batch, of one process or of several.

    Args:
        images: at hand.
        shape: of the numbers of an image.
        like: gives device and type.
    """
    first, count = _part.get() or (0, images)
    return torch.randn(count, *shape, device=like.device, dtype=like.dtype)[first : first + images]
