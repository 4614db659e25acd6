"""Forward passes side by side.

On a CPU, a few threads with a pass each do more than one pass whose operations are split over all threads: these would
wait for one another at the end of every operation. On a GPU, passes follow one another.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch

from zsad.threads import in_order, readers

T = TypeVar("T")
R = TypeVar("R")
MAX_PASSES = 4
"""Passes at a time, each with its share of PyTorch's threads; bounds memory."""


def side_by_side(device_type: str) -> int:
    """How many passes run at a time on this kind of device."""
    return min(torch.get_num_threads(), MAX_PASSES) if device_type == "cpu" else 1


def forward_passes(run: Callable[[T], R], items: Iterable[T], device_type: str) -> Iterator[R]:
    """The results of a function that runs a model, in the order of the items.

    The first runs alone: what a method computes once and remembers, such as encoded prompts, is then there for the
    others. As many as :func:`side_by_side` tells, and one more, are begun before their results are asked for.

    Args:
        run: called in several threads at once, with the inference mode and the recording of gradients of the caller.
        items: taken by the caller's thread.
        device_type: where the model is, such as ``"cpu"``.
    """
    items, count, threads = iter(items), side_by_side(device_type), torch.get_num_threads()
    is_inference, has_gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def task(item: T) -> R:
        with torch.inference_mode(is_inference), torch.set_grad_enabled(has_gradients):
            return run(item)

    if device_type != "cpu":
        yield from map(task, items)
        return
    for first in islice(items, 1):
        yield task(first)
    try:
        with readers(count, lambda: torch.set_num_threads(threads // count)) as pool:
            yield from in_order(pool, task, items, count)
    finally:
        torch.set_num_threads(threads)  # which also is the number for threads to come
