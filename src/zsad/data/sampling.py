"""Reproducible subsets of the images of a data set."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import numpy as np

from zsad.config import check_seed
from zsad.data.layouts import Sample
from zsad.errors import ConfigError

T = TypeVar("T")


def subset(samples: Sequence[Sample], max_images: int | None) -> list[Sample]:
    """At most ``max_images`` images of each class and label, in their order, drawn with seed 0; all if None.

    Raises:
        ConfigError: the number is below 1.
    """
    if max_images is None:
        return list(samples)
    if max_images < 1:
        raise ConfigError("a subset has at least one image", max_images, "use 1 or more")
    groups: defaultdict[tuple[str, int | None], list[int]] = defaultdict(list)
    for number, sample in enumerate(samples):
        groups[sample.class_name, sample.label].append(number)
    rng = np.random.default_rng(0)
    kept = [number for group in groups.values() for number in rng.permutation(group)[:max_images].tolist()]
    return [samples[number] for number in sorted(kept)]


def draw_shots(images: Sequence[T], shots: int, seed: int) -> list[T]:
    """``shots`` images drawn with the seed, in their order; the choice depends only on their number and the seed.

    >>> draw_shots("abcdefghij", 4, 0)
    ['a', 'c', 'g', 'j']
    """
    check_seed(seed)
    return [images[number] for number in sorted(Random(seed).sample(range(len(images)), shots))]
