"""Strips and tiles of TIFF: complete, of a known compression, none larger than its pixels.

tifffile and its codecs fill in missing strips and decompress data of any size; hence the checks.
"""

import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zsad.data.decoding import jpeg
from zsad.data.decoding.guard import Stream, require
from zsad.errors import InputError
from zsad.types import Size

if TYPE_CHECKING:
    import tifffile

SLACK = 4096
"""Padding in bytes that a segment may have in addition to twice the size of its pixels."""

Check = Callable[[bytes, int, Size], int]
"""Content of a segment, maximum decompressed bytes, its (rows, cols) -> decompressed bytes; any number above the
maximum where there are more."""


def check_segments(page: "tifffile.TiffPage", stream: Stream, name: str) -> None:
    """To be called before tifffile decodes a page.

    Raises:
        InputError, DependencyError: the compression is not supported, or needs an extra.
        ValueError: a segment is missing, or decompresses to more than its pixels.
    """
    check_supported(page, name)
    for content in _segments(page, stream):
        check_segment(page, content)


def check_supported(page: "tifffile.TiffPage", name: str) -> None:
    """As :func:`check_segments`, for the compression alone."""
    check = CHECKS.get(int(page.compression))
    what = f"compression {getattr(page.compression, 'name', page.compression)}"
    if check is None:
        raise InputError("a TIFF of these samples is compressed without loss", f"{name} ({what})", "save it as PNG")
    is_packed = page.bitspersample not in (8, 16, 32, 64) or page.predictor not in (1, 2)
    if is_packed or check not in (_plain, _deflate, _lzma):
        require("imagecodecs", "codecs", f"a TIFF of {page.bitspersample} bits, {what},", name)


def check_segment(page: "tifffile.TiffPage", content: bytes) -> None:
    """As :func:`check_segments`, for one strip or tile.

    Raises:
        ValueError: it decompresses to more than its pixels.
    """
    rows, cols = page.chunks[-2:] if page.axes == "SYX" else page.chunks[:2]
    most = 2 * math.prod(page.chunks) * (page.dtype.itemsize if page.dtype else 8) + SLACK
    if CHECKS[int(page.compression)](content, most, (rows, cols)) > most:
        raise ValueError("a strip or tile decompresses to more than its pixels")


def _segments(page: "tifffile.TiffPage", stream: Stream) -> Iterator[bytes]:
    length = stream.seek(0, 2)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset < 1 or count < 1 or offset + count > length:
            raise ValueError("the file is truncated or has strips without data")
        stream.seek(offset)
        yield stream.read(count)


def _plain(content: bytes, most: int, size: Size) -> int:
    return 0


def _deflate(content: bytes, most: int, size: Size) -> int:
    return len(zlib.decompressobj().decompress(content, most + 1))


def _lzma(content: bytes, most: int, size: Size) -> int:
    return len(lzma.LZMADecompressor().decompress(content, most + 1))


def _lzw(content: bytes, most: int, size: Size) -> int:
    from imagecodecs import lzw_decode

    return len(lzw_decode(content, out=most + 1))


def _packbits(content: bytes, most: int, size: Size) -> int:
    from imagecodecs import PackbitsError, packbits_decode

    try:
        return len(packbits_decode(content, out=most))
    except PackbitsError:
        return most + 1


def _zstd(content: bytes, most: int, size: Size) -> int:
    from imagecodecs import ZstdError, zstd_decode

    try:
        return len(zstd_decode(content, out=most))
    except ZstdError:
        return most + 1


def _jpeg_2000(content: bytes, most: int, size: Size) -> int:
    codestream = jpeg.codestreams(content)[0]
    jpeg.check_whole(codestream)
    return 0 if jpeg.size_of(codestream) == size else most + 1


CHECKS: dict[int, Check] = {
    1: _plain,
    5: _lzw,
    8: _deflate,
    32946: _deflate,
    32773: _packbits,
    34925: _lzma,
    **dict.fromkeys((34926, 50000), _zstd),
    **dict.fromkeys((33003, 33005, 34712), _jpeg_2000),
}
"""By the code of the compression."""
