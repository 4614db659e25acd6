"""The pixels of every image, counted: what pixel metrics of any resample of the images are made of.

A bootstrap draws images a thousand times; going through their maps each time would take hours. Here an image is a
short list: for each bin of scores, how many normal and anomalous pixels fall into it, and what share of its regions.

    an image    the leading bits of its keys (zsad.metrics.keys), as many as 8192 bins hold: fine where its
                 scores are, whether they fill [0, 1], crowd below 1/1000 or lie outside; about 10 kB on disk
    a resample   bins of all images, joined until none that could be split holds more than 1 / ``PARTS`` of the normal
                 pixels, of the anomalous ones or of the regions; then sums over images

Exact for the binned scores. Against the scores themselves AUROC, average precision, F1-max and PRO are off by less than
10⁻³, mostly by 10⁻⁵; see ``docs/metrics.md``. A point estimate is for :class:`zsad.metrics.PixelMetrics`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int

from zsad.metrics.checks import Maps, paired_maps
from zsad.metrics.draws import Draws, blocks, check_weights, common_of_draws, joined, of_draws
from zsad.metrics.image_rows import ImageRow, image_row, read_rows, write_rows
from zsad.metrics.pro import LIMIT, pro_of_counts

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
        found = []
        for block in blocks(weights, width):
            normal, anomalous, overlap = (block @ table for table in tables)
            pro = of_draws(_pro, normal, anomalous, overlap, block @ regions)
            found.append(common_of_draws(normal, anomalous) | {"pro": pro})
        return joined(found)

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
