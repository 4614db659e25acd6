"""The two passes over a folder that is scored as a whole.

first pass: every image is decoded, reduced to the batch that a method takes, and forgotten; its pixels leave a hash.
second pass: every image is decoded again, for its size and for reports, and keeps its score if it is still the same.

Nothing of full resolution is held for longer than a batch, so that memory does not grow with the folder.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from zsad.errors import InputError
from zsad.methods._transductive import FolderScores
from zsad.threads import in_order, readers
from zsad.types import DecodedImage, Evidence, Failure

T = TypeVar("T")
Progress = Callable[[int], None]


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of that length; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


class FirstPass:
    """Loads the images of a folder for a method, and remembers what they looked like.

    Args:
        read: an image by its index; called in a thread, ahead of its use.
        to_pixels: from images to the batch that the method takes; called in the same thread.
        batch_size: images in a batch, at most.
        progress: called after each batch with the number of images that were tried so far.
        threads: that read.
    """

    def __init__(
        self,
        read: Callable[[int], DecodedImage | Failure],
        to_pixels: Callable[[Sequence[DecodedImage]], Tensor],
        batch_size: int,
        progress: Progress | None = None,
        threads: int = 1,
    ) -> None:
        self._read, self._to_pixels, self._batch_size, self._threads = read, to_pixels, batch_size, threads
        self._progress = progress or (lambda _: None)
        self._digests: dict[int, bytes | None] = {}
        self._tried: set[int] = set()

    def load(self, indices: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """See :class:`zsad.methods.LoadImages`. What was read before and looks different now counts as unreadable."""
        with readers(self._threads) as pool:
            batches = chunks(indices, self._batch_size)
            for batch, found, pixels in in_order(pool, self._batch, batches, self._threads):
                if pixels is not None:
                    yield found, pixels
                self._tried.update(batch)
                self._progress(len(self._tried))

    def is_unchanged(self, index: int, image: DecodedImage) -> bool:
        """Whether an image is what was loaded."""
        return self._digests.get(index) == digest(image)

    def _batch(self, indices: list[int]) -> tuple[list[int], list[int], Tensor | None]:
        """The indices of a batch, those that can be read, and their pixels."""
        images = {index: image for index in indices if (image := self._image(index)) is not None}
        return indices, list(images), self._to_pixels(list(images.values())) if images else None

    def _image(self, index: int) -> DecodedImage | None:
        """The image, if it can be read and is the one that was read before."""
        item = self._read(index)
        image = None if isinstance(item, Failure) else item
        found = None if image is None else digest(image)
        return image if self._digests.setdefault(index, found) == found else None


class ScoredFolder:
    """What the first pass found, for the second.

    Args:
        scores: of the method.
        first_pass: that it loaded the images with.
    """

    def __init__(self, scores: FolderScores, first_pass: FirstPass) -> None:
        self.explanation, self.by_one_another = scores.explanation, scores.by_one_another
        self._evidence, self._first_pass = scores.evidence, first_pass
        self._rows = {index: row for row, index in enumerate(scores.indices)}

    def checked(self, index: int, item: DecodedImage | Failure) -> DecodedImage | Failure:
        """The image that was decoded again, or why it has no score."""
        if isinstance(item, Failure) or (index in self._rows and self._first_pass.is_unchanged(index, item)):
            return item
        rule = "an image stays as it is while its folder is scored"
        error = InputError(rule, f"{item.source}, which changed in between", "score the folder again")
        return Failure(item.source, str(error))

    def evidence(self, indices: Iterable[int]) -> Evidence:
        """Of these images."""
        rows, found = torch.tensor([self._rows[index] for index in indices]), self._evidence
        return Evidence(
            found.maps[rows], found.score[rows], logits=None if found.logits is None else found.logits[rows]
        )


def digest(image: DecodedImage) -> bytes:
    """SHA-256 of size, depth and pixels."""
    kind = f"{image.pixels.shape} {image.pixels.dtype} ".encode()
    found = hashlib.sha256(kind)
    found.update(np.ascontiguousarray(image.pixels).data)
    return found.digest()
