"""16-bit grey PNG, quickly: the general encoder of Pillow takes six times as long for an anomaly map.

Rows are stored as differences from the row above (filter "Up" of the PNG specification, section 9), which are small in
a map that is smooth, and compressed at the lowest level: by libdeflate where imagecodecs (extra ``codecs``) is
installed, else by zlib in twice the time. Both give the same pixels.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import IO

import numpy as np
from jaxtyping import Float32

SIGNATURE = b"\x89PNG\r\n\x1a\n"
UP = 2
TOP = 65535
STRIP = 2**22
"""Pixels that are filtered at a time, which bounds memory."""
LEVEL = 1


def grey_16(values: Float32[np.ndarray, "rows cols"]) -> bytes:
    """The content of a file of values in [0, 1], each stored as round(65535 * value)."""
    rows, cols = values.shape
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", cols, rows, 16, 0, 0, 0, 0))
    pixels = b"".join(_chunk(b"IDAT", data) for data in _compressed(values))
    return SIGNATURE + header + pixels + _chunk(b"IEND", b"")


def write_grey_16(file: IO[bytes], size: tuple[int, int], bands: Iterable[Float32[np.ndarray, "_ cols"]]) -> None:
    """Write the same by rows.

    Args:
        file: open for writing.
        size: (rows, cols) of all.
        bands: values in [0, 1], from top to bottom.
    """
    rows, cols = size
    file.write(SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", cols, rows, 16, 0, 0, 0, 0)))
    compressor, above = zlib.compressobj(LEVEL), np.zeros((1, cols), np.float32)
    height = max(1, STRIP // cols)
    for band in bands:
        for top in range(0, len(band), height):
            strip = np.concatenate([above, band[top : top + height]])
            if data := compressor.compress(_filtered(strip, 1, len(strip))):
                file.write(_chunk(b"IDAT", data))
            above = strip[-1:]
    file.write(_chunk(b"IDAT", compressor.flush()) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _compressed(values: Float32[np.ndarray, "rows cols"]) -> Iterator[bytes]:
    """The pixels as one zlib stream, in pieces."""
    height = max(1, STRIP // values.shape[1])
    if len(values) <= height and _has_libdeflate():
        import imagecodecs

        yield bytes(imagecodecs.deflate_encode(_filtered(values, 0, len(values)), level=LEVEL))
        return
    compressor = zlib.compressobj(LEVEL)
    for top in range(0, len(values), height):
        yield compressor.compress(_filtered(values, top, top + height))
    yield compressor.flush()


def _filtered(values: Float32[np.ndarray, "rows cols"], top: int, end: int) -> bytes:
    """Some rows as bytes, each after the number of its filter."""
    before = max(top - 1, 0)
    levels = np.rint(values[before:end] * np.float32(TOP)).astype(">u2").view(np.uint8)
    lines = np.empty((len(levels) - (top - before), levels.shape[1] + 1), np.uint8)
    lines[:, 0] = UP
    above = levels if top else np.concatenate([np.zeros_like(levels[:1]), levels])
    np.subtract(above[1:], above[:-1], out=lines[:, 1:])
    return lines.tobytes()


@cache
def _has_libdeflate() -> bool:
    try:
        from imagecodecs import DEFLATE
    except ImportError:
        return False
    return bool(DEFLATE.available)
