"""How far a patch is from its references: the nearest of all, the lowest share over images, the same position."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.passes import forward_passes
from zsad.references.bank import ReferenceBank
from zsad.references.features import PatchFeatures
from zsad.types import Size

Distance = Literal["euclidean", "cosine"]
MAX_SIMILARITIES = 2**24
"""Cosines that are held at once; bounds memory, changes nothing else."""
LEAST_EXTENT = 1e-3
"""Scores of a folder that differ by less differ by rounding: distances are square roots of differences in fp32."""


def nearest_cosine(features: PatchFeatures, bank: ReferenceBank) -> Float[Tensor, "streams batch cells"]:
    """Cosine of each patch with the most similar entry of the whole bank; of unknown images as well.

    Args:
        features: of the images that are scored.
        bank: with the same streams.

    Returns:
        in [-1, 1] up to rounding; -1 where the bank is empty.
    """
    return nearest_entries(features, bank)[0]


def nearest_entries(
    features: PatchFeatures, bank: ReferenceBank
) -> tuple[Float[Tensor, "streams batch cells"], Int[Tensor, "streams batch cells"]]:
    """As :func:`nearest_cosine`, and which entry of the bank that is; the first of equal ones."""
    cosines, entries = [], []
    for query, stream in zip(features.streams, bank.streams, strict=True):
        greatest, index = query.new_full(query.shape[:2], -1.0), bank.image.new_zeros(query.shape[:2])
        length = max(1, MAX_SIMILARITIES // max(1, greatest.numel()))
        for number, chunk in enumerate(stream.split(length)):
            of_chunk = (query @ chunk.to(query.dtype).mT).max(-1)
            index = torch.where(of_chunk.values > greatest, of_chunk.indices + number * length, index)
            greatest = torch.maximum(greatest, of_chunk.values)
        cosines.append(greatest)
        entries.append(index)
    return torch.stack(cosines), torch.stack(entries)


def distances_by_image(
    features: PatchFeatures,
    bank: ReferenceBank,
    *,
    distance: Distance = "cosine",
    window: int | None = None,
    without: Sequence[int | None] | None = None,
) -> Float[Tensor, "streams batch images cells"]:
    """Distance of each patch from the most similar entry of each image of the bank.

    Args:
        features: of the images that are scored.
        bank: with the same streams.
        distance: of unit vectors: ``"cosine"``, (1 - cosine) / 2, or ``"euclidean"``, |a - b| / 2; both in [0, 1].
        window: how many rows and columns apart an entry may lie from the patch; without one it may lie anywhere.
        without: for each image of the batch, the image of the bank that is left out (itself, if it is one), or None.

    Returns:
        infinite where an image is left out, or has no entry within the window.

    Raises:
        ConfigError: the bank has entries of unknown images.
    """
    if (bank.image < 0).any():
        value = f"{int((bank.image < 0).sum())} entries that an older version saved without it"
        raise ConfigError("each entry of the bank is of a known image", value, "fit the detector to its images again")
    by_stream = []
    for stream, entries in zip(features.streams, bank.streams, strict=True):
        halved = ((1 - _greatest_cosines(stream, features.grid, entries, bank, window)) / 2).clamp_min(0)
        by_stream.append(halved if distance == "cosine" else halved.sqrt())
    distances = torch.stack(by_stream)
    for index, image in enumerate(without or ()):
        if image is not None:
            distances[:, index, image] = torch.inf
    return distances


def distances_among(
    bank: ReferenceBank, images: Sequence[int], *, distance: Distance = "cosine", window: int | None = None
) -> Float[Tensor, "streams images others cells"]:
    """Distance of each patch of images of a bank from the most similar entry of each other image of it.

    As :func:`distances_by_image` of these images, each without itself. A product of the patches of two images serves
    both of them; of images with copies it serves one.

    Args:
        bank: that holds all entries of these images.
        images: their numbers in it.
        distance, window: as of :func:`distances_by_image`.

    Returns:
        infinite for an image itself, and for numbers of which the bank has no entry.
    """
    grid = bank.patches_of(images[0]).grid
    places = _places(bank)
    if {place.stop - place.start for place in places.values()} != {math.prod(grid)}:
        each = ((bank.patches_of(image), [image]) for image in images)
        rows = [distances_by_image(own, bank, distance=distance, window=window, without=out) for own, out in each]
        return torch.cat(rows, 1)
    far = _apart(bank, grid, places[images[0]], window)
    by_stream = []
    for entries in bank.streams:
        halved = ((1 - _cosines_among(entries, places, images, far, bank.images)) / 2).clamp_min(0)
        by_stream.append(halved if distance == "cosine" else halved.sqrt())
    return torch.stack(by_stream)


def _places(bank: ReferenceBank) -> dict[int, slice]:
    """Where the entries of each image are, by its number."""
    numbers, counts = bank.image.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    return {
        image: slice(end - count, end)
        for image, end, count in zip(numbers.tolist(), ends.tolist(), counts.tolist(), strict=True)
    }


def _cosines_among(
    entries: Float[Tensor, "entries width"],
    places: Mapping[int, slice],
    images: Sequence[int],
    far: Bool[Tensor, "cells cells"] | None,
    count: int,
) -> Float[Tensor, "images others cells"]:
    """Greatest of each patch with those of each other image; -infinity for the image itself."""
    row_of = {image: row for row, image in enumerate(images)}
    cells = places[images[0]].stop - places[images[0]].start
    greatest = entries.new_full((len(images), count, cells), -torch.inf)

    def compare(image: int) -> None:
        row = row_of[image]
        for other, place in places.items():
            other_row = row_of.get(other)
            if other == image or (other_row is not None and other_row < row):
                continue
            cosines = entries[places[image]] @ entries[place].mT
            if far is not None:
                cosines = cosines.masked_fill(far, -torch.inf)
            greatest[row, other] = cosines.amax(1)
            if other_row is not None:
                greatest[other_row, image] = cosines.amax(0)

    # The last has the least to do, and the first of these passes is alone.
    for _ in forward_passes(compare, reversed(images), entries.device.type):
        pass
    return greatest


def _apart(bank: ReferenceBank, grid: Size, place: slice, window: int | None) -> Bool[Tensor, "cells entries"] | None:
    """Which entries of an image lie outside the window around each cell; None without a window."""
    if window is None:
        return None
    rows, cols = grid
    positions = torch.cartesian_prod(torch.arange(rows), torch.arange(cols)).reshape(-1, 2).to(bank.position)
    return (positions[:, None] - bank.position[place]).abs().amax(-1) > window


def _greatest_cosines(
    query: Float[Tensor, "batch cells width"],
    grid: Size,
    entries: Float[Tensor, "entries width"],
    bank: ReferenceBank,
    window: int | None,
) -> Float[Tensor, "batch images cells"]:
    """Of each patch with the entries of each image; -infinity where there are none to compare with."""
    batch, cells, _ = query.shape
    greatest = dict[int, Tensor]()  # not written into one tensor: exported graphs have no such operation
    for image, chunk in _chunks(bank, batch * cells):
        cosines = query @ entries[chunk].to(query.dtype).mT
        if (apart := _apart(bank, grid, chunk, window)) is not None:
            cosines = cosines.masked_fill(apart, -torch.inf)
        found = cosines.amax(-1)
        greatest[image] = torch.maximum(greatest[image], found) if image in greatest else found
    none = query.new_full((batch, cells), -torch.inf)
    images = [greatest.get(image, none) for image in range(bank.images)]
    return torch.stack(images, 1) if images else query.new_empty(batch, 0, cells)


def _chunks(bank: ReferenceBank, rows: int) -> Iterator[tuple[int, slice]]:
    """Runs of entries of one image, short enough to be compared with so many patches at once."""
    numbers, counts = bank.image.unique_consecutive(return_counts=True)
    length, start = max(1, MAX_SIMILARITIES // rows), 0
    for image, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        for first in range(start, start + count, length):
            yield image, slice(first, min(first + length, start + count))
        start += count


def nearest_distance(distances: Float[Tensor, "streams batch images cells"]) -> Float[Tensor, "batch cells"]:
    """Distance of each patch from the nearest entry of the whole bank, averaged over the streams.

    Args:
        distances: of :func:`distances_by_image`.

    Returns:
        in [0, 1].

    Raises:
        ConfigError: there is no reference image to compare with.
    """
    _check_counts(distances)
    return distances.amin(2).mean(0)


def lowest_share_mean(
    distances: Float[Tensor, "streams batch images cells"], share: float = 0.3
) -> Float[Tensor, "batch cells"]:
    """Mean of the lowest share of the distances from each reference image, averaged over the streams: mutual scoring.

    MSM of MuSc (Li et al., ICLR 2024). The number of distances is rounded up, so that two images are
    enough; the authors' code rounds down, which leaves none below five images.

    Args:
        distances: of :func:`distances_by_image`; images that are infinitely far do not count.
        share: in (0, 1].

    Returns:
        in [0, 1].

    Raises:
        ConfigError: there is no reference image to compare with.
    """
    check_within("the share of the reference images", share, 1e-6, 1)
    numbers = _rounded_up(share * _check_counts(distances))
    ordered = distances.sort(2).values
    counted = torch.arange(distances.shape[2], device=distances.device)[:, None] < numbers[:, :, None]
    return (ordered.where(counted, 0).sum(2) / numbers).mean(0)


def _check_counts(distances: Float[Tensor, "streams batch images cells"]) -> Float[Tensor, "streams batch 1 cells"]:
    """How many images each patch can be compared with."""
    counts = distances.isfinite().sum(2, keepdim=True)
    if not (counts > 0).all():
        raise ConfigError("a patch is compared with at least one image", "none", "add images of the same kind")
    return counts.to(distances)


def _rounded_up(counts: Float[Tensor, "streams batch 1 cells"]) -> Float[Tensor, "streams batch cells"]:
    """Without the noise of floating point: 30 % of 10 are 3."""
    return (counts - 1e-4).ceil().clamp_min(1)[:, :, 0]


def similarity_smoothed_scores(
    scores: Float[Tensor, "images"],
    class_tokens: Float[Tensor, "images width"],
    neighbours: Sequence[int] = (1, 2, 3),
) -> Float[Tensor, "images"]:
    """Image scores, brought to [0, 1] and averaged over images that look alike.

    RsCIN of MuSc (Li et al., ICLR 2024): for each k, the mean of the scores of the k images of the most
    similar class tokens, the image itself among them, weighted by their cosines; then the mean over k.

    Args:
        scores: of all images of a folder.
        class_tokens: unit vectors.
        neighbours: the numbers k; those above the number of images count as that number. Without any, scores are only
            brought to [0, 1].

    Returns:
        all 0 where scores differ by less than rounding, as those of copies of one image.
    """
    extent = scores.max() - scores.min()
    scaled = (scores - scores.min()) / extent if extent > LEAST_EXTENT else torch.zeros_like(scores)
    if not neighbours:
        return scaled
    tokens, smoothed = F.normalize(class_tokens.float(), dim=-1), []
    for rows in torch.arange(len(scores), device=scores.device).split(max(1, MAX_SIMILARITIES // len(scores))):
        cosines, by_count = tokens[rows] @ tokens.mT, []
        for k in neighbours:
            weights, nearest = cosines.clamp_min(0).topk(min(k, len(scores)), dim=-1)
            by_count.append((weights * scaled[nearest]).sum(-1) / weights.sum(-1))
        smoothed.append(torch.stack(by_count).mean(0))
    return torch.cat(smoothed)
