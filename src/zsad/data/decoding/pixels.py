"""Pixel arrays -> RGB, and the arithmetic that the decoders share. Scales never depend on the content of an image."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16

from zsad.data.decoding.guard import check_size
from zsad.errors import InputError

Pixels = UInt8[np.ndarray, "rows cols 3"] | UInt16[np.ndarray, "rows cols 3"]


def to_rgb(pixels: Shaped[np.ndarray, "rows cols *channels"], premultiplied: bool = False) -> Pixels:
    """Grey, grey + alpha, RGB or RGBA in uint8 or uint16 -> RGB of the same depth, composited on white.

    Args:
        pixels: (rows, cols) or (rows, cols, 1 to 4) in uint8 or uint16.
        premultiplied: whether the colours have been multiplied by alpha already.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (2, 4):
        pixels = _over_white(pixels[..., :-1], pixels[..., -1:], premultiplied)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def from_unit(values: Float[np.ndarray, "*shape"]) -> UInt16[np.ndarray, "*shape"]:
    """Floats in [0, 1] -> uint16 over its full range, rounded to nearest. ``ValueError`` for anything else, NaN too."""
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError("float samples must be finite and lie in [0, 1]")
    return np.rint(values.astype(np.float64) * 65535).astype(np.uint16)


def full_range(values: Shaped[np.ndarray, "*shape"], largest: int) -> Shaped[np.ndarray, "*shape"]:
    """Unsigned samples of up to ``largest`` -> uint8 (where that is at most 255) or uint16, over their full range."""
    dtype, top = (np.uint8, 255) if largest <= 255 else (np.uint16, 65535)
    if largest == top:
        return values.astype(dtype, copy=False)
    scaled: Shaped[np.ndarray, "*shape"] = (values.astype(np.uint32) * top + largest // 2) // largest
    return scaled.astype(dtype)


def from_cmyk(inks: UInt16[np.ndarray, "rows cols 4"]) -> UInt16[np.ndarray, "rows cols 3"]:
    """(1 - ink) x (1 - black), rounded to nearest."""
    paper = 65535 - inks.astype(np.uint32)
    return ((paper[..., :3] * paper[..., 3:] + 32767) // 65535).astype(np.uint16)


Plane = Shaped[np.ndarray, "rows cols *channels"]
Turned = Shaped[np.ndarray, "upright_rows upright_cols *channels"]


def upright(pixels: Plane, orientation: object) -> Turned:
    """Undo an EXIF or TIFF orientation (1 to 8); anything else counts as 1."""
    turn: dict[int, Callable[[Plane], Turned]] = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[:, ::-1],
        7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
        8: lambda p: p.swapaxes(0, 1)[::-1],
    }
    return turn[orientation](pixels) if isinstance(orientation, int) and orientation in turn else pixels


def _over_white(
    colours: Shaped[np.ndarray, "rows cols channels"], alpha: Shaped[np.ndarray, "rows cols 1"], premultiplied: bool
) -> Shaped[np.ndarray, "rows cols channels"]:
    top = np.uint32(np.iinfo(colours.dtype).max)
    ink, white = colours.astype(np.uint32), top - alpha.astype(np.uint32)
    if not premultiplied:  # 65535 * 65535 + 32767 still fits into 32 bits; an opaque pixel stays as it is
        ink = (ink * alpha + top // 2) // top
    return np.minimum(ink + white, top).astype(colours.dtype)


def from_array(array: Shaped[np.ndarray, "..."], name: str) -> Pixels:
    """RGB pixels of an array (rows, cols), (rows, cols, 1), (rows, cols, 3) or (rows, cols, 4 = RGBA).

    uint8 stays, bool becomes 0 or 255, uint16 stays, floats within [0, 1] become uint16 over its full range.
    """
    _check_shape(array, name)
    return to_rgb(_to_unsigned(array, name))


def _check_shape(array: Shaped[np.ndarray, "..."], name: str) -> None:
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise InputError(
            "an array image has the shape (rows, cols) or (rows, cols, 1, 3 or 4)",
            f"{name} of shape {array.shape}",
            "put the channels last, and pass the images of a batch one by one",
        )
    check_size(array.shape[0], array.shape[1], name)


def _to_unsigned(array: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    kind, width = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "u" and width <= 2:
        return array.astype(np.uint8 if width == 1 else np.uint16, copy=False)  # in the byte order of this machine
    if kind == "f":
        return _floats(array, name)
    raise InputError(
        "an array image is of uint8, uint16, bool or float",
        f"{name} of {array.dtype}",
        "convert it, for example to float by dividing by its largest possible value",
    )


def _floats(array: Shaped[np.ndarray, "..."], name: str) -> Shaped[np.ndarray, "..."]:
    try:
        return from_unit(array)
    except ValueError as error:
        raise InputError(
            "a float image is finite and lies in [0, 1]",
            f"{name} with values from {array.min()} to {array.max()}",
            "divide it by its largest possible value",
        ) from error
