"""TIFF -> RGB pixels: by Pillow where it is faithful, by tifffile for the deeper kinds that Pillow cuts or refuses."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from zsad.data import _pillow
from zsad.data._deep import is_deep_colour
from zsad.data._pages import check_pages
from zsad.data._pixels import Pixels, from_unit, full_range, to_rgb, upright
from zsad.data._reading import Stream, check_size, reading
from zsad.data._segments import check_segments
from zsad.errors import InputError
from zsad.types import DecodedImage

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
        image = _pillow.open_image(stream, name)
    except InputError:
        return _by_tifffile(stream, name)
    with image:
        _refuse_misread(image, name)
        if _is_faithful(image):
            return _pillow.from_image(image, name)
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
    """What Pillow would open, but as something else."""
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


def _kind_error(name: str, found: str) -> InputError:
    return InputError(
        "a TIFF holds grey or RGB in unsigned samples of up to 16 bits, or in floats within [0, 1]",
        f"{name} ({found})",
        "convert it to 8 or 16 bits without sign first",
    )
