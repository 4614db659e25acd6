"""Hybrid semantic fusion: one vector for the most anomalous patches of an image (AdaCLIP, Cao et al. 2024, HSF).

The authors' code clusters the patches of one image after the other by scikit-learn's k-means, which draws at random.
Here all images are clustered at once, from the same numbers, so that the result depends on the image alone.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from zsad.parts.recording import is_recorded

ROUNDS = 300
"""Maximum number of rounds of k-means (scikit-learn)."""
ROUNDS_OF_A_GRAPH = 30
"""The same in an exported graph; photographs took 8 at most."""
SEED = 0
"""Of the numbers that choose the first centres, the same for every image."""


def fused_patches(
    patches: Float[Tensor, "batch levels cells embed"],
    odds: Float[Tensor, "batch cells"],
    clusters: int,
    tokens: int,
) -> Float[Tensor, "batch embed"]:
    """Unit vectors: the mean of the centres of the clusters of the most anomalous patches.

    Args:
        patches: unit vectors; a patch is clustered by those of all levels together.
        odds: how anomalous each patch is.
        clusters: number of clusters, at most one for each patch.
        tokens: patches that are clustered, at most all.
    """
    cells = patches.shape[2]
    chosen = odds.topk(min(tokens, cells), dim=1).indices
    index = chosen[:, None, :, None].expand(-1, patches.shape[1], -1, patches.shape[3])
    selected = patches.gather(2, index)
    points = selected.detach().float().transpose(1, 2).flatten(2)
    labels = k_means(points, min(clusters, points.shape[1]))
    weights = _weights(labels, clusters).to(selected.dtype)
    return F.normalize(torch.einsum("bt,blte->be", weights, selected) / patches.shape[1], dim=1)


@torch.no_grad()
def k_means(points: Float[Tensor, "batch tokens width"], clusters: int) -> Int[Tensor, "batch tokens"]:
    """The cluster of each point: Lloyd's algorithm from k-means++ (Arthur and Vassilvitskii 2007), per sequence.

    A cluster that loses all of its points keeps its centre. Rounds end when no point changes its cluster. A graph has a
    fixed number of rounds, and those after that change nothing.
    """
    recorded = is_recorded()
    centres = first_centres(points, clusters)
    labels = torch.cdist(points, centres).argmin(2)
    for _ in range(ROUNDS_OF_A_GRAPH if recorded else ROUNDS):
        members = F.one_hot(labels, clusters).to(points.dtype)
        sizes = members.sum(1)[..., None]
        means = members.transpose(1, 2) @ points / sizes.clamp_min(1)
        centres = torch.where(sizes > 0, means, centres)
        moved = torch.cdist(points, centres).argmin(2)
        if not recorded and torch.equal(moved, labels):
            break
        labels = moved
    return labels


def first_centres(points: Float[Tensor, "batch tokens width"], clusters: int) -> Float[Tensor, "batch clusters width"]:
    """Points chosen with probabilities that grow with the square of the distance to those chosen before."""
    draws = torch.rand(clusters, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    nearest = torch.ones(points.shape[:2], dtype=torch.float64, device=points.device)
    centres: list[Tensor] = []
    for draw in draws.tolist():
        sums = nearest.cumsum(1)
        chosen = torch.searchsorted(sums, draw * sums[:, -1:]).squeeze(1).clamp_max(points.shape[1] - 1)
        centres.append(points.gather(1, chosen[:, None, None].expand(-1, 1, points.shape[2])).squeeze(1))
        distance = (points - centres[-1][:, None]).double().square().sum(2)
        nearest = distance if len(centres) == 1 else nearest.minimum(distance)
    return torch.stack(centres, 1)


def _weights(labels: Int[Tensor, "batch tokens"], clusters: int) -> Float[Tensor, "batch tokens"]:
    """The share of each token in the mean of the centres: 1 / (number of clusters · size of its own)."""
    sizes = F.one_hot(labels, clusters).sum(1)
    own = sizes.gather(1, labels)
    return 1 / (own * (sizes > 0).sum(1, keepdim=True))
