"""A control: the frozen CNN of the stem alone, which calls odd what is unlike the rest of its image.

    images -> CNN -> standardised features [472] of each patch, unit length
    anomaly of a patch = (1 - mean cosine to its k nearest other patches of the same image) / 2
    score = the greatest of them

It knows no words and no state: what a detector on the whole tower finds beyond it, the project's training has added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.stem import Stem
from zsad.backbones.transformer import l2_normalize
from zsad.checkpoint import Card
from zsad.errors import ConfigError
from zsad.methods._base import Config, Method, Paper
from zsad.predictor import Detector
from zsad.types import Evidence

NAME = "cnn-neighbours"


@dataclass(frozen=True)
class NeighboursConfig(Config):
    """What is near.

    Attributes:
        share: of the patches of an image that count as the nearest ones; at least one does.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ConfigError("the share of the nearest patches lies in (0, 1]", self.share, "say 0.05")


class Neighbours(Method):
    """Features of the CNN against their nearest neighbours in the same image."""

    paper = Paper(
        title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        authors="M. Tan, Q. V. Le",
        venue="ICML",
        year=2019,
        url="https://arxiv.org/abs/1905.11946",
    )
    config_type = NeighboursConfig
    paper_backbone: ClassVar[str] = "tiny"
    uses_class_names = False

    def __init__(self, clip: Clip, config: NeighboursConfig | None = None) -> None:
        self.config: NeighboursConfig
        super().__init__(clip, config or NeighboursConfig())
        if not isinstance(clip.vision.patch_embedding, Stem):
            raise ConfigError("this control looks with the CNN of a stem", clip.name, "name a hybrid tower, as tiny is")

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        stem = self.clip.vision.patch_embedding
        assert isinstance(stem, Stem)
        features = stem.standardised(stem.features(images))
        cells = l2_normalize(features.float().flatten(2).transpose(1, 2))
        alike = cells @ cells.transpose(1, 2)
        nearest = max(1, round(self.config.share * cells.shape[1]))
        others = alike.masked_fill(torch.eye(cells.shape[1], dtype=torch.bool, device=alike.device), -torch.inf)
        anomaly = (1 - others.topk(nearest).values.mean(-1)).div(2).clamp(0, 1)
        return Evidence(anomaly.unflatten(1, (1, *features.shape[-2:])), anomaly.amax(1))


def of(detector: Detector) -> Detector:
    """The control on the backbone of a detector, at its size.

    Raises:
        ConfigError: the backbone has no CNN.
    """
    card = Card(NAME, backbone=detector.card.backbone, weights=detector.card.weights)
    return Detector(card, Neighbours(detector.method.clip), detector.runtime)
