"""AnomalyGPT's image decoder: a linear layer for each of four depths, or a memory of normal patches in its place.

Gu et al., "AnomalyGPT: Detecting Industrial Anomalies Using Large Vision-Language Models", AAAI 2024. The part that
detects, without the language model that talks about it. Written from the paper and from facts of the authors' code;
what differs is in ``docs/methods/anomalygpt.md``.

    images -> frozen tower -> tokens after layers 8, 16, 24, 32 of 32 [batch, cells, width], as they leave the blocks
    patches -> Linear of the level [batch, cells, embed]
    "a photo of a {flawless, damaged, ...} {thing}." -> frozen text tower -> mean of 14 and of 10 prompts [2, embed]
    level  = softmax(cosine / 0.01), of the enlarged cosines
    map    = mean over the levels
    few-shot: map = mean over the levels of 1 - max cosine of the raw patch with those of normal images
    score  = maximum of the map
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.methods._published import PublishedDetector, checked, size, tensor_set
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.parts.losses import segmentation_losses
from zsad.parts.maps import map_maximum
from zsad.parts.prompts import APRIL_GAN_ANOMALOUS_STATES, NORMAL_STATES, compose
from zsad.parts.similarity import class_states, log_odds
from zsad.references import PatchFeatures, rotations
from zsad.types import BackboneFeatures, Evidence, Target

REFERENCE_DEPTH, PAPER_SIZE = 24, 224
TEMPLATES = ("a photo of a {}.", "a photo of the {}.")
ANY_CLASS = "object"
DECODER = "image_decoder."
"""Prefix of the decoder's tensors in the authors' checkpoints, whose others are the language model's."""


@dataclass(frozen=True)
class AnomalyGptConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: the code does not smooth.
        align_corners: as the code enlarges cosines and similarities.
        levels: layers, counted from 1 as for a tower of 24 blocks: 8, 16, 24 and 32 of ViT-H's 32.
        temperature: the code multiplies cosines by 100.
        few_shot_map: the map with normal images: of the ``"memory"`` alone, as in the code, or the ``"mean"`` of both.
        rotations: copies of each normal image at so many angles. The code turns them by right angles while it trains;
            when it tests, it means to do so for MVTec AD, and does not.
        object_in_training: whether prompts in training say "object" whatever an image shows, as the code does.
    """

    sigma: float = 0.0
    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    temperature: float = 0.01
    few_shot_map: Literal["memory", "mean"] = "memory"
    rotations: int = 1
    object_in_training: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_within("the number of angles of a normal image", self.rotations, 1, 72)
        if not self.levels:
            raise ConfigError("the decoder reads at least one layer", "none", "for instance (6, 12, 18, 24)")


@dataclass(frozen=True)
class DecoderEvidence(Evidence):
    """Evidence, with what the loss needs.

    Attributes:
        text: log-odds of every level by text, also where a memory gives the maps.
    """

    text: Float[Tensor, "batch text_levels rows cols"] = field(kw_only=True)


class AnomalyGpt(FewShot, FrozenBackboneMethod):
    """AnomalyGPT's image decoder, zero-shot and with a memory of normal images."""

    paper = Paper(
        title="AnomalyGPT: Detecting Industrial Anomalies Using Large Vision-Language Models",
        authors="Z. Gu et al.",
        venue="AAAI",
        year=2024,
        url="https://arxiv.org/abs/2308.15366",
    )
    config_type = AnomalyGptConfig
    paper_backbone = "ViT-H-14"
    training_defaults = TrainingConfig(
        epochs=50, batch_size=16, learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=1e-3, clip_norms={"linear": 1.0}
    )

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """The decoder in ``pytorch_model.pt`` of the authors' training; the tensors of the language model are left."""
        everything = tensor_set(state)
        layers = {name: tensor for name, tensor in everything.items() if name.startswith(DECODER)}
        levels = len(AnomalyGptConfig.levels)
        embed, width = size(layers, f"{DECODER}fc.0.weight", 0), size(layers, f"{DECODER}fc.0.weight", 1)
        shapes = {"weight": (embed, width), "bias": (embed,)}
        expected = {f"{DECODER}fc.{level}.{kind}": shape for level in range(levels) for kind, shape in shapes.items()}
        found = checked(layers, expected)
        tensors = {name.replace(f"{DECODER}fc.", "linear.", 1): tensor for name, tensor in found.items()}
        return PublishedDetector({}, tensors, cls.paper_backbone, PAPER_SIZE, "gelu")

    def __init__(self, clip: Clip, config: AnomalyGptConfig | None = None) -> None:
        self.config: AnomalyGptConfig
        config, vision = config or AnomalyGptConfig(), clip.config.vision
        self.blocks = [level_index(level, REFERENCE_DEPTH, vision.depth) for level in config.levels]
        super().__init__(clip, config, widths=(vision.width,) * len(self.blocks))
        self.linear = nn.ModuleList(nn.Linear(vision.width, clip.config.embed) for _ in self.blocks)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        trace = self.clip.vision(images, keep=set(self.blocks))
        patches = torch.stack([trace.kept[block][:, 1:] for block in self.blocks], 1)
        return BackboneFeatures(patches, self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> DecoderEvidence:
        generic = self.training and self.config.object_in_training
        names = [ANY_CLASS] * len(class_names) if generic else class_names
        states = class_states(self.clip, names, len(features.image), self.prompts, len(TEMPLATES))
        levels = [
            log_odds(layer(features.patches[:, number]), states, self.config.temperature)
            for number, layer in enumerate(self.linear)
        ]
        logits = torch.stack(levels, 1).unflatten(2, features.grid)
        if not self.is_few_shot:
            return DecoderEvidence(logits.sigmoid(), self._score(logits.sigmoid(), logits), logits=logits, text=logits)
        memory = self.nearest(self._references(features)).mean(1, keepdim=True).unflatten(2, features.grid)
        if self.config.few_shot_map == "mean":
            memory = (memory + logits.sigmoid().mean(1, keepdim=True)) / 2
        return DecoderEvidence(memory, self._score(memory, None), text=logits)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal and Dice loss of the maps by text, each a sum over the levels."""
        assert isinstance(evidence, DecoderEvidence)
        return segmentation_losses(evidence.text, target.masks, align_corners=self.config.align_corners)

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class: 7 and 5 states in 2 templates."""
        normal, anomalous = (
            compose(states, TEMPLATES, class_name) for states in (NORMAL_STATES, APRIL_GAN_ANOMALOUS_STATES)
        )
        return normal, anomalous

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Raw patches of the four layers; of rotated images, all copies of the first come first."""
        copies = rotations(images, self.config.rotations).transpose(0, 1).flatten(0, 1)
        return self._references(self.extract_features(copies))

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normal images and their rotated copies to the bank."""
        self.bank.add(self.reference_features(images), self.config.rotations)

    def _references(self, features: BackboneFeatures) -> PatchFeatures:
        streams = (l2_normalize(patches.float()) for patches in features.patches.unbind(1))
        return PatchFeatures(tuple(streams), features.grid)

    def _score(
        self, maps: Float[Tensor, "batch levels rows cols"], logits: Float[Tensor, "batch levels rows cols"] | None
    ) -> Float[Tensor, "batch"]:
        return map_maximum(maps, logits, self.clip.vision.patch_size, **self.config.upsampling)
