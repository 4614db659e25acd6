"""PatchCore: each patch is as anomalous as it is far from the nearest patch of normal images.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022. Few-shot only: no text, and nothing is
trained. What was decided beyond the paper is in ``docs/methods/few-shot.md``.

    images -> two levels of the tower [2][batch, width, rows, cols] -> means over 3x3 patches (eq. 2), joined (section
        3.1) -> unit features [batch, cells, sum of widths]
    fit    -> bank of the patches of normal images -> greedy coreset in 128 random directions (algorithm 1)
    map    = |patch - nearest entry| / 2 [batch, 1, rows, cols]
    score  = w s*, s* the maximum of the map, w = 1 - exp(2 s*) / sum of exp |patch - m| over the 9 entries m that are
        nearest to the entry at s* (eq. 6, 7)

The paper's distances are unbounded. Features have unit length here, so that halves of distances lie in [0, 1]: 0 is a
patch that was seen, 0.71 one with nothing in common with any entry, and 1 the opposite of all. The order of patches is
that of the paper on such features. The exponents of eq. 7 are whole distances, at most 2, so that w differs less
between images than in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper
from zsad.methods._few_shot import FewShot
from zsad.references import (
    FeatureSource,
    PatchFeatures,
    RandomProjection,
    greedy_coreset,
    level_features,
    level_widths,
    nearest_entries,
    patch_features,
)
from zsad.references.features import LARGEST_NEIGHBOURHOOD
from zsad.types import Evidence

MAX_ENTRIES = 2**15
"""Entries that a coreset has at most."""
MAX_CANDIDATE_VALUES = 2**27
"""Numbers in memory from which on a coreset is chosen of the images that were added so far."""


@dataclass(frozen=True)
class PatchCoreConfig(Config):
    """Constants of the paper and its code.

    Attributes:
        levels: blocks whose patch tokens are compared, counted from 1 as for a tower of 24 blocks; in the middle, as
            the second and third of the four stages of the paper's CNN.
        features: "blocks" of the transformer; "cnn", three stages of the CNN of a hybrid backbone; "auto", those of the
            CNN where there is one.
        neighbourhood: p, side of the square of patches that is averaged; 3 (section 4.4.1).
        unit_levels: whether the features of each level have unit length before they are joined, so that all levels
            count alike; the paper joins them as they are (section 3.1).
        coreset_share: share of the patches that is kept; 0.1 (the paper's PatchCore-10).
        whole_images: of up to so many images every patch is kept, and of more no fewer than these have: a coreset saves
            memory and time, which a few images do not need. The paper has none: 0.
        directions: random directions in which the coreset is chosen; 128 (code).
        seed: of these directions and of the first entry.
        reweighting_neighbours: b of eq. 7; 9 (anomalib). 0 for the maximum of the map alone, as in the authors' code.
    """

    levels: tuple[int, ...] = (12, 18)
    features: FeatureSource = "auto"
    neighbourhood: int = 3
    unit_levels: bool = False
    coreset_share: float = 0.1
    whole_images: int = 16
    directions: int = 128
    seed: int = 0
    reweighting_neighbours: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels:
            raise ConfigError("PatchCore compares at least one level", "none", "use [12, 18]")
        for level in self.levels:
            level_index(level, 24, 24)
        check_within("the side of a neighbourhood in patches", self.neighbourhood, 1, LARGEST_NEIGHBOURHOOD)
        if self.neighbourhood % 2 == 0:
            raise ConfigError("the side of a neighbourhood is odd", self.neighbourhood, f"say {self.neighbourhood + 1}")
        check_within("the share of a coreset", self.coreset_share, 1e-6, 1)
        check_within("the number of images that are kept whole", self.whole_images, 0, 64)
        check_within("the number of directions", self.directions, 1, 1024)
        check_within("the number of neighbours in eq. 7", self.reweighting_neighbours, 0, 256)
        if self.reweighting_neighbours == 1:
            rule = "eq. 7 compares an entry with others"
            raise ConfigError(rule, "1 neighbour, which is the entry itself", "say 9, or 0 for the maximum alone")


class PatchCore(FewShot):
    """PatchCore on the features of CLIP, or on those of the CNN of a hybrid backbone.

    The paper's backbone is a WideResNet-50-2, which zsad does not have.
    """

    paper = Paper(
        title="Towards Total Recall in Industrial Anomaly Detection",
        authors="K. Roth et al.",
        venue="CVPR",
        year=2022,
        url="https://arxiv.org/abs/2106.08265",
    )
    config_type = PatchCoreConfig
    uses_class_names = False
    needs_text = False
    needs_normal = True

    def __init__(self, clip: Clip, config: PatchCoreConfig | None = None) -> None:
        self.config: PatchCoreConfig
        config = config or PatchCoreConfig()
        width = sum(level_widths(clip.vision, config.levels, config.features))
        super().__init__(clip, config, widths=(width,))
        self.directions = RandomProjection(width, min(config.directions, width), config.seed)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        """Distances from the bank.

        Raises:
            ConfigError: the bank is empty.
        """
        if not self.is_few_shot:
            rule = "PatchCore is few-shot only: it compares with normal images"
            remedy = "run zsad fit patchcore --normal DIR --out OUT, then name OUT as the detector"
            raise ConfigError(rule, "no normal image", remedy)
        features = self.reference_features(images)
        (patches,), (entries,) = features.streams, nearest_entries(features, self.bank)[1]
        (bank,) = self.bank.streams
        # Of a difference and not of cosines, which leave 2e-4 of a distance of nothing.
        distances = torch.stack([_halved(one, bank[at]) for one, at in zip(patches, entries, strict=True)])
        return Evidence(distances.unflatten(1, features.grid)[:, None], self._scores(patches, entries, distances))

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Averaged over the neighbourhood and joined over the levels (section 3.1), of unit length."""
        levels = level_features(self.clip.vision, images, self.config.levels, self.config.features)
        if self.config.unit_levels:
            found = patch_features(levels, (self.config.neighbourhood,))
            return PatchFeatures((l2_normalize(torch.cat(found.streams, -1)),), found.grid)
        return patch_features([torch.cat(levels, 1)], (self.config.neighbourhood,))

    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """As the base; where many images fill the memory, a coreset is chosen of them before the next."""
        super().fit_normal(images)
        if self.bank.unselected * self.bank.widths[0] > MAX_CANDIDATE_VALUES:
            self.finish_fit()

    def finish_fit(self) -> None:
        """Choose the coreset of the patches that were added last, far from one another and from those before.

        Those before stay, whether the detector was saved and loaded in between or not.
        """
        new = self.bank.unselected
        selected, self.bank.unselected = len(self.bank) - new, 0
        if not new or self.bank.images <= self.config.whole_images:
            return
        count = min(self._wanted(new, selected), new, max(0, MAX_ENTRIES - selected))
        kept = torch.arange(selected)
        if count:
            (stream,) = self.bank.streams
            features = self.directions(stream.float())
            chosen = greedy_coreset(features[selected:], count, seed=self.config.seed, given=features[:selected])
            kept = torch.cat([kept, selected + chosen])
        self.bank.keep(kept)

    def _wanted(self, new: int, selected: int) -> int:
        """Entries to keep of new ones: their share, and more where all together would be fewer than of whole images."""
        cells, share = self.bank.entries_by_image()[-1], self.config.coreset_share
        whole = max(_rounded_up(share * cells * self.bank.images), cells * self.config.whole_images)
        return max(whole - selected, _rounded_up(share * new))

    def _scores(
        self,
        patches: Float[Tensor, "batch cells width"],
        entries: Int[Tensor, "batch cells"],
        distances: Float[Tensor, "batch cells"],
    ) -> Float[Tensor, "batch"]:
        """w s* of eq. 7."""
        greatest, cell = distances.max(1)
        neighbours = min(self.config.reweighting_neighbours, len(self.bank))
        if neighbours < 2:
            return greatest
        (bank,), image = self.bank.streams, torch.arange(len(patches), device=cell.device)
        bank = bank.to(patches.dtype)
        nearest = bank[entries[image, cell]]  # m*
        among = bank[(nearest @ bank.mT).topk(neighbours).indices]  # [batch, neighbours, width]
        apart = (patches[image, cell][:, None] - among).norm(dim=-1)
        return greatest * (1 - (2 * greatest - apart.logsumexp(1)).exp()).clamp(0, 1)


def _rounded_up(count: float) -> int:
    """Without the noise of floating point: 10 % of 30 are 3."""
    return ceil(count - 1e-6)


def _halved(patches: Float[Tensor, "cells width"], nearest: Float[Tensor, "cells width"]) -> Float[Tensor, "cells"]:
    """Half of the distances of unit vectors, in [0, 1]."""
    return ((patches - nearest.to(patches.dtype)).norm(dim=-1) / 2).clamp(0, 1)
