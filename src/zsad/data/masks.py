"""Masks: the truth per pixel."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from zsad.data._labelme import drawn
from zsad.data._pillow import BROKEN, orientation_of
from zsad.data._pixels import upright
from zsad.errors import InputError
from zsad.types import Size

LOSSY = {"JPEG", "WEBP"}


def read_mask(path: Path, size: Size, picture: Path | None = None) -> Bool[np.ndarray, "rows cols"]:
    """Which pixels are anomalous: those above 0 in any colour; in a lossy file, above one half of 255.

    Masks are drawings of the picture's pixels as they are stored. Where a picture asks to be turned (EXIF), and is
    turned when it is decoded, its mask is turned with it, unless the mask's size says that it was drawn afterwards.
    Transparency and orientation tags of the mask itself are not looked at. A file ``*.json`` holds polygons of labelme.

    Args:
        path: the file.
        size: (rows, cols) of the picture that the mask belongs to, upright.
        picture: the file of that picture; where not given, nothing is turned.

    Raises:
        InputError: the file cannot be read, or its size is not the picture's.
    """
    values, threshold = mask_values(path)
    if picture is not None:
        values = turned(values, size, picture, path)
    if values.shape != size:
        raise InputError(
            "a mask has the size of its picture",
            f"{path} of {values.shape[0]}×{values.shape[1]} px for {size[0]}×{size[1]} px",
            "check which picture it belongs to",
        )
    return values > threshold


def turned(
    values: Shaped[np.ndarray, "rows cols"], size: Size, picture: Path, path: Path
) -> Shaped[np.ndarray, "upright_rows upright_cols"]:
    """What a mask stores, turned as its picture is, whose size is then ``size``; see :func:`read_mask`."""
    if _is_labelme(path):  # which shows pictures upright when they are drawn on
        return values
    with_picture = upright(values, orientation_of(picture))
    return values if values.shape == size != with_picture.shape else with_picture


def mask_values(path: Path) -> tuple[Shaped[np.ndarray, "rows cols"], int]:
    """What a mask stores, of colours the brightest, and the value above which a pixel is anomalous.

    Raises:
        InputError: the file cannot be read.
    """
    if _is_labelme(path):
        return drawn(path), 0
    try:
        with Image.open(path) as image:
            lossy = image.format in LOSSY
            deep = image.mode.startswith(("I", "F"))
            values = np.asarray(image if deep else image.convert("RGB"))
    except BROKEN as error:
        raise InputError("a mask is a readable picture", f"{path}: {error}", "repair or replace the file") from error
    return values if deep else values.max(axis=2), 127 if lossy else 0


def _is_labelme(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def resize_mask(mask: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "new_rows new_cols"]:
    """The mask at another size: resized bilinearly with antialiasing and cut at one half.

    As in the published code of VAND and its descendants, to the pixel.
    """
    if mask.shape == size:
        return mask
    whole = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(whole) > 127
