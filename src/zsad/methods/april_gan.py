"""APRIL-GAN (VAND): a linear layer for each of four depths takes frozen patches to the text; few-shot with a memory.

Chen et al., "A Zero-/Few-Shot Anomaly Classification and Segmentation Method for CVPR 2023 VAND Workshop Challenge
Tracks 1&2: 1st Place on Zero-shot AD and 4th Place on Few-shot AD", arXiv 2023 (2305.17382). Written from the facts of
the authors' code (commit f13b8a6); what differs from the paper is in ``docs/methods/april-gan.md``.

    images -> frozen tower -> tokens after layers 6, 12, 18, 24 [batch, cells, width], as they leave the blocks
    patches -> Linear of the level [batch, cells, embed]
    "a photo of a {flawless, damaged, ...} {thing}." -> frozen text tower -> mean of 245 and of 175 prompts [2, embed]
    level  = softmax(cosine / 0.01), of the enlarged cosines
    map    = mean over the levels (the code has their sum)
    score  = softmax(cosine of the class token in the joint space / 0.01)

    few-shot: d = 1 - max cosine of the raw patch with those of normal images, at each of four layers
    map    = mean over the levels and the four d
    score  = (score + maximum of the map) / 2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.methods._published import PublishedDetector, linear_levels, tensor_set
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.parts.losses import segmentation_losses
from zsad.parts.maps import map_maximum
from zsad.parts.prompts import APRIL_GAN_TEMPLATES, april_gan_prompts
from zsad.parts.similarity import anomaly_probability, class_states, log_odds
from zsad.references import PatchFeatures
from zsad.types import BackboneFeatures, Evidence, Target

PAPER_DEPTH, PAPER_SIZE = 24, 518


@dataclass(frozen=True)
class AprilGanConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: the code does not smooth.
        align_corners: as the code enlarges logits and distances.
        levels: layers of 24, counted from 1, whose patches are compared with the text.
        temperature: of both softmaxes; the code multiplies cosines by 100.
        few_shot_levels: layers of 24 whose patches are compared with those of normal images.
        few_shot_score: with normal images, the score of an image: the ``"mean"`` of P(anomalous) and the maximum of the
            map, or one of them alone: ``"text"``, ``"map"``. The code brings the maxima of all test images of a class
            to [0, 1] first, which a single image does not allow.
    """

    sigma: float = 0.0
    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    temperature: float = 0.01
    few_shot_levels: tuple[int, ...] = (6, 12, 18, 24)
    few_shot_score: Literal["mean", "text", "map"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.levels or not self.few_shot_levels:
            found = f"{self.levels} and {self.few_shot_levels}"
            raise ConfigError("text and memory have at least one layer each", found, "for instance (6, 12, 18, 24)")


class AprilGan(FewShot, FrozenBackboneMethod):
    """APRIL-GAN, zero-shot and with a few normal images."""

    paper = Paper(
        title="A Zero-/Few-Shot Anomaly Classification and Segmentation Method for CVPR 2023 VAND Workshop Challenge "
        "Tracks 1&2: 1st Place on Zero-shot AD and 4th Place on Few-shot AD",
        authors="X. Chen et al.",
        venue="arXiv",
        year=2023,
        url="https://arxiv.org/abs/2305.17382",
    )
    config_type = AprilGanConfig
    # train.py and train.sh, for training on VisA; on MVTec AD the authors take 3 epochs.
    training_defaults = TrainingConfig(epochs=15, batch_size=8, learning_rate=1e-3, betas=(0.5, 0.999))

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights."""
        return "gelu"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``epoch_N.pth`` of the authors' training, or one of the two files that they published."""
        layers = tensor_set(state, "trainable_linearlayer")
        tensors, _ = linear_levels(layers, len(AprilGanConfig.levels), "APRIL-GAN")
        return PublishedDetector({}, tensors, cls.paper_backbone, PAPER_SIZE, "gelu")

    def __init__(self, clip: Clip, config: AprilGanConfig | None = None) -> None:
        self.config: AprilGanConfig
        config, vision = config or AprilGanConfig(), clip.config.vision
        text, memory = (
            [level_index(level, PAPER_DEPTH, vision.depth) for level in levels]
            for levels in (config.levels, config.few_shot_levels)
        )
        super().__init__(clip, config, widths=(vision.width,) * len(memory))
        self.blocks = sorted({*text, *memory})
        self.of_text, self.of_memory = ([self.blocks.index(block) for block in part] for part in (text, memory))
        self.linear = nn.ModuleList(nn.Linear(vision.width, clip.config.embed) for _ in text)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        trace = self.clip.vision(images, keep=self.blocks)
        patches = torch.stack([trace.kept[block][:, 1:] for block in self.blocks], 1)
        return BackboneFeatures(patches, self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        states = class_states(self.clip, class_names, len(features.image), self.prompts, len(APRIL_GAN_TEMPLATES))
        levels = [
            log_odds(layer(features.patches[:, index]), states, self.config.temperature)
            for layer, index in zip(self.linear, self.of_text, strict=True)
        ]
        logits = torch.stack(levels, 1).unflatten(2, features.grid)
        score = anomaly_probability(features.image, states, self.config.temperature)
        if not self.is_few_shot:
            return Evidence(maps=logits.sigmoid(), score=score, logits=logits)
        distances = self.nearest(self._references(features)).unflatten(2, features.grid)
        maps = torch.cat([logits.sigmoid(), distances], 1)
        return Evidence(maps=maps, score=self._few_shot_score(score, maps, logits), logits=logits)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal and Dice loss, each a sum over the levels."""
        assert evidence.logits is not None
        return segmentation_losses(evidence.logits, target.masks, align_corners=self.config.align_corners)

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return april_gan_prompts(class_name)

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Raw patches of the layers of the memory."""
        return self._references(self.extract_features(images))

    def _references(self, features: BackboneFeatures) -> PatchFeatures:
        streams = (l2_normalize(features.patches[:, index].float()) for index in self.of_memory)
        return PatchFeatures(tuple(streams), features.grid)

    def _few_shot_score(
        self,
        text: Float[Tensor, "batch"],
        maps: Float[Tensor, "batch levels rows cols"],
        logits: Float[Tensor, "batch text_levels rows cols"],
    ) -> Float[Tensor, "batch"]:
        greatest = map_maximum(maps, logits, self.clip.vision.patch_size, **self.config.upsampling)
        return {"text": text, "map": greatest, "mean": (text + greatest) / 2}[self.config.few_shot_score]
