"""TIFF -> RGB pixels: by Pillow where it is faithful, by tifffile for deeper samples, which Pillow truncates or
refuses.

    pages: which is the image, which are smaller copies or camera raw; nothing is decoded for this
    strips or tiles: checked before tifffile decodes (``tiff_segments``)
"""

import re
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from zsad.data import kinds
from zsad.data.decoding import pillow
from zsad.data.decoding.guard import UNREADABLE, Stream, check_size, reading
from zsad.data.decoding.pillow import is_deep_colour
from zsad.data.decoding.pixels import Pixels, from_unit, full_range, to_rgb, upright
from zsad.data.decoding.ranges import Range, bits_of_largest, in_range, of_few_bits, scaled
from zsad.data.decoding.tiff_segments import check_segments
from zsad.errors import InputError
from zsad.types import DecodedImage

if TYPE_CHECKING:
    import tifffile

BITS, PHOTOMETRIC, ORIENTATION, PLANES, SAMPLE_FORMAT, DEPTH = 258, 262, 274, 284, 339, 32997  # tags
MAX_SAMPLE, S_MAX_SAMPLE = 281, 341  # tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # photometric interpretations
SIGNED = 2  # a sample format
PREMULTIPLIED, ALPHA = 1, 2  # kinds of extra samples


class Place(NamedTuple):
    """Where an image is: its page, and its plane where a stack is written as one page."""

    page: int
    plane: int | None = None


FIRST = Place(0)


def read(stream: Stream, name: str, value_range: Range | None = None) -> DecodedImage:
    """Decode the first page of a TIFF that is open for reading."""
    notes = check_pages(stream, name)
    image = read_page(stream, name, FIRST, value_range)
    return DecodedImage(image.pixels, name, (*notes, *image.notes))


def read_page(stream: Stream, name: str, place: Place, value_range: Range | None = None) -> DecodedImage:
    """Decode a page of a TIFF, or a plane of :func:`pages_of`, over the range that its tags or the caller give."""
    stream.seek(0)
    if place.plane is not None:
        return DecodedImage(_by_tifffile(stream, name, place, value_range), name)
    try:
        image = pillow.open_image(stream, name)
    except InputError:
        return DecodedImage(_by_tifffile(stream, name, place, value_range), name)
    with image:
        with reading(name):
            image.seek(place.page)
        _refuse_misread(image, name)
        bits = _bits_of_tags(image) if value_range is None else None
        if _is_faithful(image) and (value_range is None or image.mode != "F"):  # floats have a range of their own
            pixels = in_range(pillow.from_image(image, name), value_range)
        else:
            pixels = _by_tifffile(stream, name, place, value_range)
    pixels, notes = of_few_bits(pixels, bits)
    return DecodedImage(pixels, name, notes)


def _bits_of_tags(image: Image.Image) -> int | None:
    """The bits of a sample by the tags about the largest one, rounded up; only where white is the largest."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # every image that the TIFF plugin opens has it
    if {*tags.get(BITS, (1,))} != {16} or tags.get(PHOTOMETRIC) not in (BLACK_IS_ZERO, RGB):
        return None
    largest = (tags[tag] for tag in (MAX_SAMPLE, S_MAX_SAMPLE) if tag in tags)
    return bits_of_largest(value for entry in largest for value in (entry if isinstance(entry, tuple) else (entry,)))


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


def _by_tifffile(stream: Stream, name: str, place: Place, value_range: Range | None) -> Pixels:
    from tifffile import TiffFile

    stream.seek(0)
    with reading(name), TiffFile(stream) as file:
        page = file.pages[place.page].aspage()
        check_size(page.imagelength, page.imagewidth, name)
        check_kind(page, name)
        check_complete(page)
        check_segments(page, stream, name)
        samples = page.asarray() if place.plane is None else _plane(page, stream, place.plane)
        samples, orientation = unsigned(samples, page, value_range), page.tags.valueof(ORIENTATION, 1)
    return upright(colours(samples, page), orientation)


def _plane(page: "tifffile.TiffPage", stream: Stream, number: int) -> Shaped[np.ndarray, "rows cols *channels"]:
    """A plane of a stack that is written as one page without compression, one plane after the other."""
    assert page.dtype is not None
    shape = (page.imagelength, page.imagewidth, *([page.samplesperpixel] if page.samplesperpixel > 1 else []))
    size = prod(shape) * page.dtype.itemsize
    stream.seek(page.dataoffsets[0] + number * size)
    content = stream.read(size)
    return np.frombuffer(content, page.dtype.newbyteorder(page.parent.byteorder)).reshape(shape)


def check_kind(page: "tifffile.TiffPage", name: str) -> None:
    """Refuse samples other than grey or RGB, of up to 16 bits or floats."""
    if page.axes not in ("YX", "YXS", "SYX") or page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        raise _kind_error(name, f"axes {page.axes}, photometric interpretation {page.photometric}")
    if page.dtype is None or page.dtype.kind not in "uf" or (page.dtype.kind == "u" and page.bitspersample > 16):
        raise _kind_error(name, f"samples of {page.dtype}")
    if page.samplesperpixel > _colour_count(page) + 1:
        raise _kind_error(name, f"{page.samplesperpixel} channels")


def unsigned(
    samples: Shaped[np.ndarray, "*shape"], page: "tifffile.TiffPage", value_range: Range | None
) -> Shaped[np.ndarray, "rows cols channels"]:
    """All channels in uint8 or uint16."""
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    samples = samples.reshape(*samples.shape[:2], -1)
    if value_range is not None:
        return scaled(samples, value_range)
    return from_unit(samples) if samples.dtype.kind == "f" else full_range(samples, 2**page.bitspersample - 1)


def colours(samples: Shaped[np.ndarray, "rows cols channels"], page: "tifffile.TiffPage") -> Pixels:
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
"""Maximum number of pages that are counted for a note."""
MOST_IN_SERIES = 100_000
"""Maximum number of pages of a series."""


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
        check_complete(first)
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


def check_complete(page: "tifffile.TiffPage") -> None:
    """Refuse missing strips and tiles, which Pillow and tifffile fill in or replace by others."""
    if len(page.dataoffsets) < prod(page.chunked) or 0 in page.dataoffsets:
        raise ValueError("strips or tiles are missing")


def pages_of(stream: Stream, name: str) -> list[Place]:
    """The images of a TIFF, without smaller copies and masks; the first :data:`MOST_IN_SERIES`.

    Raises:
        InputError: as :func:`check_pages`.
    """
    from tifffile import TiffFile

    with reading(name), TiffFile(stream) as file:
        first = file.pages[0].aspage()
        check_size(first.imagelength, first.imagewidth, name)
        _check_first(first, name)
        if _is_slide(first):
            return [FIRST]
        further = enumerate(_further(file, MOST_IN_SERIES), 1)
        found = [FIRST, *(Place(index) for index, page in further if _is_image(page))]
        stacked = min(_stacked(first), MOST_IN_SERIES)
        if stacked <= len(found) or not _is_plain(first, stream, stacked):
            return found
    return [Place(0, plane) for plane in range(stacked)]


def _is_plain(page: "tifffile.TiffPage", stream: Stream, planes: int) -> bool:
    """Whether so many planes lie in the file one after the other."""
    if page.compression != 1 or page.dtype is None or page.bitspersample not in (8, 16, 32):
        return False
    size = page.imagelength * page.imagewidth * page.samplesperpixel * page.dtype.itemsize
    return bool(page.dataoffsets[0] + planes * size <= stream.seek(0, 2))


def _image_count(file: "tifffile.TiffFile", first: "tifffile.TiffPage") -> int:
    """How many images there are, each on its page, or in a stack of one page."""
    return 1 if _is_slide(first) else max(_stacked(first), 1 + sum(map(_is_image, _further(file, MOST_PAGES))))


def _is_slide(first: "tifffile.TiffPage") -> bool:
    """Of Aperio slides, further pages are pyramid levels, a thumbnail and a label."""
    return bool(first.description.startswith("Aperio"))


def _stacked(first: "tifffile.TiffPage") -> int:
    """How many planes the first page has; ImageJ and MetaMorph write stacks so."""
    if METAMORPH_PLANES in first.tags:
        return int(first.tags[METAMORPH_PLANES].count)
    imagej = re.search(r"^images=(\d{1,9})", first.description, re.MULTILINE)
    return int(imagej[1]) if imagej and first.is_imagej else 1


def _further(file: "tifffile.TiffFile", most: int) -> Iterator["tifffile.TiffPage"]:
    """Pages after the first, up to the end or to the first that is damaged or repeated."""
    offsets = {file.pages[0].aspage().offset}
    for index in range(1, most + 1):
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
