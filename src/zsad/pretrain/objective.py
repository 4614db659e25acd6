"""The three losses of pretraining, and the heads that only pretraining needs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import unit
from zsad.pretrain.recipe import Recipe
from zsad.pretrain.teacher import DEEP_CHANNELS, EARLY_CHANNELS, MIDDLE_CHANNELS, POOLED_CHANNELS, Features
from zsad.types import Size, Trace

COVERAGE_GAIN = 4.0
"""A patch counts as fully damaged from a quarter of its area on."""


@dataclass(frozen=True)
class Prompts:
    """Token ids padded to one length, with the index of each end token."""

    ids: Int[Tensor, "prompts tokens"]
    ends: Int[Tensor, "prompts"]


@dataclass(frozen=True)
class Batch:
    """One step's pictures and words; ``same`` marks the captions that fit a picture (its own and equal ones)."""

    images: Float[Tensor, "batch 3 rows cols"]
    coverage: Float[Tensor, "batch grid_rows grid_cols"]
    has_state: Float[Tensor, "batch"]
    features: Features
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
    """A square of patches; ``top``, ``left`` and ``side`` are even, as the CNN's deepest map has half the grid."""

    top: int
    left: int
    side: int

    def tokens(self, grid: Size) -> Int[Tensor, "tokens"]:
        """Indices of the class token and of the window's patches."""
        cells = torch.arange(1, grid[0] * grid[1] + 1).reshape(grid)
        return torch.cat([torch.zeros(1, dtype=torch.long), self._cut(cells).flatten()])

    def crop(self, batch: Batch) -> Batch:
        """The batch's maps inside the window; pictures and words stay whole."""
        features = batch.features
        return replace(
            batch,
            coverage=self._cut(batch.coverage),
            features=replace(
                features,
                early=self._cut(features.early),
                middle=self._cut(features.middle),
                deep=Window(self.top // 2, self.left // 2, self.side // 2)._cut(features.deep),
            ),
        )

    def _cut(self, maps: Tensor) -> Tensor:
        return maps[..., self.top : self.top + self.side, self.left : self.left + self.side]


class Learner(nn.Module):
    """A trainable Clip with linear heads that predict the CNN's features."""

    def __init__(self, clip: Clip, recipe: Recipe) -> None:
        super().__init__()
        width = clip.config.vision.width
        self.clip, self.recipe = clip, recipe
        self.to_early = nn.Linear(width, EARLY_CHANNELS)
        self.to_middle = nn.Linear(width, MIDDLE_CHANNELS)
        self.to_deep = nn.Linear(width, DEEP_CHANNELS)
        self.to_pooled = nn.Linear(width, POOLED_CHANNELS)
        self.to_damage = nn.Linear(width, 1)

    def forward(self, batch: Batch, window: "Window | None" = None) -> Losses:
        """All losses of a batch, or of one window of its patches, which costs as much less as it is smaller."""
        vision = self.clip.vision
        tokens, grid = vision.embed(batch.images)
        if window is not None:
            tokens, grid = tokens[:, window.tokens(grid)], (window.side, window.side)
            batch = window.crop(batch)
        trace = vision.run(tokens, grid, keep=self.recipe.distil_blocks)
        space = unit(vision.project(trace.last))
        return Losses(
            self._distil(trace, batch.features),
            self._align(space[:, 0], batch),
            self._state(space, trace.last, batch),
        )

    def total(self, losses: Losses) -> Float[Tensor, ""]:
        """The weighted sum."""
        recipe = self.recipe
        return recipe.distil * losses.distil + recipe.align * losses.align + recipe.state * losses.state

    def _distil(self, trace: Trace, target: Features) -> Tensor:
        """Patches predict the CNN's maps at three depths, the class token its pooled vector (each standardised)."""
        early, middle = (trace.kept[index] for index in self.recipe.distil_blocks)

        def as_map(head: nn.Linear, tokens: Tensor) -> Tensor:
            return head(tokens[:, 1:]).transpose(1, 2).unflatten(2, trace.grid).float()

        return (
            F.smooth_l1_loss(as_map(self.to_early, early), target.early)
            + F.smooth_l1_loss(as_map(self.to_middle, middle), target.middle)
            + F.smooth_l1_loss(F.avg_pool2d(as_map(self.to_deep, trace.last), 2), target.deep)
            + F.smooth_l1_loss(self.to_pooled(trace.last[:, 0]).float(), target.pooled)
        )

    def _align(self, image: Float[Tensor, "batch embed"], batch: Batch) -> Tensor:
        """CLIP's symmetric contrastive loss; equal captions are all counted as right."""
        text = unit(self.clip.text(batch.captions.ids, batch.captions.ends))
        logits = self.clip.logit_scale.exp().clamp(max=100) * (image.float() @ text.float().T)
        target = batch.same / batch.same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def _state(self, space: Tensor, last: Tensor, batch: Batch) -> Tensor:
        """Tokens are nearer to the anomalous prompt exactly where there is damage.

        The same is asked of a linear head, whose direction is fixed from the start: it teaches the vision tower while
        the text tower is still learning what the words of a state have in common.
        """
        normal, anomalous = unit(self.clip.text(batch.states.ids, batch.states.ends)).float().chunk(2)
        by_words = torch.einsum("bte,be->bt", space.float(), anomalous - normal) / self.recipe.temperature
        by_head = self.to_damage(last)[..., 0].float()
        damage = (COVERAGE_GAIN * batch.coverage.flatten(1)).clamp(max=1)
        weight = batch.has_state / batch.has_state.sum().clamp(min=1)
        rarity = self.recipe.damage_weight
        return ((_damage_loss(by_words, damage, rarity) + _damage_loss(by_head, damage, rarity)) * weight).sum()


def _damage_loss(
    logits: Float[Tensor, "batch tokens"], damage: Float[Tensor, "batch cells"], rarity: float
) -> Float[Tensor, "batch"]:
    """Cross-entropy and Dice over the patches, cross-entropy of the class token against the worst patch."""
    patches = F.binary_cross_entropy_with_logits(
        logits[:, 1:], damage, reduction="none", pos_weight=torch.tensor(rarity, device=logits.device)
    )
    # The Dice loss is for finding few patches among many; where these are weighted it would pull the other way.
    dice = 0.5 * _dice(logits[:, 1:].sigmoid(), damage) if rarity == 1 else 0.0
    whole = F.binary_cross_entropy_with_logits(logits[:, 0], damage.amax(1), reduction="none")
    return patches.mean(1) + dice + 0.5 * whole


def _dice(probability: Float[Tensor, "batch cells"], target: Float[Tensor, "batch cells"]) -> Float[Tensor, "batch"]:
    """Soft Dice loss of each picture, smoothed by one cell."""
    overlap = 2 * (probability * target).sum(1) + 1
    return 1 - overlap / (probability.sum(1) + target.sum(1) + 1)


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
