"""VCP-CLIP: the object of a prompt is read off the image, and texts attend to patches before they are compared.

Qu et al., "VCP-CLIP: A visual context prompting model for zero-shot anomaly segmentation", ECCV 2024. The defaults are
those of the authors' code; where paper and code differ is in ``docs/methods/vcp-clip.md``.

    images -> frozen tower -> x [batch, embed], patches after blocks 6, 12, 18, 24 [batch, 4, cells, width]
    Pre-VCP:  "a photo of a good/damaged [q_1 + conv(x)_1] [q_2 + conv(x)_2]" -> text tower with a deep prompt in each
              block -> t [batch, 2, embed]
    raw map of a level = softmax(cosine(Linear(patch), t) · s_1)
    Post-VCP: t attends to the patches of the level -> t' [batch, 2, width]
    refined map of a level = softmax(cosine(patch, t') · s_2)
    map = .2 · mean of the raw maps + .8 · mean of the refined ones
    score = mean of the 0.75 % highest pixels of the raw mean and of the refined one
    loss = Σ over all eight maps of focal + Dice
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation
from zsad.backbones.transformer import level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.methods.vcp_clip.prompts import REFERENCE_DEPTH as TEXT_DEPTH
from zsad.methods.vcp_clip.prompts import ContextPrompts, PatchAttention, log_scale
from zsad.methods.vcp_clip.published import read
from zsad.parts.losses import dice, focal, upsample
from zsad.parts.maps import interpolate
from zsad.parts.similarity import log_odds
from zsad.types import BackboneFeatures, Evidence, Target

REFERENCE_DEPTH = 24
"""Depth of the vision tower whose layers are counted below."""


@dataclass(frozen=True)
class VcpClipConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: of the Gaussian that smooths the map, in px.
        align_corners: as the code enlarges logits.
        levels: layers of a 24-block tower whose patches are compared.
        temperature: initial 1/s of both scales, which are learned.
        prompt_length: r, vectors that stand for the object.
        deep_length: n, deep prompts of a block of the text tower; 0 is none.
        deep_layers: blocks of a 12-block text tower after the first with deep prompts of their own.
        heads: of the attention of Post-VCP.
        refined_weight: of the refined map; the rest is that of the raw one.
        score_share: share of the highest pixels whose mean is the score; 2,000 of 518² px in the code.
    """

    sigma: float = 8.0
    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    temperature: float = 0.07
    prompt_length: int = 2
    deep_length: int = 1
    deep_layers: int = 11
    heads: int = 8
    refined_weight: float = 0.8
    score_share: float = 2000 / 518**2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.levels or min(self.prompt_length, self.heads) < 1 or self.deep_length < 0:
            value = f"{self.levels}, {self.prompt_length}, {self.heads} and {self.deep_length}"
            rule = "there are levels, prompt_length and heads are at least 1, deep_length at least 0"
            raise ConfigError(rule, value, "say (6, 12, 18, 24), 2, 8 and 1, as the authors do")
        if not 0 <= self.deep_layers < TEXT_DEPTH:
            rule = f"blocks after the first with deep prompts lie in 0..{TEXT_DEPTH - 1}"
            raise ConfigError(rule, self.deep_layers, "say 11, as the authors do")
        if not (0 <= self.refined_weight <= 1 and 0 < self.score_share <= 1):
            value = f"{self.refined_weight} and {self.score_share}"
            raise ConfigError("weights of maps and shares of pixels lie in [0, 1]", value, "say 0.8 and 0.0075")


@dataclass(frozen=True)
class VcpClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        raw: log-odds of each level, patches against texts.
        refined: log-odds of each level, patches against texts that have attended to them.
    """

    raw: Float[Tensor, "batch all_levels rows cols"]
    refined: Float[Tensor, "batch all_levels rows cols"]


class VcpClip(FrozenBackboneMethod):
    """Prompts with visual context before and after the text tower."""

    paper = Paper(
        title="VCP-CLIP: A visual context prompting model for zero-shot anomaly segmentation",
        authors="Z. Qu et al.",
        venue="ECCV",
        year=2024,
        url="https://arxiv.org/abs/2407.12276",
    )
    config_type = VcpClipConfig
    uses_class_names = False
    # Trained on VisA; 2e-5 on MVTec AD.
    training_defaults = TrainingConfig(
        epochs=10, batch_size=32, learning_rate=4e-5, betas=(0.5, 0.999), rates={"log_scale": 1e-2}
    )

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights."""
        return "gelu"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``epoch_N_group_id_M.pth`` of the authors' training, or one of the files that they published."""
        return read(state, cls.paper_backbone, len(VcpClipConfig.levels))

    def __init__(self, clip: Clip, config: VcpClipConfig | None = None) -> None:
        self.config: VcpClipConfig
        super().__init__(clip, config or VcpClipConfig())
        config, vision, embed = self.config, clip.config.vision, clip.config.embed
        if vision.width % config.heads:
            rule = f"the {vision.width} channels of the vision tower are a multiple of the heads"
            raise ConfigError(rule, config.heads, "choose another number of heads")
        self.blocks = [level_index(level, REFERENCE_DEPTH, vision.depth) for level in config.levels]
        self.prompts = ContextPrompts(clip, config.prompt_length, config.deep_length, config.deep_layers)
        self.patch_layers = nn.ModuleList(nn.Linear(vision.width, embed) for _ in self.blocks)
        self.attention = PatchAttention(embed, vision.width, config.heads)
        self.raw_log_scale, self.refined_log_scale = (log_scale(config.temperature) for _ in range(2))

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Patches as the blocks return them, and the class token in the joint space."""
        trace = self.clip.vision(images, keep=self.blocks)
        patches = torch.stack([trace.kept[block][:, 1:] for block in self.blocks], 1)
        return BackboneFeatures(patches, self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> VcpClipEvidence:
        """Evidence from the features of the backbone; class names are not used."""
        dtype = self.raw_log_scale.dtype
        texts = self.prompts(self.clip, features.image.to(dtype))
        raw, refined = [], []
        for layer, patches in zip(self.patch_layers, features.patches.to(dtype).unbind(1), strict=True):
            raw.append(self._odds(layer(patches), texts, self.raw_log_scale))
            seen = nn.functional.normalize(patches, dim=-1)
            refined.append(self._odds(seen, self.attention(texts.to(dtype), seen), self.refined_log_scale))
        levels = [torch.stack(odds, 1).unflatten(2, features.grid) for odds in (raw, refined)]
        weight = self.config.refined_weight
        maps = (1 - weight) * levels[0].sigmoid().mean(1) + weight * levels[1].sigmoid().mean(1)
        score = torch.stack([self._highest(odds) for odds in levels]).mean(0)
        return VcpClipEvidence(maps=maps[:, None], score=score, raw=levels[0], refined=levels[1])

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        assert isinstance(evidence, VcpClipEvidence)
        odds, masks = torch.cat([evidence.raw, evidence.refined], 1), target.masks
        maps = upsample(odds, masks, align_corners=self.config.align_corners).sigmoid().unbind(1)
        return {
            "focal": torch.stack([focal(one, masks) for one in maps]).sum(),
            "dice": torch.stack([dice(one, masks) for one in maps]).sum(),
        }

    def _odds(
        self, patches: Float[Tensor, "batch cells width"], states: Float[Tensor, "batch 2 width"], scale: Tensor
    ) -> Float[Tensor, "batch cells"]:
        return log_odds(patches, states, 1.0) * scale.float().exp()

    def _highest(self, odds: Float[Tensor, "batch levels rows cols"]) -> Float[Tensor, "batch"]:
        """Mean of the highest pixels of the mean of the levels, not smoothed, at the size that the patches cover."""
        rows, cols = (side * self.clip.vision.patch_size for side in odds.shape[-2:])
        pixels = interpolate(odds, (rows, cols), align_corners=self.config.align_corners).sigmoid().mean(1).flatten(1)
        return pixels.topk(max(round(self.config.score_share * rows * cols), 1), dim=1).values.mean(1)
