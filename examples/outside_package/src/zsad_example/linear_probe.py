"""Linear probe: one linear layer on the patch features of a frozen CLIP, trained on images with masks.

images -> vision tower -> patch features [batch, cells, embed], of unit length
map = sigmoid(scale * (w . features + b)),   score = mean of the largest tenth of the map
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.methods import BackboneFeatures, Config, Evidence, FrozenBackboneMethod, Paper, Target, TrainingConfig


@dataclass(frozen=True)
class LinearProbeConfig(Config):
    """Constants of the probe.

    Attributes:
        scale: what the output of the layer is multiplied with before the sigmoid; greater than 0.
    """

    scale: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale > 0:
            raise ConfigError("the scale of a linear probe is greater than 0", self.scale, "say 10")


class LinearProbe(FrozenBackboneMethod):
    """One linear layer on the patch features of CLIP."""

    paper = Paper(
        "Understanding intermediate layers using linear classifier probes",
        "G. Alain, Y. Bengio",
        "arXiv",
        2016,
        "https://arxiv.org/abs/1610.01644",
    )
    config_type = LinearProbeConfig
    training_defaults = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.01)
    uses_class_names = False

    def __init__(self, clip: Clip, config: LinearProbeConfig) -> None:
        super().__init__(clip, config)
        self.scale = config.scale
        self.layer = nn.Linear(clip.config.embed, 1)

    def extract_features(self, images: Tensor) -> BackboneFeatures:
        """The features that do not change in training; they are computed once per image and kept on disk."""
        trace = self.clip.vision(images)
        tokens = F.normalize(self.clip.vision.project(trace.last), dim=-1)
        return BackboneFeatures(patches=tokens[:, None, 1:], image=tokens[:, 0], grid=trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        """P(anomalous) of each cell and of each image; always in fp32."""
        logits = self.layer(features.patches.to(self.layer.weight.dtype))[..., 0].float()
        maps = torch.sigmoid(self.scale * logits)
        largest = maps.flatten(1).topk(max(1, maps[0].numel() // 10)).values
        return Evidence(maps=maps.unflatten(2, features.grid), score=largest.mean(1))

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Tensor]:
        """Binary cross-entropy of the cells and of the images."""
        share = F.adaptive_avg_pool2d(target.masks[:, None], evidence.maps.shape[2:])
        return {
            "cells": F.binary_cross_entropy(evidence.maps, (share > 0.5).float()),
            "images": F.binary_cross_entropy(evidence.score, target.labels),
        }
