"""Any image -> upright RGB at its own bit depth, or an error that names it.

All conversions:

* grey, palette and 1-bit images become RGB; colours are otherwise unchanged. Embedded ICC profiles are
  ignored, as CLIP's own preprocessing ignores them; CMYK becomes RGB by the plain formula (1 - ink) x (1 - black).
* transparency is composited on white. An image that is opaque everywhere is not changed.
* EXIF (and TIFF) orientation is applied. An EXIF block that cannot be read counts as no orientation.
* samples deeper than 8 bits are kept as uint16 over the full range 0..65535, without contrast
  stretching; where an image uses a sixteenth of the range or less, a note says so.
* where tags say that 16-bit samples have fewer bits (PNG sBIT, TIFF MaxSampleValue), those are the full range; a
  range that is asked for goes before.
* known but unsupported formats are refused by name (camera raw, microscope formats).
* of several pages or frames the first is read, and a note says so; ``file.tif#3`` names another, counted from 0.
  Slices of NIfTI volumes and pictures of videos are always named so.
* the rescale and VOI window (or lookup table) of a DICOM file are applied, and MONOCHROME1 is inverted.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from zsad.data import kinds
from zsad.data.decoding import dicom, heif, jpeg, netpbm, pillow, tiff
from zsad.data.decoding.guard import MAX_PIXELS, Stream, reading, unreadable
from zsad.data.decoding.pixels import Pixels, from_array
from zsad.data.decoding.ranges import Range, bits_of_png, check_range, in_range, of_few_bits
from zsad.data.frame_names import frame_name
from zsad.data.series.finding import open_series
from zsad.data.series.frame import Frame
from zsad.errors import InputError
from zsad.types import DecodedImage

__all__ = ["MAX_PIXELS", "decode"]

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


def decode(source: Source, name: str | None = None, value_range: Range | None = None) -> DecodedImage:
    """Read one image.

    Args:
        source: a path, or the name of a frame such as ``"scan.nii.gz#17"``; the bytes of a file; a PIL image (its
            current frame); or an array of shape (rows, cols), (rows, cols, 1), (rows, cols, 3) or (rows, cols, 4) in
            uint8, uint16, bool, or float within [0, 1].
            A contiguous uint8 or uint16 RGB array is not copied.
        name: used in the result and in errors; the path by default.
        value_range: the samples that are black and white, of files (0 to 255 or 65535; of DICOM and NIfTI in their
            units, such as Hounsfield units; of TIFF in floats as they are).

    Returns:
        The image: upright RGB, pixels of shape (rows, cols, 3) in uint8, or uint16 for anything deeper than 8 bits.

    Raises:
        InputError: it is missing, empty, truncated, not an image, of more than ``MAX_PIXELS`` pixels, or in a
            format that cannot be displayed without guessing. The message names it.
        DependencyError: it needs an extra that is not installed: ``dicom``; ``heic``; ``volumes``; ``video``;
            ``codecs`` for compressions that Pillow does not have and for depths that it rounds down. The message
            names it.
        ConfigError: the range is empty.
    """
    if value_range is not None:
        check_range(value_range)
    called = name or _name_of(source)
    image = _read(source, called, value_range)
    pixels = np.ascontiguousarray(image.pixels)
    has_own_range = isinstance(source, Frame) and source.series.has_own_range
    return DecodedImage(pixels, called, (*image.notes, *(() if has_own_range else _of_range(pixels))))


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


def _read(source: object, name: str, value_range: Range | None) -> DecodedImage:
    if isinstance(source, np.ndarray):
        return DecodedImage(from_array(source, name), name)
    if isinstance(source, Image.Image):
        return DecodedImage(pillow.from_image(source, name), name)
    if isinstance(source, bytes):
        return _from_stream(BytesIO(source), name, value_range)
    if isinstance(source, Frame):
        return source.read(value_range)
    if isinstance(source, str | os.PathLike):
        return _from_path(source, name, value_range)
    raise InputError("an image is a path, bytes, a PIL image or an array", type(source).__name__, "pass one of these")


def _from_path(source: str | os.PathLike[str], name: str, value_range: Range | None) -> DecodedImage:
    path = Path(source)
    if not os.path.exists(path):
        named = frame_name(source)
        if named is None or not named[0].is_file():
            raise InputError("an image file must exist", name, "check the path")
        return open_series(named[0], most=named[1] + 1).read(named[1], value_range)
    if not path.is_file():
        raise InputError("an image must be a file", f"{name} (a folder or a device)", "name the files in it")
    with reading(name):
        stream = path.open("rb")
    with stream:
        return _from_stream(stream, name, value_range)


def _read_png(stream: Stream, name: str) -> DecodedImage:
    image = pillow.read(stream, name)
    pixels, notes = of_few_bits(image.pixels, bits_of_png(stream, image.pixels))
    return DecodedImage(pixels, name, (*image.notes, *notes))


READERS: dict[kinds.FileKind | None, Callable[[Stream, str], DecodedImage]] = {
    kinds.AVIF: heif.read_avif,
    kinds.HEIF: heif.read_heif,
    kinds.JPEG: jpeg.read_jpeg,
    kinds.JPEG_2000: jpeg.read_jpeg_2000,
    kinds.NETPBM: netpbm.read,
    kinds.PNG: _read_png,
}
"""All other formats are read by Pillow."""
OF_UNITS: dict[kinds.FileKind | None, Callable[[Stream, str, Range | None], DecodedImage]] = {
    kinds.DICOM: dicom.read,
    kinds.TIFF: tiff.read,
}
"""Those whose samples have a scale of their own, in which a range is given."""


def _from_stream(stream: Stream, name: str, value_range: Range | None) -> DecodedImage:
    with reading(name):
        head = stream.read(kinds.HEAD_LENGTH)
        stream.seek(0)
    if not head:
        raise unreadable(name, "it is empty")
    kind = kinds.kind_of(head, name)
    if kind and kind.refused:
        raise kinds.refusal(kind, name)
    if kind in OF_UNITS:
        return OF_UNITS[kind](stream, name, value_range)
    if value_range is None:
        return READERS.get(kind, pillow.read)(stream, name)
    image = (pillow.read if kind is kinds.PNG else READERS.get(kind, pillow.read))(stream, name)
    return replace(image, pixels=in_range(image.pixels, value_range))
