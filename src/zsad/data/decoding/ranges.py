"""The range that samples really use, where it is less than their type holds: 12-bit data in 16-bit files.

It is that of the file's tags, or one that was asked for; never that of the samples themselves.
"""

import math
from collections.abc import Iterable

import numpy as np

from zsad.data.decoding.guard import Stream
from zsad.data.decoding.pixels import Pixels, from_unit
from zsad.errors import ConfigError

Range = tuple[float, float]
"""The samples that are black and white; those beyond are clipped."""
FIRST_CHUNKS = 2**16
"""Bytes of a PNG in which its description is looked for."""


def check_range(value_range: Range) -> None:
    """Check that a range has two ends.

    Raises:
        ConfigError: the first is not below the second, or one is not finite.
    """
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError("a range runs from a number to a larger one", f"{low:g}:{high:g}", "say LOW:HIGH")


def in_range(pixels: Pixels, value_range: Range | None) -> Pixels:
    """Pixels stretched so that a range of their samples fills that of their type; as they are without a range."""
    if value_range is None:
        return pixels
    low, high = value_range
    top = int(np.iinfo(pixels.dtype).max)
    unit = np.clip((np.arange(top + 1, dtype=np.float64) - low) / (high - low), 0, 1)
    table = np.rint(unit * top).astype(pixels.dtype)
    return np.take(table, pixels)


def scaled(values: np.ndarray, value_range: Range) -> np.ndarray:
    """Samples of any type -> uint16 over the full range."""
    low, high = value_range
    return from_unit(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1))


def of_few_bits(pixels: Pixels, bits: int | None) -> tuple[Pixels, tuple[str, ...]]:
    """16-bit pixels of fewer bits over the full range, with a note; others as they are.

    Args:
        pixels: of a file.
        bits: that its tags give to a sample; None where they say nothing. Tags that a sample contradicts do not count.
    """
    if bits is None or not 8 < bits < 16 or pixels.dtype != np.uint16 or int(pixels.max()) >= 2**bits:
        return pixels, ()
    top = 2**bits - 1
    return in_range(pixels, (0, top)), (f"by its tags it has {bits} bits a sample: 0 to {top} are black to white",)


def bits_of_largest(values: Iterable[object]) -> int | None:
    """The bits of the largest sample that a file may have, of what TIFF tags say about each channel."""
    largest = max((value for value in values if isinstance(value, int | float)), default=0)
    return int(largest).bit_length() if 0 < largest < 2**16 else None


def bits_of_png(stream: Stream, pixels: Pixels) -> int | None:
    """The bits of a sample by the chunk sBIT, where samples are stored as they came from the camera.

    The format wants them stretched, their leading bits repeated in the low ones, or zeros there (PNG specification,
    11.3.2.4 and 13.12). Where all are so, they count as stretched.
    """
    bits = _significant_bits(stream)
    if bits is None or not 8 < bits < 16 or pixels.dtype != np.uint16:
        return None
    low = 16 - bits
    leading = pixels >> low
    repeated = leading << low | leading >> (2 * bits - 16)
    is_stretched = np.array_equal(pixels, repeated) or np.array_equal(pixels, leading << low)
    return None if is_stretched else bits


def _significant_bits(stream: Stream) -> int | None:
    stream.seek(0)
    head, at = stream.read(FIRST_CHUNKS), 8
    while at + 8 <= len(head):
        length, kind = int.from_bytes(head[at : at + 4], "big"), head[at + 4 : at + 8]
        if kind == b"sBIT":
            return max(head[at + 8 : at + 8 + length], default=None)
        if kind == b"IDAT":
            return None
        at += length + 12
    return None
