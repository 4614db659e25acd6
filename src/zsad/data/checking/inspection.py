"""Every image and its masks, decoded once, by several threads; only what the rules need is kept."""

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from zsad.data.decode import decode
from zsad.data.layouts import Sample
from zsad.data.masks.ground_truth import Mask, orient_mask, read_mask_file
from zsad.data.masks.warnings import MaskWarning
from zsad.data.specification import DataSet
from zsad.errors import InputError
from zsad.files import content_hash
from zsad.threads import readers
from zsad.types import DecodedImage, Size

AHEAD = 4
"""Images that each thread may read ahead."""


@dataclass(frozen=True)
class MaskFacts:
    """Properties of a mask.

    Attributes:
        path: its file.
        size: (rows, cols) in px.
        anomalous: pixels above the threshold.
        values: the number of different values.
        threshold: the value above which a pixel is anomalous.
        warnings: codes of what may have been read wrongly.
    """

    path: Path
    size: Size
    anomalous: int
    values: int
    threshold: float
    warnings: frozenset[MaskWarning]


@dataclass(frozen=True)
class SampleFacts:
    """Properties of a sample.

    Attributes:
        sample: the sample.
        size: (rows, cols) of the image in px; None where it cannot be read.
        content: SHA-256 of the file, by which detectors record what they were trained on; empty where it cannot be
            read.
        pixels: SHA-256 of the decoded pixels, the same in every lossless format; empty where it cannot be read.
        masks: those that can be read.
        broken: files that cannot be read, with the reason; an empty reason where they do not exist.
    """

    sample: Sample
    size: Size | None
    content: str
    pixels: bytes
    masks: tuple[MaskFacts, ...]
    broken: tuple[tuple[Path, str], ...]


@dataclass(frozen=True)
class InspectedDataSet:
    """A data set with the facts of all its samples.

    Attributes:
        name: by which findings call it; no two have the same.
        data_set: the samples that the layout found.
        facts: in the order of its samples.
        is_trained_on: whether the user said so.
    """

    name: str
    data_set: DataSet
    facts: tuple[SampleFacts, ...]
    is_trained_on: bool = False

    @property
    def is_published(self) -> bool:
        """Whether it has its published name and its published numbers are known."""
        return self.data_set.name == self.data_set.layout and bool(self.data_set.kind.counts)

    def relative(self, path: Path) -> str:
        """The path relative to the root, with ``/``."""
        return Path(os.path.relpath(path, self.data_set.root)).as_posix()


def inspect(samples: Iterable[Sample], workers: int) -> Iterator[SampleFacts]:
    """Facts of each sample, in order, read ahead by ``workers`` threads."""
    with readers(workers) as pool:
        pending: deque[Future[SampleFacts]] = deque()
        for sample in samples:
            pending.append(pool.submit(_facts, sample))
            if len(pending) > AHEAD * max(workers, 1):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _facts(sample: Sample) -> SampleFacts:
    broken: list[tuple[Path, str]] = []
    masks: list[MaskFacts] = []
    image = None
    try:
        image = decode(sample.image)
    except InputError as error:
        broken.append((sample.image, _reason(sample.image, error)))
    for path in sample.masks:
        try:
            masks.append(_mask_facts(path, read_mask_file(path), image, sample))
        except InputError as error:
            broken.append((path, _reason(path, error)))
    if image is None:
        return SampleFacts(sample, None, "", b"", tuple(masks), tuple(broken))
    return SampleFacts(sample, image.size, content_hash(sample.image), _pixel_hash(image), tuple(masks), tuple(broken))


def _pixel_hash(image: DecodedImage) -> bytes:
    shape = f"{image.pixels.shape} {image.pixels.dtype.name}"
    known = hashlib.sha256(shape.encode())
    known.update(image.pixels.data)
    return known.digest()


def _mask_facts(path: Path, mask: Mask, image: DecodedImage | None, sample: Sample) -> MaskFacts:
    size = mask.values.shape[0], mask.values.shape[1]
    shown = (size, None) if image is None else (image.size, sample.image)
    marked, warnings = orient_mask(mask, *shown)
    size = marked.shape[0], marked.shape[1]
    return MaskFacts(path, size, int(marked.sum()), mask.count, mask.threshold, frozenset(warnings))


def _reason(path: Path, error: InputError) -> str:
    """Why a file cannot be read, without its name; empty where it does not exist."""
    if not path.exists():
        return ""
    bare = error.value.replace(f" {str(path)!r}", "").replace(str(path), "").strip()
    return re.sub(r"^: |^\((.*)\)$", r"\1", bare).partition("\n")[0]
