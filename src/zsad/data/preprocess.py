"""Images -> the batch a backbone takes: squashed to one size, scaled to [0, 1], normalised."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from zsad.types import DecodedImage, ImageBatch, Size


def to_batch(images: Sequence[DecodedImage], size: Size, mean: Sequence[float], std: Sequence[float]) -> ImageBatch:
    """Resize and normalise images of any sizes.

    The whole image is squashed to ``size`` without cropping, by Pillow's antialiased bicubic filter: for 8-bit
    images exactly the pixels that CLIP's own preprocessing gives; for 16-bit images the same in floating point.

    Args:
        images: any number of them.
        size: (rows, cols) of the result.
        mean: of the three channels, on the scale [0, 1].
        std: of the three channels, on the scale [0, 1].

    Returns:
        Float32 pixels of shape (batch, 3, rows, cols), contiguous, with the sizes and sources of the images.
    """
    batch = np.empty((len(images), 3, *size), dtype=np.float32)
    for target, image in zip(batch, images, strict=True):
        _fill(target, image, size)
    batch -= np.asarray(mean, dtype=np.float32)[:, None, None]
    batch /= np.asarray(std, dtype=np.float32)[:, None, None]
    sizes, sources = tuple(image.size for image in images), tuple(image.source for image in images)
    return ImageBatch(torch.from_numpy(batch), sizes, sources)


def _fill(target: Float32[np.ndarray, "3 rows cols"], image: DecodedImage, size: Size) -> None:
    """Write an image into its place, resized, in [0, 1]."""
    if image.pixels.dtype == np.uint8:
        np.divide(_resize_8_bit(image.pixels, size).transpose(2, 0, 1), np.float32(255), out=target)
        return
    for channel in range(3):
        target[channel] = _resize_16_bit(image.pixels[..., channel], size)
    np.clip(target, 0, 65535, out=target)
    target /= 65535


def _resize_8_bit(pixels: UInt8[np.ndarray, "from_rows from_cols 3"], size: Size) -> UInt8[np.ndarray, "rows cols 3"]:
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC))


def _resize_16_bit(pixels: UInt16[np.ndarray, "from_rows from_cols"], size: Size) -> Float32[np.ndarray, "rows cols"]:
    """One channel; may overshoot the range a little, as bicubic filters do."""
    return np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(size[::-1], Image.Resampling.BICUBIC))
