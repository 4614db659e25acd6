"""What is drawn: an image that was decoded, as :class:`zsad.types.DecodedImage`."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8, UInt16


@runtime_checkable
class Picture(Protocol):
    """Anything with pixels and a size."""

    @property
    def pixels(self) -> UInt8[np.ndarray, "rows cols 3"] | UInt16[np.ndarray, "rows cols 3"]:
        """RGB, of 8 or 16 bits a sample over their full range."""

    @property
    def size(self) -> tuple[int, int]:
        """(rows, cols) in pixels."""
