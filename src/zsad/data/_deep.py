"""16-bit colours of PNG and TIFF, which Pillow decodes faithfully and then rounds down to 8 bits.

Pillow unpacks such samples by a "raw mode" that keeps the high byte of each. Under the raw mode of the other byte order
it keeps the low byte: two passes give all sixteen bits, with all of Pillow's care for broken files.
"""

import sys

import numpy as np
from jaxtyping import Shaped, UInt16
from PIL import Image, ImageFile

from zsad.data._pixels import Pixels, from_cmyk, to_rgb

COLOURS = ("RGB", "RGBX", "RGBA", "RGBa", "CMYK")
GREY_ALPHA = "LA;16B"
OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image that has been opened, and not yet loaded, holds 16-bit colours or grey with alpha."""
    kind, deep, _ = raw_mode(image).partition(";16")
    return bool(deep) and (kind in COLOURS or raw_mode(image) == GREY_ALPHA)


def deep_colours(image: Image.Image) -> tuple[Pixels, Image.Image]:
    """RGB in uint16 of the frame at which such an image stands, and the image as it is once it has been loaded."""
    samples, loaded = deep_samples(image)
    return to_rgb(samples, premultiplied=raw_mode(image).startswith("RGBa")), loaded


def deep_samples(image: Image.Image) -> tuple[UInt16[np.ndarray, "rows cols channels"], Image.Image]:
    """Grey or RGB, with alpha where the file has it, and the image as it is once it has been loaded."""
    assert isinstance(image, ImageFile.ImageFile)
    kind, _, order = raw_mode(image).partition(";16")
    if kind == "LA":  # Pillow has no raw mode for its low bytes: the four bytes of a pixel are taken as they are
        loaded = _loaded(image, "RGBA")
        return np.asarray(loaded).view(">u2").astype(np.uint16), loaded
    raw = "RGBA" if kind == "RGBa" else kind  # by the other name Pillow would divide by alpha
    low = _bytes(_loaded(image, f"{raw};16{OTHER_ORDER[order]}"))
    loaded = _loaded(image, f"{raw};16{order}")
    samples = low | _bytes(loaded) << 8
    return from_cmyk(samples) if kind == "CMYK" else _keyed(samples, loaded), loaded


def raw_mode(image: Image.Image) -> str:
    """How the samples of an image that is not loaded yet lie in its file; "" where tiles differ, and once it is."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    modes = {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in tiles}
    return modes.pop() if len(modes) == 1 else ""


def _loaded(image: ImageFile.ImageFile, raw: str) -> Image.Image:
    """The same frame, unpacked under another raw mode."""
    assert image.fp is not None
    image.fp.seek(0)
    again = Image.open(image.fp, formats=[str(image.format)])
    assert isinstance(again, ImageFile.ImageFile)
    again.seek(image.tell())
    again.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in again.tile
    ]
    again.load()
    return again


def _bytes(image: Image.Image) -> UInt16[np.ndarray, "rows cols channels"]:
    return np.asarray(image).astype(np.uint16)


def _keyed(
    samples: UInt16[np.ndarray, "rows cols channels"], image: Image.Image
) -> Shaped[np.ndarray, "rows cols either"]:
    """With an alpha channel where a PNG names one colour that is see-through."""
    clear = image.info.get("transparency")
    if image.format != "PNG" or not isinstance(clear, tuple) or samples.shape[2] != 3:
        return samples
    opaque = (samples != np.array(clear, np.uint16)).any(axis=2, keepdims=True)
    return np.concatenate([samples, opaque * np.uint16(65535)], axis=2)
