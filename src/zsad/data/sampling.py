"""Some of the images of a data set, the same ones every time."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np

from zsad.config import check_seed
from zsad.data.layouts import Sample
from zsad.errors import ConfigError

T = TypeVar("T")


def subset(samples: Sequence[Sample], most: int | None) -> list[Sample]:
    """At most so many of each class and state, in their order, drawn with seed 0; all where no number is given.

    Raises:
        ConfigError: a number below 1.
    """
    if most is None:
        return list(samples)
    if most < 1:
        raise ConfigError("a quick look takes at least one image", most, "say 1 or more")
    groups: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        groups[sample.class_name, sample.label].append(number)
    rng = np.random.default_rng(0)
    kept = [number for group in groups.values() for number in rng.permutation(group)[:most].tolist()]
    return [samples[number] for number in sorted(kept)]


def draw_shots(images: Sequence[T], shots: int, seed: int) -> list[T]:
    """So many of the images as the seed draws them, in their order; nothing but their number and the seed decides.

    >>> drawn("abcdefghij", 4, 0)
    ['a', 'c', 'g', 'j']
    """
    check_seed(seed)
    return [images[number] for number in sorted(Random(seed).sample(range(len(images)), shots))]
