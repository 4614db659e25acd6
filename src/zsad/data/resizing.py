"""Images -> arrays of one size: squashed, scaled to [0, 1], normalised. Needs no PyTorch."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from zsad.types import DecodedImage, Size


def to_array(
    images: Sequence[DecodedImage], size: Size, mean: Sequence[float], std: Sequence[float]
) -> Float32[np.ndarray, "batch 3 rows cols"]:
    """Resize and normalise images of any sizes.

    The whole image is squashed to ``size`` without cropping, by Pillow's antialiased bicubic filter: for 8-bit
    images exactly the pixels that CLIP's own preprocessing gives; for 16-bit images the same in floating point.

    Args:
        images: any number of them.
        size: (rows, cols) of the result.
        mean: of the three channels, on the scale [0, 1].
        std: of the three channels, on the scale [0, 1].
    """
    batch = np.empty((len(images), 3, *size), dtype=np.float32)
    channels = np.asarray([mean, std], dtype=np.float32).T
    for target, image in zip(batch, images, strict=True):
        fill = _fill_8_bit if image.pixels.dtype == np.uint8 else _fill_16_bit
        fill(target, image.pixels, channels)
    return batch


def _fill_8_bit(
    target: Float32[np.ndarray, "3 rows cols"],
    pixels: UInt8[np.ndarray, "from_rows from_cols 3"],
    channels: Float32[np.ndarray, "3 2"],
) -> None:
    """Write an image into its place, resized and normalised by a table of the 256 levels."""
    resized = Image.fromarray(pixels).resize(target.shape[:0:-1], Image.Resampling.BICUBIC)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    for place, band, (mean, std) in zip(target, resized.split(), channels, strict=True):
        np.take((levels - mean) / std, np.asarray(band), out=place, mode="clip")  # other modes would copy


def _fill_16_bit(
    target: Float32[np.ndarray, "3 rows cols"],
    pixels: UInt16[np.ndarray, "from_rows from_cols 3"],
    channels: Float32[np.ndarray, "3 2"],
) -> None:
    """The same in floating point; bicubic filters may overshoot the range, which is clipped."""
    for channel in range(3):
        grey = Image.fromarray(pixels[..., channel].astype(np.float32))
        target[channel] = np.asarray(grey.resize(target.shape[:0:-1], Image.Resampling.BICUBIC))
    np.clip(target, 0, 65535, out=target)
    target /= 65535
    target -= channels[:, :1, None]
    target /= channels[:, 1:, None]
