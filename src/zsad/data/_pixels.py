"""Arithmetic on pixel arrays that the decoders share. Nothing here chooses a scale by what an image contains."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16

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
