"""Anomaly maps in files of other tools: NumPy arrays, grey PNG of 8 or 16 bits, TIFF of integers or floats."""

from pathlib import Path
from tokenize import TokenError

import numpy as np
from jaxtyping import Float32
from PIL import Image

from zsad.data.decoding import pillow
from zsad.data.decoding.guard import Stream, check_size, reading
from zsad.data.decoding.tiff_segments import check_segments
from zsad.errors import InputError

SUFFIXES = (".npy", ".tiff", ".tif", ".png")
"""Of maps; where several files have one name, the first of these is taken."""
GREY = ("1", "L", "I;16", "I;16B")
"""Modes of Pillow."""


def read_map(path: Path) -> Float32[np.ndarray, "rows cols"]:
    """The map in a file: floats as they are, integers of 8 and 16 bits divided by their largest value.

    Raises:
        InputError: it cannot be read, is in colours, has other than two axes (apart from axes of length 1), or a value
            that is not finite.
    """
    name = str(path)
    with reading(name, TokenError):  # of a damaged header of an array
        if path.suffix.lower() == ".npy":
            values = np.load(path, mmap_mode="r", allow_pickle=False)  # its size is checked against that of the file
        else:
            with path.open("rb") as stream:
                values = _png(stream, name) if path.suffix.lower() == ".png" else _tiff(stream, name)
    return _unit(np.asarray(values), name)


def _png(stream: Stream, name: str) -> np.ndarray:
    with pillow.open_image(stream, name, ("PNG",)) as image:
        check_size(image.height, image.width, name)
        if image.mode not in GREY:
            raise _refused(name, f"a PNG of mode {image.mode}")
        return _array(image)


def _array(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    return values.astype(np.uint16) if image.mode.startswith("I;16") else values


def _tiff(stream: Stream, name: str) -> np.ndarray:
    from tifffile import TiffFile

    with TiffFile(stream) as file:
        page = file.pages[0].aspage()
        check_size(page.imagelength, page.imagewidth, name)
        check_segments(page, stream, name)
        values: np.ndarray = page.asarray()
    return values


def _unit(values: np.ndarray, name: str) -> Float32[np.ndarray, "rows cols"]:
    shape = values.shape
    if values.ndim > 2:
        values = values.squeeze()
    if values.ndim != 2:
        raise _refused(name, f"an array of shape {shape}")
    check_size(values.shape[0], values.shape[1], name)
    if values.dtype == bool:
        return values.astype(np.float32)
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if values.dtype.kind != "f":
        raise _refused(name, f"values of {values.dtype}")
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise InputError("the values of an anomaly map are finite", name, "write it again")
    return floats


def _refused(name: str, found: str) -> InputError:
    rule = "an anomaly map has rows and columns of floats, or of integers without sign of 8 or 16 bits"
    return InputError(rule, f"{name} ({found})", "save the values themselves, as .npy or as grey PNG or TIFF")
