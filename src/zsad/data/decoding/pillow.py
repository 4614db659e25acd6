"""Everything that Pillow decodes faithfully -> RGB pixels, and 16-bit colours, which it rounds down to 8 bits.

Pillow unpacks 16-bit colours of PNG and TIFF by a "raw mode" that keeps the high byte of each sample. With the raw
mode of the other byte order it keeps the low byte: two passes give all sixteen bits, with Pillow's checks for broken
files.
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt16
from PIL import ExifTags, Image, ImageFile

from zsad.data.decoding.guard import UNREADABLE, Stream, check_size, reading
from zsad.data.decoding.pixels import Pixels, from_cmyk, from_unit, to_rgb, upright
from zsad.errors import InputError
from zsad.files import open_file
from zsad.types import DecodedImage

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "AVIF")
"""Raster formats with a signature, whose decoders detect truncation. Other formats of Pillow run external programs
(EPS), render (WMF), accept almost any bytes (TGA), or may fill in truncated files (JPEG 2000)."""

BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, Image.DecompressionBombError)
"""What opening a file with Pillow can raise."""

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
SPREAD = {"L;2": 85, "L;4": 17}
"""Raw modes of grey with fewer than 8 bits, and the factor to the range of 8."""
SHALLOW_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "La", "PA", "RGBA", "RGBa")


def read(stream: Stream, name: str) -> DecodedImage:
    """Decode a file that is open for reading; its first frame."""
    with open_image(stream, name) as image:
        return DecodedImage(from_image(image, name), name, notes_of(image))


def open_image(stream: Stream, name: str, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Read the header only."""
    with reading(name):
        return Image.open(stream, formats=formats)


def from_image(image: Image.Image, name: str) -> Pixels:
    """Decode an image that has been opened or made; the frame it stands at."""
    check_size(image.height, image.width, name)
    with reading(name):
        if is_deep_colour(image):
            pixels, image = deep_colours(image)
        else:
            _load(image)
            pixels = to_rgb(_samples(image, name))
        return upright(pixels, orientation(image))


def _load(image: Image.Image) -> None:
    """Load, and correct the transparent value of grey PNG of 2 and 4 bits, which refers to unscaled samples."""
    spread = SPREAD.get(raw_mode(image), 1)
    image.load()
    clear = image.info.get("transparency")
    if spread > 1 and image.format == "PNG" and isinstance(clear, int):
        image.info["transparency"] = clear * spread


def _samples(image: Image.Image, name: str) -> Shaped[np.ndarray, "rows cols *channels"]:
    """Grey, RGB or RGBA samples in uint8 or uint16, never through a ``convert`` that clips."""
    if image.mode in DEEP_MODES:
        return _deep(image)
    if image.mode == "I":
        return _whole_numbers(image, name)
    if image.mode == "F":
        return from_unit(np.asarray(image))
    if image.mode not in SHALLOW_MODES:
        raise InputError(
            f"an image is in one of the colour modes {', '.join(SHALLOW_MODES + DEEP_MODES)}, I, F",
            f"{name} in mode {image.mode}",
            "convert it to RGB first",
        )
    return _shallow(image)


def _deep(image: Image.Image) -> Shaped[np.ndarray, "rows cols"]:
    grey = np.asarray(image).astype(np.uint16)
    clear = image.info.get("transparency")  # PNG: the one transparent grey value
    if isinstance(clear, int):
        grey[grey == clear] = 65535
    return grey


def _whole_numbers(image: Image.Image, name: str) -> Shaped[np.ndarray, "rows cols"]:
    """Mode I holds 32-bit numbers, by Pillow's convention those of a 16-bit image."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise InputError(
            "an image of whole numbers lies in [0, 65535]",
            f"{name} with values from {grey.min()} to {grey.max()}",
            "scale it to 16 bits first",
        )
    return grey.astype(np.uint16)


def _shallow(image: Image.Image) -> Shaped[np.ndarray, "rows cols channels"]:
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    if image.mode == "CMYK" and _is_plain_cmyk_jpeg(image):
        # Pillow inverts the inks of every CMYK JPEG, which is right only where Adobe's marker announces it.
        image = Image.fromarray(255 - np.asarray(image), "CMYK")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # convert would copy


def _is_plain_cmyk_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO") and "adobe" not in image.info


def orientation_of(path: Path) -> object:
    """EXIF orientation of an image file, 1 to 8; 1 where it has none or cannot be read."""
    try:
        with open_file(path) as file, Image.open(file, formats=FORMATS) as image:
            return orientation(image)
    except InputError:
        return 1
    except BROKEN:
        return 1


def orientation(image: Image.Image) -> object:
    """EXIF orientation 1 to 8. (Pillow has already applied that of a TIFF, and then reports 1.)"""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except UNREADABLE:
        return 1


def notes_of(image: Image.Image) -> tuple[str, ...]:
    """A note where there are further frames."""
    try:
        frames = _frame_count(image)
    except UNREADABLE:
        return ("the first frame was read; what follows it is damaged",)
    return (f"frame 1 of {frames} was read",) if frames > 1 else ()


def _frame_count(image: Image.Image) -> int:
    """The number of frames; of a multi-picture JPEG (MPO) those of one size: previews and gain maps are smaller."""
    frames: int = getattr(image, "n_frames", 1)
    if image.format != "MPO":
        return frames
    size = image.size
    return 1 + sum(_size_of(image, number) == size for number in range(1, frames))


def _size_of(image: Image.Image, frame: int) -> tuple[int, int]:
    image.seek(frame)
    return image.size


COLOURS = ("RGB", "RGBX", "RGBA", "RGBa", "CMYK")
GREY_ALPHA = "LA;16B"
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image that has been opened, and not yet loaded, holds 16-bit colours or grey with alpha."""
    kind, deep, _ = raw_mode(image).partition(";16")
    return bool(deep) and (kind in COLOURS or raw_mode(image) == GREY_ALPHA)


def deep_colours(image: Image.Image) -> tuple[Pixels, Image.Image]:
    """RGB in uint16 of the current frame of such an image, and the loaded image."""
    samples, loaded = deep_samples(image)
    return to_rgb(samples, premultiplied=raw_mode(image).startswith("RGBa")), loaded


def deep_samples(image: Image.Image) -> tuple[UInt16[np.ndarray, "rows cols channels"], Image.Image]:
    """Grey or RGB, with alpha where the file has it, and the loaded image."""
    assert isinstance(image, ImageFile.ImageFile)
    kind, _, order = raw_mode(image).partition(";16")
    if kind == "LA":  # Pillow has no raw mode for its low bytes: the four bytes of a pixel are used directly
        loaded = _loaded(image, "RGBA")
        return np.asarray(loaded).view(">u2").astype(np.uint16), loaded
    raw = "RGBA" if kind == "RGBa" else kind  # by the other name Pillow would divide by alpha
    low = _bytes(_loaded(image, f"{raw};16{OTHER_ORDER[order]}"))
    loaded = _loaded(image, f"{raw};16{order}")
    samples = low | _bytes(loaded) << 8
    return from_cmyk(samples) if kind == "CMYK" else _keyed(samples, loaded), loaded


def raw_mode(image: Image.Image) -> str:
    """The raw mode of an image that is not loaded yet; "" where tiles differ, and after loading."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    modes = {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in tiles}
    return modes.pop() if len(modes) == 1 else ""


def _loaded(image: ImageFile.ImageFile, raw: str) -> Image.Image:
    """The same frame, unpacked under another raw mode."""
    assert image.fp is not None
    image.fp.seek(0)
    reopened = Image.open(image.fp, formats=[str(image.format)])
    assert isinstance(reopened, ImageFile.ImageFile)
    reopened.seek(image.tell())
    reopened.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in reopened.tile
    ]
    reopened.load()
    return reopened


def _bytes(image: Image.Image) -> UInt16[np.ndarray, "rows cols channels"]:
    return np.asarray(image).astype(np.uint16)


def _keyed(
    samples: UInt16[np.ndarray, "rows cols channels"], image: Image.Image
) -> Shaped[np.ndarray, "rows cols either"]:
    """With an alpha channel where a PNG names one transparent colour."""
    clear = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(clear, tuple) or samples.shape[2] != 3:
        return samples
    opaque = (samples != np.array(clear, np.uint16)).any(axis=2, keepdims=True)
    return np.concatenate([samples, opaque * np.uint16(65535)], axis=2)
