"""Mutual scoring: the patches of unlabelled images judge those of one another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.config import check_within
from zsad.references.features import patch_features
from zsad.references.statistics import MAX_SIMILARITIES, Distance, lowest_share_mean


def mutual_scores(
    levels: Sequence[Float[Tensor, "images _ rows cols"]],
    neighbourhoods: Sequence[int] = (1,),
    *,
    share: float = 0.3,
    distance: Distance = "euclidean",
) -> Float[Tensor, "images rows cols"]:
    """Distance of each patch from its most similar patch in each other image, averaged over the lowest share of these.

    LNAMD and MSM of MuSc (Li et al., ICLR 2024), eq. 1 to 4: the mean of :func:`lowest_share_mean` over levels and
    neighbourhoods. A product of the patches of two images serves both of them, so that each pair is multiplied once.

    Args:
        levels: features of at least two images, all on one grid; held in any precision, compared in fp32.
        neighbourhoods: sides of the squares of patches that are averaged.
        share: of the other images that count; rounded up to whole images.
        distance: see :func:`distances_by_image`.

    Returns:
        in [0, 1], on the device of the levels.
    """
    count, _, rows, cols = levels[0].shape
    check_within("the number of images that score one another", count, 2, 2**20)
    total = levels[0].new_zeros(count, rows * cols, dtype=torch.float32)
    for level in levels:
        for side in neighbourhoods:
            nearest = _pairwise_greatest_cosines(patch_features([level], (side,)).streams[0])
            for image in range(count):
                halved = ((1 - nearest[image]) / 2).clamp_min(0)
                distances = halved if distance == "cosine" else halved.sqrt()
                distances[image] = torch.inf
                total[image] += lowest_share_mean(distances[None, None], share)[0]
            del nearest
    return (total / (len(levels) * len(neighbourhoods))).unflatten(1, (rows, cols))


def _pairwise_greatest_cosines(
    features: Float[Tensor, "images cells width"],
) -> Float[Tensor, "images images cells"]:
    """Of each patch of an image (first axis) with the patches of another (second axis); 0 for itself."""
    count, cells, _ = features.shape
    greatest = features.new_zeros(count, count, cells)
    at_once = max(1, MAX_SIMILARITIES // cells**2)
    for image in range(count - 1):
        for first in range(image + 1, count, at_once):
            others = slice(first, min(first + at_once, count))
            cosines = (features[others].flatten(0, 1) @ features[image].mT).unflatten(0, (-1, cells))
            greatest[others, image] = cosines.amax(2)
            greatest[image, others] = cosines.amax(1)
    return greatest
