"""Mask files -> their samples as they are stored: at their own depth, transparency and palette beside the colours."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image

from zsad.data import _tiff, kinds
from zsad.data._pillow import DEEP_MODES
from zsad.data._pixels import Plane, upright
from zsad.data._reading import Stream, check_size, reading
from zsad.data.decode import decode
from zsad.errors import InputError

if TYPE_CHECKING:
    import tifffile

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "AVIF", "JPEG2000")
"""Of Pillow, by signature; none of them runs a foreign program. TIFF goes by way of tifffile."""

Loss = Literal["none", "possible", "certain"]
"""Whether pixels are others than were saved. JPEG 2000 and AVIF do not say: the reversible transform of JPEG 2000 is
cut off at a rate too."""

LOSSES: dict[str, Loss] = {"JPEG": "certain", "MPO": "certain", "AVIF": "possible", "JPEG2000": "possible"}


@dataclass(frozen=True)
class Stored:
    """What a mask file holds.

    Attributes:
        colours: grey or RGB, not negative.
        opacity: 0 is transparent; None where the file has none, or the same everywhere.
        numbers: of a palette, before it gives them colours; None where there is no palette.
        loss: of the compression.
        is_turned: whether the file itself says how it is turned; all of this is upright then.
    """

    colours: Shaped[np.ndarray, "rows cols channels"]
    opacity: Shaped[np.ndarray, "rows cols"] | None = None
    numbers: Shaped[np.ndarray, "rows cols"] | None = None
    loss: Loss = "none"
    is_turned: bool = False


TURNED = range(2, 9)
"""Orientations that are not upright already."""
MOST_PAGES = 100
"""Of a TIFF, that are looked at."""
TIFF_COLOURS = (_tiff.WHITE_IS_ZERO, _tiff.BLACK_IS_ZERO, _tiff.RGB)


def stored(path: Path) -> Stored:
    """Read a file.

    Raises:
        InputError: it is missing, broken or too large, of a kind that is no mask here, has several pages, or values
            that are negative or not finite.
    """
    name = str(path)
    if not path.is_file():
        reason = "a folder or a device" if os.path.exists(path) else "it does not exist"
        raise InputError("a mask is a file", f"{name}: {reason}", "check the path")
    with reading(name):
        stream = path.open("rb")
    with stream:
        found = _of_kind(stream, name)
    if not np.isfinite(found.colours).all() or found.colours.min() < 0:
        value = f"{name} with values from {found.colours.min()} to {found.colours.max()}"
        raise InputError("values of a mask are finite, and not negative", value, "save it anew with 0 for normal")
    return found


def _of_kind(stream: Stream, name: str) -> Stored:
    with reading(name):
        head = stream.read(kinds.HEAD_LENGTH)
        stream.seek(0)
    kind = kinds.kind_of(head, name)
    if kind is not None and (kind.refused is not None or kind is kinds.DICOM):
        raise InputError("a mask is a picture, or JSON of labelme", f"{name}: {kind.name}", "save it as PNG")
    if kind is kinds.TIFF:
        return _of_tiff(stream, name)
    if kind in (kinds.HEIF, kinds.JPEG_XL, kinds.JPEG_XR, kinds.JPEG_LS):
        return Stored(decode(name).pixels, loss="possible", is_turned=True)
    with reading(name), Image.open(stream, formats=FORMATS) as image:
        check_size(image.height, image.width, name)
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # in MPO the others are previews
            raise _several(image.n_frames, name)  # type: ignore[attr-defined]  # just looked at
        loss = _loss_of_webp(stream) if image.format == "WEBP" else LOSSES.get(str(image.format), "none")
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return _turned(*_samples(image, name), loss, orientation)


def _loss_of_webp(stream: Stream) -> Loss:
    """Lossless WebP has its pixels in a chunk VP8L, lossy in VP8; both may stand behind VP8X and others."""
    stream.seek(12)
    while len(chunk := stream.read(8)) == 8:
        if chunk[:4] in (b"VP8L", b"VP8 "):
            return "none" if chunk[:4] == b"VP8L" else "certain"
        length = int.from_bytes(chunk[4:], "little")
        stream.seek(length + length % 2, os.SEEK_CUR)
    return "certain"


Samples = tuple[Plane, Plane | None, Plane | None]
"""Colours, opacity, numbers."""


def _turned(colours: Plane, opacity: Plane | None, numbers: Plane | None, loss: Loss, orientation: object) -> Stored:
    """Upright, where the file says how. What stands upright and says so was drawn on an upright view."""
    says_so = isinstance(orientation, int) and 1 <= orientation <= 8
    layers = [None if one is None else upright(one, orientation) for one in (opacity, numbers)]
    return Stored(upright(colours, orientation), layers[0], layers[1], loss, is_turned=says_so)


def _samples(image: Image.Image, name: str) -> Samples:
    image.load()
    if image.mode in DEEP_MODES:
        grey, clear = np.asarray(image).astype(np.uint16), image.info.get("transparency")
        return grey[..., None], (grey != clear).astype(np.uint8) if isinstance(clear, int) else None, None
    if image.mode in ("I", "F"):
        return np.asarray(image)[..., None], None, None
    if image.mode not in ("1", "L", "P", "RGB", "RGBX", "YCbCr", "LA", "La", "PA", "RGBA", "RGBa"):
        raise InputError("a mask is grey, RGB or indexed", f"{name}: mode {image.mode}", "save it as PNG")
    numbers = np.asarray(image) if image.mode == "P" else None
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        samples = np.asarray(image.convert("RGBA"))
        return samples[..., :3], _varying(samples[..., 3]), numbers
    samples = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return samples.reshape(*samples.shape[:2], -1), None, numbers


def _varying(opacity: Plane) -> Plane | None:
    return None if opacity.min() == opacity.max() > 0 else opacity


def _of_tiff(stream: Stream, name: str) -> Stored:
    """By Pillow up to 8 bits, for all compressions of libtiff; else by tifffile, which has all kinds of samples."""
    from tifffile import TiffFile

    with reading(name), TiffFile(stream) as file:
        page = file.pages[0].aspage()
        check_size(page.imagelength, page.imagewidth, name)
        if any(_is_picture(file, number) for number in range(1, min(len(file.pages), MOST_PAGES))):
            raise _several(len(file.pages), name)
        compression, orientation = page.compression, page.tags.valueof(_tiff.ORIENTATION, 1)
        is_simple = page.dtype in (np.uint8, np.bool_)
        samples = None if is_simple else _by_tifffile(page, name)
    if samples is None:
        stream.seek(0)
        with reading(name), Image.open(stream, formats=("TIFF",)) as image:  # Pillow turns it
            samples = _samples(image, name)
    loss = _loss_of_tiff(compression)
    if orientation not in TURNED:
        return Stored(*samples, loss=loss)
    return _turned(*samples, loss, orientation) if not is_simple else Stored(*samples, loss=loss, is_turned=True)


def _is_picture(file: "tifffile.TiffFile", number: int) -> bool:
    return not file.pages[number].aspage().is_reduced


def _loss_of_tiff(compression: int) -> Loss:
    from tifffile import COMPRESSION

    if compression in (COMPRESSION.OJPEG, COMPRESSION.JPEG):
        return "certain"
    names = {one.name for one in COMPRESSION if one == compression}
    return "possible" if any(word in one for one in names for word in ("JP", "WEBP", "LERC", "LOG")) else "none"


def _by_tifffile(page: "tifffile.TiffPage", name: str) -> Samples:
    """Values as they are, signed and fractions too; white where the file has zero for it."""
    if page.axes not in ("YX", "YXS", "SYX") or page.photometric not in TIFF_COLOURS:
        value = f"{name}: axes {page.axes}, photometric interpretation {page.photometric}"
        raise InputError("a mask is grey or RGB", value, "save it as PNG")
    values = page.asarray()
    values = np.moveaxis(values, 0, 2) if page.axes == "SYX" else values.reshape(*values.shape[:2], -1)
    if page.photometric == _tiff.WHITE_IS_ZERO:
        values = values.max() - values if values.dtype.kind == "f" else np.iinfo(values.dtype).max - values
    colours = 3 if page.photometric == _tiff.RGB else 1
    has_opacity = values.shape[2] > colours and page.extrasamples[:1] in ((_tiff.ALPHA,), (_tiff.PREMULTIPLIED,))
    return values[..., :colours], _varying(values[..., colours]) if has_opacity else None, None


def _several(pages: int, name: str) -> InputError:
    return InputError("a mask is one page", f"{name}: {pages} pages or frames", "save each as a mask of its own")
