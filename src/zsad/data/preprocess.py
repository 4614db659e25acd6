"""Images -> the batch a backbone takes: squashed to one size, scaled to [0, 1], normalised."""

from collections.abc import Sequence

import torch

from zsad.data.resizing import to_array
from zsad.types import DecodedImage, ImageBatch, Size


def to_batch(images: Sequence[DecodedImage], size: Size, mean: Sequence[float], std: Sequence[float]) -> ImageBatch:
    """Resize and normalise images of any sizes, as :func:`zsad.data.resizing.to_array` does.

    Args:
        images, size, mean, std: as there.

    Returns:
        Float32 pixels of shape (batch, 3, rows, cols), contiguous, with the sizes and sources of the images.
    """
    sizes, sources = tuple(image.size for image in images), tuple(image.source for image in images)
    return ImageBatch(torch.from_numpy(to_array(images, size, mean, std)), sizes, sources)
