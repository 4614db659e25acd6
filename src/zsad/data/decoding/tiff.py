"""TIFF -> RGB pixels: by Pillow where it is faithful, by tifffile for deeper samples, which Pillow truncates or
refuses.

    pages: which is the image, which are smaller copies or camera raw; nothing is decoded for this
    strips or tiles: complete, of a known compression, none larger than its pixels; checked before tifffile decodes

tifffile and its codecs fill in missing strips and decompress data of any size; hence the checks.
"""

import lzma
import math
import re
import zlib
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from zsad.data import kinds
from zsad.data.decoding import jpeg, pillow
from zsad.data.decoding.guard import UNREADABLE, Stream, check_size, reading, require
from zsad.data.decoding.pillow import is_deep_colour
from zsad.data.decoding.pixels import Pixels, from_unit, full_range, to_rgb, upright
from zsad.errors import InputError
from zsad.types import DecodedImage, Size

if TYPE_CHECKING:
    import tifffile

BITS, PHOTOMETRIC, ORIENTATION, PLANES, SAMPLE_FORMAT, DEPTH = 258, 262, 274, 284, 339, 32997  # tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # photometric interpretations
SIGNED = 2  # a sample format
PREMULTIPLIED, ALPHA = 1, 2  # kinds of extra samples


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode the first page of a TIFF that is open for reading."""
    notes = check_pages(stream, name)
    stream.seek(0)
    return DecodedImage(_first_page(stream, name), name, notes)


def _first_page(stream: Stream, name: str) -> Pixels:
    try:
        image = pillow.open_image(stream, name)
    except InputError:
        return _by_tifffile(stream, name)
    with image:
        _refuse_misread(image, name)
        if _is_faithful(image):
            return pillow.from_image(image, name)
    return _by_tifffile(stream, name)


def _is_faithful(image: Image.Image) -> bool:
    """Whether Pillow gives the file's own samples: up to 8 bits, 16-bit colours, or one deep channel, black at zero."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # every image that the TIFF plugin opens has it
    bits = tags.get(BITS, (1,))
    if max(bits) <= 8:
        return True
    if is_deep_colour(image):
        return tags.get(PLANES, 1) == 1
    return bits in ((16,), (32,)) and image.mode != "I" and tags.get(PHOTOMETRIC) == BLACK_IS_ZERO


def _refuse_misread(image: Image.Image, name: str) -> None:
    """Refuse samples that Pillow would open and misread."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # as above
    if SIGNED in tags.get(SAMPLE_FORMAT, ()):
        raise _kind_error(name, "signed samples")
    if tags.get(DEPTH, 1) != 1:
        raise _kind_error(name, f"a volume of depth {tags[DEPTH]}")


def _by_tifffile(stream: Stream, name: str) -> Pixels:
    from tifffile import TiffFile

    stream.seek(0)
    with reading(name), TiffFile(stream) as file:
        page = file.pages[0].aspage()
        check_size(page.imagelength, page.imagewidth, name)
        _check_kind(page, name)
        check_segments(page, stream, name)
        samples, orientation = _samples(page), page.tags.valueof(ORIENTATION, 1)
    return upright(_colours(samples, page), orientation)


def _check_kind(page: "tifffile.TiffPage", name: str) -> None:
    if page.axes not in ("YX", "YXS", "SYX") or page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise _kind_error(name, f"axes {page.axes}, photometric interpretation {page.photometric}")
    if page.dtype is None or page.dtype.kind not in "uf" or (page.dtype.kind == "u" and page.bitspersample > 16):
        raise _kind_error(name, f"samples of {page.dtype}")
    if page.samplesperpixel > _colour_count(page) + 1:
        raise _kind_error(name, f"{page.samplesperpixel} channels")


def _samples(page: "tifffile.TiffPage") -> Shaped[np.ndarray, "rows cols channels"]:
    """All channels in uint8 or uint16."""
    samples = np.moveaxis(page.asarray(), 0, 2) if page.axes == "SYX" else page.asarray()
    samples = samples.reshape(*samples.shape[:2], -1)
    return from_unit(samples) if samples.dtype.kind == "f" else full_range(samples, 2**page.bitspersample - 1)


def _colours(samples: Shaped[np.ndarray, "rows cols channels"], page: "tifffile.TiffPage") -> Pixels:
    """Without channels that are neither colour nor alpha, and with white at the top."""
    extra = page.extrasamples[0] if page.extrasamples else ALPHA
    if page.photometric == WHITE_IS_ZERO:
        samples = np.concatenate([~samples[..., :1], samples[..., 1:]], axis=2)
    kept = samples[..., : _colour_count(page) + (extra in (PREMULTIPLIED, ALPHA))]
    return to_rgb(kept, premultiplied=extra == PREMULTIPLIED)


def _colour_count(page: "tifffile.TiffPage") -> int:
    return 3 if page.photometric == RGB else 1


def _kind_error(name: str, value: str) -> InputError:
    return InputError(
        "a TIFF holds grey or RGB in unsigned samples of up to 16 bits, or in floats within [0, 1]",
        f"{name} ({value})",
        "convert it to 8 or 16 bits without sign first",
    )


REDUCED, MASK_PAGE = 1, 4  # bits of the subfile type
RAW_COLOURS = (32803, 34892)
"""Photometric interpretations: a mosaic of colour filters, and linear raw."""
DNG_VERSION, METAMORPH_PLANES = 50706, 33629  # tags
MOST_PAGES = 1000
"""Maximum number of pages that are counted."""


def check_pages(stream: Stream, name: str) -> tuple[str, ...]:
    """Notes on a TIFF whose first page is read.

    Raises:
        InputError: the first page is not the image: a thumbnail, or camera raw.
    """
    from tifffile import TiffFile

    stream.seek(0)
    with reading(name), TiffFile(stream) as file:
        first = file.pages[0].aspage()
        check_size(first.imagelength, first.imagewidth, name)
        _check_first(first, name)
        _check_complete(first)
        images = _image_count(file, first)
    if images == 1:
        return ()
    return (f"page 1 of {images if images <= MOST_PAGES else f'more than {MOST_PAGES}'} was read",)


def _check_first(page: "tifffile.TiffPage", name: str) -> None:
    if DNG_VERSION in page.tags or page.photometric in RAW_COLOURS:
        raise kinds.refusal(kinds.CAMERA_RAW, name)
    if page.subfiletype & REDUCED:
        raise InputError(
            "the first page of a TIFF is its image",
            f"{name} (a thumbnail of another page, as in camera raw files)",
            "save the image itself as TIFF or PNG; develop camera raw first",
        )


def _check_complete(page: "tifffile.TiffPage") -> None:
    """Refuse missing strips and tiles, which Pillow and tifffile fill in or replace by others."""
    if len(page.dataoffsets) < prod(page.chunked) or 0 in page.dataoffsets:
        raise ValueError("strips or tiles are missing")


def _image_count(file: "tifffile.TiffFile", first: "tifffile.TiffPage") -> int:
    """How many images there are, each on its page; ImageJ and MetaMorph also write stacks as one page.

    Further pages of Aperio slides are pyramid levels, a thumbnail and a label.
    """
    if first.description.startswith("Aperio"):
        return 1
    imagej = re.search(r"^images=(\d{1,9})", first.description, re.MULTILINE)
    stacked = int(imagej[1]) if imagej and first.is_imagej else 1
    if METAMORPH_PLANES in first.tags:
        stacked = first.tags[METAMORPH_PLANES].count
    return max(stacked, 1 + sum(_is_image(page) for page in _further(file)))


def _further(file: "tifffile.TiffFile") -> Iterator["tifffile.TiffPage"]:
    """Pages after the first, up to the end or to the first that is damaged or repeated."""
    offsets = {file.pages[0].aspage().offset}
    for index in range(1, MOST_PAGES + 1):
        try:
            page = file.pages[index].aspage()
        except UNREADABLE:
            return
        if page.offset in offsets:
            return
        offsets.add(page.offset)
        yield page


def _is_image(page: "tifffile.TiffPage") -> bool:
    return not page.subfiletype & (REDUCED | MASK_PAGE)


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
    check = CHECKS.get(int(page.compression))
    what = f"compression {getattr(page.compression, 'name', page.compression)}"
    if check is None:
        raise InputError("a TIFF of these samples is compressed without loss", f"{name} ({what})", "save it as PNG")
    is_packed = page.bitspersample not in (8, 16, 32, 64) or page.predictor not in (1, 2)
    if is_packed or check not in (_plain, _deflate, _lzma):
        require("imagecodecs", "codecs", f"a TIFF of {page.bitspersample} bits, {what},", name)
    rows, cols = page.chunks[-2:] if page.axes == "SYX" else page.chunks[:2]
    most = 2 * math.prod(page.chunks) * (page.dtype.itemsize if page.dtype else 8) + SLACK
    for content in _segments(page, stream):
        if check(content, most, (rows, cols)) > most:
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
