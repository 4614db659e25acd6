"""Any image -> upright RGB at its own bit depth, or an error that names it.

All conversions:

* grey, palette and 1-bit images become RGB; colours are otherwise unchanged. Embedded ICC profiles are
  ignored, as CLIP's own preprocessing ignores them; CMYK becomes RGB by the plain formula (1 - ink) x (1 - black).
* transparency is composited on white. An image that is opaque everywhere is not changed.
* EXIF (and TIFF) orientation is applied. An EXIF block that cannot be read counts as no orientation.
* samples deeper than 8 bits are kept as uint16 over the full range 0..65535, without contrast
  stretching; where an image uses a sixteenth of the range or less, a note says so.
* known but unsupported formats are refused by name (camera raw, volumes, video, microscope formats).
* of several pages or frames the first is read, and a note says so; a DICOM file with several frames is refused.
* the rescale and VOI window (or lookup table) of a DICOM file are applied, and MONOCHROME1 is inverted.
"""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from zsad.data import kinds
from zsad.data.decoding import dicom, heif, jpeg, netpbm, pillow, tiff
from zsad.data.decoding.guard import MAX_PIXELS, Stream, reading, unreadable
from zsad.data.decoding.pixels import Pixels, from_array
from zsad.errors import InputError
from zsad.types import DecodedImage

__all__ = ["MAX_PIXELS", "decode"]

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


def decode(source: Source, name: str | None = None) -> DecodedImage:
    """Read one image.

    Args:
        source: a path; the bytes of a file; a PIL image (its current frame); or an array of shape (rows, cols),
            (rows, cols, 1), (rows, cols, 3) or (rows, cols, 4) in uint8, uint16, bool, or float within [0, 1].
            A contiguous uint8 or uint16 RGB array is not copied.
        name: used in the result and in errors; the path by default.

    Returns:
        The image: upright RGB, pixels of shape (rows, cols, 3) in uint8, or uint16 for anything deeper than 8 bits.

    Raises:
        InputError: it is missing, empty, truncated, not an image, of more than ``MAX_PIXELS`` pixels, or in a
            format that cannot be displayed without guessing. The message names it.
        DependencyError: it needs an extra that is not installed: ``dicom``; ``heic``; ``codecs`` for compressions that
            Pillow does not have and for depths that it rounds down. The message names it.
    """
    called = name or _name_of(source)
    image = _read(source, called)
    pixels = np.ascontiguousarray(image.pixels)
    return DecodedImage(pixels, called, (*image.notes, *_of_range(pixels)))


def _of_range(pixels: Pixels) -> tuple[str, ...]:
    """A note where an image uses a sixteenth of its range or less, such as 12-bit samples in 16 bits."""
    top, low, high = int(np.iinfo(pixels.dtype).max), int(pixels.min()), int(pixels.max())
    if high - low > top // 16:
        return ()
    return (f"its values, {low} to {high} of {top}, use a sixteenth of the range or less; scored as they are",)


def _name_of(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, np.ndarray):
        return "array"
    return str(getattr(source, "filename", "") or ("bytes" if isinstance(source, bytes) else "image"))


def _read(source: object, name: str) -> DecodedImage:
    if isinstance(source, np.ndarray):
        return DecodedImage(from_array(source, name), name)
    if isinstance(source, Image.Image):
        return DecodedImage(pillow.from_image(source, name), name)
    if isinstance(source, bytes):
        return _from_stream(BytesIO(source), name)
    if isinstance(source, str | os.PathLike):
        return _from_path(source, name)
    raise InputError("an image is a path, bytes, a PIL image or an array", type(source).__name__, "pass one of these")


def _from_path(source: str | os.PathLike[str], name: str) -> DecodedImage:
    path = Path(source)
    if not os.path.exists(path):
        raise InputError("an image file must exist", name, "check the path")
    if not path.is_file():
        raise InputError("an image must be a file", f"{name} (a folder or a device)", "name the files in it")
    with reading(name):
        stream = path.open("rb")
    with stream:
        return _from_stream(stream, name)


READERS: dict[kinds.FileKind | None, Callable[[Stream, str], DecodedImage]] = {
    kinds.AVIF: heif.read_avif,
    kinds.DICOM: dicom.read,
    kinds.HEIF: heif.read_heif,
    kinds.JPEG: jpeg.read_jpeg,
    kinds.JPEG_2000: jpeg.read_jpeg_2000,
    kinds.NETPBM: netpbm.read,
    kinds.TIFF: tiff.read,
}
"""All other formats are read by Pillow."""


def _from_stream(stream: Stream, name: str) -> DecodedImage:
    with reading(name):
        head = stream.read(kinds.HEAD_LENGTH)
        stream.seek(0)
    if not head:
        raise unreadable(name, "it is empty")
    kind = kinds.kind_of(head, name)
    if kind and kind.refused:
        raise kinds.refusal(kind, name)
    return READERS.get(kind, pillow.read)(stream, name)
