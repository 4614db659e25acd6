"""AnomalyCLIP: learned prompts that name no object, and patches from a stream of V-V attention.

Zhou et al., "AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection", ICLR 2024. The defaults are
those of the authors' scripts, which made their published weights; where paper and code differ is in
``docs/methods/anomalyclip.md``.

    images -> frozen tower, and next to it the V-V stream over its last 19 of 24 blocks (DPAM, section 3.3)
           -> post-norm, projection: patches of the levels [batch, levels, cells, embed]
           -> class token of the original path, projected without the post-norm [batch, embed]
    "[V]×12 object.", "[W]×12 damaged object." -> text tower, 4 learned tokens in each of layers 2-9 -> g_n, g_a
    map of a level = softmax(cosine(patch, g) / τ) [rows, cols];  score = softmax(cosine(class token, g) / τ)
    loss = cross-entropy of the score + λ Σ_levels (focal + Dice of the anomalous + Dice of the normal state) (eq. 2-3)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.config import PositionResize
from zsad.backbones.transformer import level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.methods.anomalyclip import published
from zsad.methods.anomalyclip.prompts import REFERENCE_DEPTH as TEXT_DEPTH
from zsad.methods.anomalyclip.prompts import ObjectAgnosticPrompts
from zsad.parts.losses import dice_of_both_states, focal, image_cross_entropy, upsample
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import anomaly_probability
from zsad.parts.vv_attention import run_with_tower
from zsad.types import BackboneFeatures, Evidence, Target

REFERENCE_DEPTH = 24
"""Depth of the vision tower whose layers are counted below."""


@dataclass(frozen=True)
class AnomalyClipConfig(Config):
    """Constants of the authors' code.

    Attributes:
        levels: layers of a 24-block tower whose patches are compared. The scripts that made the published weights say
            24 alone; (6, 12, 18, 24), the default of the program and the paper's four layers, gave the same map four
            times until a fault was mended in 2025.
        vv_from: first layer with V-V attention; 6 means the last 19 (DPAM, section 3.3).
        temperature: τ.
        prompt_length: E, learned vectors of each state (section 4.1).
        prompt_depth: layers of a 12-layer text tower with learned vectors (section 4.1).
        deep_length: learned vectors in each layer after the first (section 4.1).
        class_post_norm: whether the class token passes CLIP's last LayerNorm; the code leaves it out.
        local_weight: λ (equation 2).
    """

    levels: tuple[int, ...] = (24,)
    vv_from: int = 6
    temperature: float = 0.07
    prompt_length: int = 12
    prompt_depth: int = 9
    deep_length: int = 4
    class_post_norm: bool = False
    local_weight: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.levels or min(self.levels) < self.vv_from or max(self.levels) > REFERENCE_DEPTH:
            asked = f"{self.levels} from {self.vv_from}"
            raise ConfigError("levels lie where V-V attention has begun", asked, "for instance (24,) from 6")
        if not 1 <= self.deep_length <= self.prompt_length:
            asked = f"{self.deep_length} of {self.prompt_length}"
            raise ConfigError("deep prompts replace learned vectors", asked, "say 4 of 12, as the authors do")
        if not 1 <= self.prompt_depth <= TEXT_DEPTH:
            raise ConfigError(
                f"a prompt depth lies in 1..{TEXT_DEPTH}", self.prompt_depth, "say 9; 1 for no deep prompts"
            )
        if not self.local_weight >= 0:
            raise ConfigError("the weight of a loss is at least 0", self.local_weight, "say 4")


class AnomalyClip(FrozenBackboneMethod):
    """Object-agnostic prompts, compared with the patches of a V-V stream and with the class token."""

    paper = Paper(
        title="AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection",
        authors="Q. Zhou et al.",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2310.18961",
    )
    config_type = AnomalyClipConfig
    uses_class_names = False
    training_defaults = TrainingConfig(epochs=15, batch_size=8, learning_rate=1e-3, betas=(0.5, 0.999))

    @classmethod
    def authors_position_resize(cls, config: Config) -> PositionResize | None:
        """Bilinear, in the forward pass of their tower."""
        return "bilinear"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """A checkpoint of the authors' training; see :mod:`zsad.methods.anomalyclip.published`."""
        return published.read(state)

    def __init__(self, clip: Clip, config: AnomalyClipConfig | None = None) -> None:
        self.config: AnomalyClipConfig
        super().__init__(clip, config or AnomalyClipConfig())
        config, depth = self.config, clip.config.vision.depth
        self.levels = [level_index(level, REFERENCE_DEPTH, depth) for level in config.levels]
        self.vv_from = level_index(config.vv_from, REFERENCE_DEPTH, depth)
        self.prompts = ObjectAgnosticPrompts(clip, config.prompt_length, config.prompt_depth, config.deep_length)
        self._cache = ResultCache(self.prompts)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Patches of the V-V stream and the class token, all in the joint space."""
        vision = self.clip.vision
        trace, stream = run_with_tower(vision, images, self.vv_from, self.levels)
        patches = torch.stack([vision.project(stream[level][:, 1:]) for level in self.levels], 1)
        token = trace.last[:, 0]
        image = vision.project(token) if self.config.class_post_norm else token @ vision.projection
        return BackboneFeatures(patches=patches, image=image, grid=trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        """Evidence from the features of the backbone; class names are not used."""
        states = self.states().expand(len(features.image), -1, -1)
        maps = anomaly_probability(features.patches, states, self.config.temperature)
        score = anomaly_probability(features.image, states, self.config.temperature)
        return Evidence(maps=maps.unflatten(2, features.grid), score=score)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Equations 2 and 3, summed over the levels."""
        levels = upsample(evidence.maps, target.masks, align_corners=self.config.align_corners).unbind(1)
        weight, masks = self.config.local_weight, target.masks
        return {
            "image": image_cross_entropy(evidence.score, target.labels),
            "focal": weight * torch.stack([focal(maps, masks) for maps in levels]).sum(),
            "dice": weight * torch.stack([dice_of_both_states(maps, masks) for maps in levels]).sum(),
        }

    def states(self) -> Float[Tensor, "1 2 embed"]:
        """Unit vectors g_n and g_a, the same for all images."""
        return self._cache("states", lambda: self.prompts(self.clip))[None]
