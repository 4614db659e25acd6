"""Overlapping tiles of an image, and the weights by which their maps become one without seams."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from zsad.errors import ConfigError

SMALLEST, LARGEST = 16, 8192
"""Sides of tiles in px."""


class Tiling(NamedTuple):
    """How an image is cut.

    Attributes:
        size: side of a tile in px of the image; each is scored as an image of its own.
        overlap: px that neighbouring tiles have in common, at least.
        coarse: weight in [0, 1) of a pass over the whole image, in map and score.
    """

    size: int
    overlap: int
    coarse: float = 0.0

    @classmethod
    def of(cls, size: int, overlap: int | None = None, coarse: float = 0.0) -> "Tiling":
        """With a quarter of the size as overlap, where none is given."""
        return cls(size, size // 4 if overlap is None else overlap, coarse).checked()

    def checked(self) -> "Tiling":
        """The same, with Python's own numbers.

        Raises:
            ConfigError: a value is out of range.
        """
        if not SMALLEST <= self.size <= LARGEST:
            raise ConfigError(f"the side of a tile lies in [{SMALLEST}, {LARGEST}] px", self.size, "change --tile")
        if not 0 <= self.overlap <= self.size // 2:
            raise ConfigError("tiles overlap by at most half of their side", self.overlap, "change --overlap")
        if not 0 <= self.coarse < 1:
            raise ConfigError("the weight of the whole image lies in [0, 1)", self.coarse, "change --coarse")
        return Tiling(int(self.size), int(self.overlap), float(self.coarse))


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Where tiles begin along an axis: evenly spread, the first and the last at its ends; 0 alone where one suffices.

    >>> starts(100, 40, 10), starts(30, 40, 10)
    ([0, 30, 60], [0])
    """
    if length <= size:
        return [0]
    count = -(-(length - overlap) // (size - overlap))
    return [round(index * (length - size) / (count - 1)) for index in range(count)]


def weights(begins: list[int], size: int, length: int) -> list[Float32[np.ndarray, "pixels"]]:
    """The weight of each tile at each of its pixels along an axis; those of all tiles at a pixel add up to 1.

    Towards a neighbour they fall as a raised cosine over the whole overlap, to nearly 0 at the border of the tile.

    Args:
        begins: of :func:`starts`.
        size: of a tile, at most the length.
        length: of the axis.
    """
    total, found = np.zeros(length), []
    for index, begin in enumerate(begins):
        window = np.ones(size)
        if index:
            window *= _ramp(begins[index - 1] + size - begin, size)
        if index + 1 < len(begins):
            window *= _ramp(begin + size - begins[index + 1], size)[::-1]
        total[begin : begin + size] += window
        found.append(window)
    return [
        (window / total[begin : begin + size]).astype(np.float32) for begin, window in zip(begins, found, strict=True)
    ]


def _ramp(overlap: int, size: int) -> np.ndarray:
    """From nearly 0 to 1 over the overlap, then 1."""
    at = np.clip((np.arange(size) + 0.5) / max(overlap, 1), 0, 1) if overlap else np.ones(size)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * at))
