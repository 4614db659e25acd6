"""Everything that Pillow decodes faithfully -> RGB pixels."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image

from zsad.data._deep import deep_colours, is_deep_colour, raw_mode
from zsad.data._pixels import Pixels, from_unit, to_rgb, upright
from zsad.data._reading import UNREADABLE, Stream, check_size, reading
from zsad.errors import InputError
from zsad.files import open_file
from zsad.types import DecodedImage

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "AVIF")
"""Raster formats with a signature, whose decoders notice a missing end. Others of Pillow's run foreign programs (EPS),
render (WMF), take almost any bytes for theirs (TGA), or may fill in what a truncated file lacks (JPEG 2000)."""

BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, Image.DecompressionBombError)
"""What opening a file with Pillow can raise."""

DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
SPREAD = {"L;2": 85, "L;4": 17}
"""Raw modes of grey with few bits, and what their samples are multiplied by to fill eight."""
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
    """Also mends what Pillow says of grey PNG of 2 and 4 bits: its see-through value is meant before it is spread."""
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
    clear = image.info.get("transparency")  # PNG: the one grey value that is see-through
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
    """EXIF orientation that an image's file asks for, 1 to 8; 1 where it does not, or cannot be read here."""
    try:
        with open_file(path) as file, Image.open(file, formats=FORMATS) as image:
            return orientation(image)
    except InputError:
        return 1
    except BROKEN:
        return 1


def orientation(image: Image.Image) -> object:
    """EXIF orientation 1 to 8. (Pillow has turned a TIFF already, and then reports 1.)"""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except UNREADABLE:
        return 1


def notes_of(image: Image.Image) -> tuple[str, ...]:
    """That it has further frames."""
    try:
        frames = _frame_count(image)
    except UNREADABLE:
        return ("the first frame was read; what follows it is damaged",)
    return (f"frame 1 of {frames} was read",) if frames > 1 else ()


def _frame_count(image: Image.Image) -> int:
    """Of a JPEG that holds others (MPO) those of the same size: previews and maps of gains are smaller."""
    frames: int = getattr(image, "n_frames", 1)
    if image.format != "MPO":
        return frames
    size = image.size
    return 1 + sum(_size_of(image, number) == size for number in range(1, frames))


def _size_of(image: Image.Image, frame: int) -> tuple[int, int]:
    image.seek(frame)
    return image.size
