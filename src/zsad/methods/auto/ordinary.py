"""Reference images of which nobody knows whether they are normal: the more ordinary ones are kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.methods.auto.joining import Scale, image_values, joined, log_distance
from zsad.references import PatchFeatures, ReferenceBank, distances_among, distances_by_image, lowest_share_mean

Statistic = Callable[[Float[Tensor, "streams batch images cells"]], Float[Tensor, "batch cells"]]
"""From the distances of patches from each reference image to one distance, for instance that of the nearest."""


@dataclass(frozen=True)
class MutualOptions:
    """How unlabelled images score one another.

    Attributes:
        ordinary: share of the images that is kept; at least two are.
        share: of the distances from all images, the lowest, which are averaged.
        text_weight: see :func:`zsad.methods.auto.joining.joined`.
        image_shares: see :func:`zsad.methods.auto.joining.image_values`.
        window: see :func:`zsad.references.distances_by_image`.
    """

    ordinary: float
    share: float
    text_weight: float
    image_shares: Sequence[float]
    window: int | None

    @property
    def share_of_kept(self) -> float:
        """As many images as ``share``, of those that are kept."""
        return min(1.0, self.share / self.ordinary)


@dataclass(frozen=True)
class Ordinary:
    """Unlabelled images that serve as references.

    Attributes:
        bank: of the images that were kept.
        dropped: numbers of the others.
        log_distances: of the patches of all images, each compared with the kept ones but itself.
        text_scale, scale: of log-odds by text and of log distances, over the patches of all images.
    """

    bank: ReferenceBank
    dropped: tuple[int, ...]
    log_distances: Float[Tensor, "images cells"]
    text_scale: Scale
    scale: Scale


def ordinary_images(
    bank: ReferenceBank, images: Sequence[int], text: Float[Tensor, "images cells"] | None, options: MutualOptions
) -> Ordinary:
    """Score the images of a bank by one another and by text, and keep those of the lowest scores.

    Mutual scoring takes the mean of the lowest share of the distances (MuSc, Li et al., ICLR 2024). Where many of the
    images are anomalous, anomalous patches find one another; hence the second look, at the ordinary ones alone.

    Args:
        bank: of at least two images.
        images: their numbers in it.
        text: log-odds of the patches of these images; None on a backbone without text.
        options: how they are scored.
    """
    among = distances_among(bank, images, window=options.window)
    first = _joined_streams(among, mutual(options.share))
    evidence = joined(text, first, Scale.of_text(text), Scale.of(first), options.text_weight)
    scores = image_values(evidence, options.image_shares)
    count = max(2, math.ceil(options.ordinary * len(scores)))
    dropped = tuple(images[index] for index in sorted(scores.argsort(stable=True)[count:].tolist()))
    rest = bank.without(dropped)
    among[:, :, list(dropped)] = torch.inf
    distances = _joined_streams(among, mutual(options.share_of_kept))
    return Ordinary(rest, dropped, distances, Scale.of_text(text), Scale.of(distances))


def mutual(share: float) -> Statistic:
    """Mean of the lowest share of the distances from the images of a bank."""
    return lambda distances: lowest_share_mean(distances, share)


def log_distances(
    patches: PatchFeatures,
    bank: ReferenceBank,
    statistic: Statistic,
    window: int | None = None,
    without: Sequence[int | None] | None = None,
) -> Float[Tensor, "batch cells"]:
    """Log distances of patches from a bank, averaged over streams; see :func:`zsad.references.distances_by_image`."""
    return _joined_streams(distances_by_image(patches, bank, window=window, without=without), statistic)


def _joined_streams(
    distances: Float[Tensor, "streams batch images cells"], statistic: Statistic
) -> Float[Tensor, "batch cells"]:
    return torch.stack([log_distance(statistic(stream[None])) for stream in distances]).mean(0)
