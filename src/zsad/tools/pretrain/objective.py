"""The three losses of pretraining, and the heads that only pretraining needs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.stem import Stem
from zsad.backbones.transformer import l2_normalize
from zsad.tools.pretrain.recipe import PretrainingRecipe
from zsad.tools.pretrain.teacher import POOLED_CHANNELS
from zsad.types import Size

COVERAGE_GAIN = 4.0
"""A patch counts as fully damaged from a quarter of its area on."""


@dataclass(frozen=True)
class Prompts:
    """Token ids padded to one length, with the index of each end token."""

    ids: Int[Tensor, "prompts tokens"]
    ends: Int[Tensor, "prompts"]


@dataclass(frozen=True)
class PretrainingBatch:
    """One step's images, as the CNN sees them (standardised), and words.

    ``same`` marks the captions that fit an image (its own and equal ones).
    """

    features: Float[Tensor, "batch 472 grid_rows grid_cols"]
    pooled: Float[Tensor, "batch 1280"]
    coverage: Float[Tensor, "batch grid_rows grid_cols"]
    captions: Prompts
    same: Float[Tensor, "batch batch"]
    states: Prompts
    """First the normal prompts of the batch, then the anomalous ones."""


@dataclass(frozen=True)
class Losses:
    """The terms, unweighted."""

    distil: Float[Tensor, ""]
    align: Float[Tensor, ""]
    state: Float[Tensor, ""]


@dataclass(frozen=True)
class Window:
    """A square of patches."""

    top: int
    left: int
    side: int

    def tokens(self, grid: Size) -> Int[Tensor, "tokens"]:
        """Indices of the class token and of the window's patches."""
        cells = torch.arange(1, grid[0] * grid[1] + 1).reshape(grid)
        return torch.cat([torch.zeros(1, dtype=torch.long), self.cut(cells).flatten()])

    def cut(self, maps: Tensor) -> Tensor:
        """The window of maps whose last two axes are the patch grid."""
        return maps[..., self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True)
class TowerOutputs:
    """What a tower made of a batch.

    Attributes:
        tokens: of the last block, the class token first.
        space: the same in the joint space, of unit length.
        damage: differences of the cosines to the anomalous and the normal prompt, over the temperature.
    """

    tokens: Float[Tensor, "batch tokens width"]
    space: Float[Tensor, "batch tokens embed"]
    damage: Float[Tensor, "batch tokens"]


class Learner(nn.Module):
    """A Clip whose stem is given, with the linear heads that only pretraining needs."""

    def __init__(self, clip: Clip, recipe: PretrainingRecipe) -> None:
        super().__init__()
        width = clip.config.vision.width
        self.clip, self.recipe = clip, recipe
        self.to_pooled = nn.Linear(width, POOLED_CHANNELS)
        self.to_damage = nn.Linear(width, 1)

    @property
    def stem(self) -> Stem:
        """What turns pixels into patches; its convolutions are never trained, its projection is."""
        stem = self.clip.vision.patch_embedding
        assert isinstance(stem, Stem)
        return stem

    def forward(self, batch: PretrainingBatch, window: Window | None = None) -> Losses:
        """All losses of a batch, or of one window of its patches, which costs as much less as it is smaller."""
        seen = self.see(batch, window)
        coverage = batch.coverage if window is None else window.cut(batch.coverage)
        return Losses(
            F.smooth_l1_loss(self.to_pooled(seen.tokens[:, 0]).float(), batch.pooled),
            self._align(seen.space[:, 0], batch),
            self._state(seen, coverage),
        )

    def see(self, batch: PretrainingBatch, window: Window | None = None) -> TowerOutputs:
        """Run both towers."""
        vision = self.clip.vision
        tokens = vision.arrange(self.stem.projection(batch.features))
        rows, cols = batch.features.shape[-2:]
        grid = (rows, cols)
        if window is not None:
            tokens, grid = tokens[:, window.tokens(grid)], (window.side, window.side)
        last = vision.run(tokens, grid).last
        space = l2_normalize(vision.project(last))
        normal, anomalous = l2_normalize(self.clip.text(batch.states.ids, batch.states.ends)).float().chunk(2)
        damage = torch.einsum("bte,be->bt", space.float(), anomalous - normal).float() / self.recipe.temperature
        return TowerOutputs(last, space, damage)

    def total(self, losses: Losses) -> Float[Tensor, ""]:
        """The weighted sum."""
        recipe = self.recipe
        return recipe.distil * losses.distil + recipe.align * losses.align + recipe.state * losses.state

    def _align(self, image: Float[Tensor, "batch embed"], batch: PretrainingBatch) -> Tensor:
        """CLIP's symmetric contrastive loss; equal captions are all counted as right."""
        text = l2_normalize(self.clip.text(batch.captions.ids, batch.captions.ends))
        logits = self.clip.logit_scale.exp().clamp(max=100) * (image.float() @ text.float().T)
        target = batch.same / batch.same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def _state(self, seen: TowerOutputs, coverage: Float[Tensor, "batch grid_rows grid_cols"]) -> Tensor:
        """Tokens are nearer to the anomalous prompt exactly where there is damage.

        The same is asked of a linear head, whose direction is fixed from the start: it teaches the vision tower while
        the text tower is still learning what the words of a state have in common.
        """
        damage, rarity = (COVERAGE_GAIN * coverage.flatten(1)).clamp(max=1), self.recipe.damage_weight
        by_head = self.to_damage(seen.tokens)[..., 0].float()
        return (_damage_loss(seen.damage, damage, rarity) + _damage_loss(by_head, damage, rarity)).mean()


def _damage_loss(
    logits: Float[Tensor, "batch tokens"], damage: Float[Tensor, "batch cells"], rarity: float
) -> Float[Tensor, "batch"]:
    """Cross-entropy and Dice over the patches, cross-entropy of the class token against the worst patch."""
    patches = F.binary_cross_entropy_with_logits(
        logits[:, 1:], damage, reduction="none", pos_weight=torch.tensor(rarity, device=logits.device)
    )
    whole = F.binary_cross_entropy_with_logits(logits[:, 0], damage.amax(1), reduction="none")
    return patches.mean(1) + 0.5 * whole


T = TypeVar("T")


def move(item: T, device: str) -> T:
    """A batch, or any dataclass of tensors and of such dataclasses, on another device."""
    assert is_dataclass(item)
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    moved = {k: v.to(device) if isinstance(v, Tensor) else move(v, device) for k, v in values.items()}
    return cast(T, replace(item, **moved))  # type: ignore[type-var]  # an instance, as asserted


def pad(prompts: Sequence[Sequence[int]]) -> Prompts:
    """Pad token ids to the longest; attention is causal, so what follows an end token changes nothing."""
    ends = torch.tensor([len(ids) - 1 for ids in prompts])
    length = int(ends.max()) + 1
    return Prompts(torch.tensor([[*ids, *[0] * (length - len(ids))] for ids in prompts]), ends)
