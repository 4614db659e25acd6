"""Fewer entries that cover the same features: greedy k-centre selection."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsad.config import check_within

MAX_DISTANCES = 2**24
"""Distances that are held at once; bounds memory, changes nothing else."""


@torch.no_grad()
def greedy_coreset(
    features: Float[Tensor, "entries width"],
    count: int,
    *,
    seed: int = 0,
    given: Float[Tensor, "given_entries width"] | None = None,
) -> Int[Tensor, "count"]:
    """Indices of entries, each chosen as the one that is farthest from all that were chosen before.

    The coreset of PatchCore (Roth et al., CVPR 2022), exact; project the
    features first where it must be quicker.

    Args:
        features: of the entries.
        count: entries that are kept, 1..entries.
        seed: of the first entry, which is drawn where none is given.
        given: entries that count as chosen before all others.
    """
    check_within("the number of entries that are kept", count, 1, len(features))
    features = features.float()
    squares = features.square().sum(-1)
    chosen = torch.empty(count, dtype=torch.long)
    nearest = features.new_full((len(features),), torch.inf)
    if given is None or not len(given):
        chosen[0] = torch.randint(len(features), (), generator=torch.Generator().manual_seed(seed))
    else:
        for chunk in given.float().split(max(1, MAX_DISTANCES // len(features))):
            apart = squares[:, None] + chunk.square().sum(-1) - 2 * (features @ chunk.mT)
            nearest = torch.minimum(nearest, apart.amin(-1))
        chosen[0] = int(nearest.argmax())
    for number in range(1, count):
        last = int(chosen[number - 1])
        apart = squares + squares[last] - 2 * (features @ features[last])
        nearest = torch.minimum(nearest, apart)
        nearest[last] = -torch.inf  # equal entries are taken once each, before any is taken twice
        chosen[number] = int(nearest.argmax())
    return chosen
