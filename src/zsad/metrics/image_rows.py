"""What is kept of the pixels of one image, and how many images lie in one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32, Real

from zsad.arrays import read_arrays
from zsad.errors import InputError
from zsad.files import replacing
from zsad.metrics.keys import to_keys
from zsad.metrics.regions import region_shares

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
