"""The pixels of every image, counted: what pixel metrics of any resample of the images are made of.

A bootstrap draws images a thousand times; going through their maps each time would take hours. Here an image is a
short list: for each bin of scores, how many normal and anomalous pixels fall into it, and what share of its regions.

    an image    the leading bits of its keys (zsad.metrics.counters), as many as 8192 bins hold: fine where its
                 scores are, whether they fill [0, 1], crowd below 1/1000 or lie outside; about 10 kB on disk
    a resample   bins of all images, joined until none that could be split holds more than 1 / ``PARTS`` of the normal
                 pixels, of the anomalous ones or of the regions; then sums over images

Exact for the binned scores. Against the scores themselves AUROC, average precision, F1-max and PRO are off by less than
10⁻³, mostly by 10⁻⁵; see ``docs/metrics.md``. A point estimate is for :class:`zsad.metrics.PixelMetrics`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Real

from zsad.arrays import read_arrays
from zsad.errors import InputError
from zsad.files import replacing
from zsad.metrics.bootstrap import Draws, blocks, check_weights, common_of_draws, joined, of_draws
from zsad.metrics.counters import to_keys
from zsad.metrics.counts import Maps, paired_maps
from zsad.metrics.functional import LIMIT, pro_of_counts, region_shares

BINS = 8192
"""Of an image, at most."""


FIRST_BITS = 17
"""Of its range of keys, with which its bins begin: a table that fits a processor's cache."""


PER_IMAGE, PER_BIN = ("dropped", "regions", "lengths", "first"), ("steps", "normal", "anomalous", "share")
"""Arrays of a file."""


@dataclass(frozen=True)
class ImageRow:
    """One image: the bins that its pixels are in.

    Attributes:
        dropped: bits of the keys that the bins do not keep.
        bins: ascending, keys without these bits.
        normal, anomalous: pixels in each bin.
        share: of a region that an anomalous pixel of the bin is, on average.
        regions: of the mask.
    """

    dropped: int
    bins: Int32[np.ndarray, "bins"]
    normal: Int32[np.ndarray, "bins"]
    anomalous: Int32[np.ndarray, "bins"]
    share: Float32[np.ndarray, "bins"]
    regions: int


PARTS = 2000
"""Of normal pixels, anomalous pixels and regions that are told apart in resamples."""

COUNTS: tuple[Callable[[ImageRow], np.ndarray], ...] = (
    lambda row: row.normal,
    lambda row: row.anomalous,
    lambda row: row.anomalous * row.share.astype(np.float64),
)
"""Normal pixels, anomalous pixels and shares of regions in the bins of an image."""


class ImageCounts:
    """Counts of the pixels of each image, in the order in which the images came.

    >>> counts = ImageCounts().update([[[0.9, 0.2, 0.8, 0.1]], [[0.3, 0.1, 0.2, 0.2]]], np.eye(2, 4)[:, None] > 0)
    >>> [round(float(value), 3) for value in counts.resampled(np.array([[1, 1], [1, 0], [0, 1]]))["auroc"]]
    [0.542, 1.0, 0.0]
    """

    def __init__(self) -> None:
        self._rows: list[ImageRow] = []

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, maps: Maps, masks: Maps) -> "ImageCounts":
        """Add the images of a batch and return self; a batch that is refused adds nothing.

        Args:
            maps: finite anomaly scores, [rows, cols], [images, rows, cols] or a list of [rows, cols] of any sizes;
                arrays or tensors, taken as float32.
            masks: 0 (normal) or 1 (anomalous), of the same sizes.

        Raises:
            InputError: there are no maps, they and the masks do not pair, or one is not what it should be.
        """
        self._rows += [image_row(scores, mask.astype(bool, copy=False)) for scores, mask in paired_maps(maps, masks)]
        return self

    def merge(self, other: "ImageCounts") -> "ImageCounts":
        """Add the images of another after one's own and return self."""
        self._rows += list(other._rows)
        return self

    def resampled(self, weights: Int[np.ndarray, "draws images"]) -> Draws:
        """``auroc``, ``average_precision``, ``f1_max`` and ``pro`` (FPR up to 0.3) of each draw of the images.

        Args:
            weights: copies of each image in each draw, as of :func:`zsad.metrics.bootstrap.stratified_weights`.

        Returns:
            One value a draw, NaN where it lacks normal or anomalous pixels.

        Raises:
            InputError: there are no images, or the weights are not one count an image, none below 0.
        """
        check_weights(weights, len(self))
        # Here, so that importing the package stays quick.
        from scipy.sparse import csr_array

        parts = self._parts()
        width = 1 + max(int(part.max()) for part in parts)
        rows = list(zip(parts, self._rows, strict=True))
        tables = [csr_array(np.stack([np.bincount(part, of(row), width) for part, row in rows])) for of in COUNTS]
        regions = np.array([row.regions for row in self._rows])
        draws = []
        for block in blocks(weights, width):
            normal, anomalous, overlap = (block @ table for table in tables)
            pro = of_draws(_pro, normal, anomalous, overlap, block @ regions)
            draws.append(common_of_draws(normal, anomalous) | {"pro": pro})
        return joined(draws)

    def save(self, path: Path) -> None:
        """Write all images into a file, whole or not at all."""
        write_rows(self._rows, path)

    @classmethod
    def load(cls, path: Path) -> "ImageCounts":
        """The images of a file that :meth:`save` wrote.

        Raises:
            InputError: it does not exist, or is damaged.
        """
        counts = cls()
        counts._rows = read_rows(path)
        return counts

    def _parts(self) -> list[Int[np.ndarray, "_"]]:
        """The part that each bin of each image belongs to, parts in the order of scores."""
        most = max(row.dropped for row in self._rows)
        bins = [row.bins >> (most - row.dropped) for row in self._rows]
        used = np.unique(np.concatenate(bins))
        at = [np.searchsorted(used, one).astype(np.int32) for one in bins]
        steps = np.zeros(len(used), np.int64)
        for counts in COUNTS:
            mass = np.zeros(len(used))
            for where, row in zip(at, self._rows, strict=True):
                mass += np.bincount(where, counts(row), len(used))
            mass = np.cumsum(mass)
            steps += np.floor(mass / max(mass[-1], 1) * PARTS).astype(np.int64)
        parts = np.unique(steps, return_inverse=True)[1].astype(np.int32)
        return [parts[where] for where in at]


def _pro(normal: np.ndarray, _: np.ndarray, overlap: np.ndarray, regions: np.ndarray) -> np.ndarray:
    return pro_of_counts(normal, overlap, regions, LIMIT)


def image_row(scores: Real[np.ndarray, "rows cols"], mask: Bool[np.ndarray, "rows cols"]) -> ImageRow:
    """Count the pixels of an image by the leading bits of their keys, as many bits as ``BINS`` bins hold."""
    keys = to_keys(scores.ravel().astype(np.float32, copy=False))
    low = int(keys.min())
    begun = max(0, (int(keys.max()) - low).bit_length() - FIRST_BITS)
    bins = (keys >> begun) - np.int32(low >> begun)
    pixels, shares, regions = region_shares(mask)
    total = np.bincount(bins)
    used = np.flatnonzero(total)
    counts = total[used], *(np.bincount(bins[pixels], one, len(total))[used] for one in (None, shares))
    used += low >> begun
    more = 0
    while 1 + np.count_nonzero(np.diff(used >> more)) > BINS:
        more += 1
    starts = np.flatnonzero(np.diff(used >> more, prepend=(used[0] >> more) - 1))
    both, anomalous, overlap = (np.add.reduceat(one, starts) for one in counts)
    whole = [one.astype(np.int32) for one in (used[starts] >> more, both - anomalous, anomalous)]
    share = (overlap / np.maximum(anomalous, 1)).astype(np.float32)
    return ImageRow(begun + more, whole[0], whole[1], whole[2], share, regions)


def write_rows(rows: Sequence[ImageRow], path: Path) -> None:
    """Write images into a compressed file, whole or not at all."""
    arrays = {
        "dropped": [row.dropped for row in rows],
        "regions": [row.regions for row in rows],
        "lengths": [len(row.bins) for row in rows],
        "first": [int(row.bins[0]) for row in rows],
        "steps": _end_to_end([np.diff(row.bins, prepend=row.bins[:1]) for row in rows]),
        "normal": _end_to_end([row.normal for row in rows]),
        "anomalous": _end_to_end([row.anomalous for row in rows]),
    }
    small = {name: _smallest(np.asarray(values, np.int64)) for name, values in arrays.items()}
    share = _end_to_end([row.share for row in rows]).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, lasting=True) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, share=share, **small)


def read_rows(path: Path) -> list[ImageRow]:
    """The images of a file.

    Raises:
        InputError: it does not exist, or is damaged.
    """
    arrays = read_arrays(path)
    try:
        return _rows({name: arrays[name] for name in (*PER_IMAGE, *PER_BIN)})
    except (LookupError, ValueError, TypeError, OverflowError) as error:
        rule = "counts of images are a whole file, as it was written"
        raise InputError(rule, f"{path} ({error})", "evaluate the class again") from error


def _rows(arrays: dict[str, np.ndarray]) -> list[ImageRow]:
    _check(arrays)
    dropped, regions, lengths, first = (arrays[name].tolist() for name in PER_IMAGE)
    steps, normal, anomalous, share = (arrays[name] for name in PER_BIN)
    rows, start = [], 0
    for number, length in enumerate(lengths):
        one = slice(start, start := start + length)
        bins = first[number] + np.cumsum(steps[one], dtype=np.int32)
        counts = normal[one].astype(np.int32), anomalous[one].astype(np.int32)
        rows.append(ImageRow(dropped[number], bins, *counts, share[one], regions[number]))
    return rows


def _check(arrays: dict[str, np.ndarray]) -> None:
    images, entries = arrays["lengths"].shape, arrays["share"].shape
    fit = all(arrays[name].shape == images for name in PER_IMAGE)
    fit &= all(arrays[name].shape == entries for name in PER_BIN)
    whole = all(array.dtype.kind in "iu" for name, array in arrays.items() if name != "share")
    if not fit or len(images) != 1 or not whole or arrays["share"].dtype != np.float32:
        raise ValueError("its arrays do not fit together")
    if arrays["lengths"].min(initial=1) < 1 or (int(arrays["lengths"].sum()),) != entries:
        raise ValueError("its images do not add up")


def _end_to_end(lists: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int32), *lists])


def _smallest(values: np.ndarray) -> np.ndarray:
    """In the shortest whole numbers that hold the lowest and the highest of them."""
    low, high = values.min(initial=0), values.max(initial=0)
    return values.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))
