"""Which prompts of a state stand for it: the largest cluster that DBSCAN finds among their features."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def largest_cluster(points: Float[Tensor, "points width"], radius: float, least: int) -> Bool[Tensor, "points"]:
    """The points of the largest cluster of DBSCAN (Ester et al. 1996), Euclidean; all of them where there is none.

    A point with ``least`` neighbours within ``radius``, itself among them, is a core point; core points within
    ``radius`` of one another are of one cluster, which takes in their neighbours that no earlier one has. Of clusters
    of one size it is the first.
    """
    near = torch.cdist(points.double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist") <= radius
    core = near.sum(1) >= least
    free, best = torch.ones_like(core), torch.zeros_like(core)
    for number in range(len(points)):
        if core[number] and free[number]:
            cluster = _grown(near, core, free, number)
            free &= ~cluster
            best = cluster if cluster.sum() > best.sum() else best
    return best if best.any() else torch.ones_like(best)


def _grown(
    near: Bool[Tensor, "points points"], core: Bool[Tensor, "points"], free: Bool[Tensor, "points"], first: int
) -> Bool[Tensor, "points"]:
    """The cluster of a core point, of the points that no other has."""
    cluster = torch.zeros_like(core)
    cluster[first] = True
    while True:
        reached = near[cluster & core].any(0) & free
        if torch.equal(reached | cluster, cluster):
            return cluster
        cluster = cluster | reached
