"""Training images and masks: read once, and kept in memory while there is room."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Bool

from zsad.data.decode import decode
from zsad.data.layouts import Sample
from zsad.data.masks.ground_truth import read_mask, resize_mask
from zsad.data.preprocess import to_batch
from zsad.errors import InputError
from zsad.files import content_hash, contents_hash
from zsad.threads import readers
from zsad.types import DecodedImage, Size

AHEAD = 2
"""Batches that are read in advance."""


@dataclass(frozen=True)
class TrainingBatch:
    """A batch at the image size of the method.

    Attributes:
        indices: their indices in the training set.
        pixels: in [0, 1], not normalised.
        original_sizes: (rows, cols) of each image before it was resized; () without pixels.
        masks: 0 normal, 1 anomalous.
        labels: 0 normal, 1 anomalous.
    """

    indices: tuple[int, ...]
    pixels: torch.Tensor
    original_sizes: tuple[Size, ...]
    masks: torch.Tensor
    labels: torch.Tensor


class TrainingImages:
    """Labelled samples, each decoded and resized at most once while they fit into ``memory`` bytes.

    A mask is binarised at its own size, resized bilinearly with antialiasing and thresholded at 0.5, as in the
    published code of VAND and its descendants.

    Raises:
        InputError: there are no anomalous or no normal samples.
    """

    def __init__(self, samples: Sequence[Sample], side: int, memory: int = 2 << 30) -> None:
        self.samples = [
            sample for sample in samples if sample.label == 0 or (sample.label == 1 and sample.mask is not None)
        ]
        self.left_out = len(samples) - len(self.samples)
        counts = [sum(sample.label == label for sample in self.samples) for label in (0, 1)]
        if 0 in counts:
            raise InputError(
                "training needs normal images, and anomalous ones with masks",
                f"{counts[0]} and {counts[1]}",
                "name data sets or a split that have both",
            )
        self.size: Size = (side, side)
        self._memory_left, self._lock = memory, Lock()
        self._images: dict[int, DecodedImage] = {}
        self._original_sizes: dict[int, Size] = {}
        self._masks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: Sequence[int], with_pixels: bool = True) -> TrainingBatch:
        """Read some samples; ``pixels`` is empty without ``with_pixels``."""
        images = [self._image(index) for index in indices] if with_pixels else []
        return TrainingBatch(
            tuple(indices),
            to_batch(images, self.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).pixels,
            tuple(self._original_sizes[index] for index in indices) if with_pixels else (),
            torch.from_numpy(np.stack([self._mask(index) for index in indices]).astype(np.float32)),
            torch.tensor([float(self.samples[index].label or 0) for index in indices]),
        )

    def batches(
        self, numbers: Iterable[Sequence[int]], workers: int, with_pixels: bool = True
    ) -> Iterator[TrainingBatch]:
        """Batches in the given order, read in advance by ``workers`` threads."""
        with readers(workers) as pool:
            pending: deque[Future[TrainingBatch]] = deque()
            for indices in numbers:
                pending.append(pool.submit(self.batch, indices, with_pixels))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def drop_pixels(self) -> None:
        """Free the memory of the images for the masks, once only features are needed."""
        with self._lock:
            self._memory_left += sum(image.pixels.nbytes for image in self._images.values())
            self._images.clear()

    def hashes(self, workers: int) -> tuple[list[str], list[str]]:
        """SHA-256 of each image's file, and of its masks (empty where there is none)."""
        with readers(workers) as pool:
            images = list(pool.map(content_hash, [sample.image for sample in self.samples]))
            return images, list(pool.map(contents_hash, [sample.masks for sample in self.samples]))

    def _image(self, index: int) -> DecodedImage:
        if index not in self._images:
            original = decode(self.samples[index].image)
            self._original_sizes[index] = original.size
            image = _resized(original, self.size)
            if not self._fits(image.pixels):
                return image
            self._images[index] = image
        return self._images[index]

    def _mask(self, index: int) -> Bool[np.ndarray, "rows cols"]:
        if index not in self._masks:
            mask = _read_mask(self.samples[index], self.size)
            if not self._fits(mask):
                return mask
            self._masks[index] = mask
        return self._masks[index]

    def _fits(self, array: np.ndarray) -> bool:
        with self._lock:
            fits = array.nbytes <= self._memory_left
            self._memory_left -= array.nbytes if fits else 0
        return fits


def _resized(image: DecodedImage, size: Size) -> DecodedImage:
    """At the image size of the method and in the bit depth of the file, so that it takes little memory."""
    scale = 255 if image.pixels.dtype == np.uint8 else 65535
    pixels = to_batch([image], size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)).pixels[0].permute(1, 2, 0).numpy()
    return DecodedImage(np.rint(pixels * scale).astype(image.pixels.dtype), image.source)


def _read_mask(sample: Sample, size: Size) -> Bool[np.ndarray, "rows cols"]:
    if sample.mask is None:
        return np.zeros(size, bool)
    return resize_mask(read_mask(sample.masks, decode(sample.image).size, sample.image), size)
