"""Masks: the truth per pixel."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image

from zsad.data._reading import UNREADABLE
from zsad.errors import InputError
from zsad.types import Size

LOSSY = {"JPEG", "WEBP"}
BROKEN: tuple[type[Exception], ...] = (*UNREADABLE, Image.DecompressionBombError)


def read_mask(path: Path, size: Size) -> Bool[np.ndarray, "rows cols"]:
    """Which pixels are anomalous: those above 0 in any colour; in a lossy file, above one half of 255.

    Transparency and orientation tags are not looked at: masks are drawings of the pixels as they are stored.

    Args:
        path: the file.
        size: (rows, cols) of the picture that the mask belongs to.

    Raises:
        InputError: the file cannot be read, or its size is not the picture's.
    """
    values, threshold = mask_values(path)
    if values.shape != size:
        raise InputError(
            "a mask has the size of its picture",
            f"{path} of {values.shape[0]}×{values.shape[1]} px for {size[0]}×{size[1]} px",
            "check which picture it belongs to",
        )
    return values > threshold


def mask_values(path: Path) -> tuple[Shaped[np.ndarray, "rows cols"], int]:
    """What a mask stores, of colours the brightest, and the value above which a pixel is anomalous.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            lossy = image.format in LOSSY
            deep = image.mode.startswith(("I", "F"))
            values = np.asarray(image if deep else image.convert("RGB"))
    except BROKEN as error:
        raise InputError("a mask is a readable picture", f"{path}: {error}", "repair or replace the file") from error
    return values if deep else values.max(axis=2), 127 if lossy else 0


def resize_mask(mask: Bool[np.ndarray, "rows cols"], size: Size) -> Bool[np.ndarray, "new_rows new_cols"]:
    """The mask at another size: resized bilinearly with antialiasing and cut at one half.

    As in the published code of VAND and its descendants, to the pixel.
    """
    if mask.shape == size:
        return mask
    whole = Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(whole) > 127
