"""CoOp: CLIP with a learned context before the state and the name of the object (row "CoOp" of the papers' tables).

Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022. The row comes from AnomalyCLIP (Zhou et al.,
ICLR 2024), without code; what it leaves open and how it was decided is in ``docs/methods/coop.md``.

    "[V]×12 normal {object}.", "[V]×12 anomalous {object}." -> text tower -> g_n, g_a [batch, 2, embed]
    images -> frozen tower -> patches and class token of the last block, post-norm, projection
    map = softmax(cosine(patch, g) / τ) [rows, cols];  score = softmax(cosine(class token, g) / τ)
    loss = cross-entropy of the score
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.parts.losses import dice_of_both_states, focal, image_cross_entropy, upsample
from zsad.parts.prompts import encode_with_context, fit_prompts
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import anomaly_probability, state_features
from zsad.types import BackboneFeatures, Evidence, Target

WORDINGS = (("normal {}.",), ("anomalous {}.",))
"""What follows the context: [normal] and [anomalous], the object, and CoOp's full stop."""
START_STD = 0.02


@dataclass(frozen=True)
class CoOpConfig(Config):
    """Constants of CoOp, and of AnomalyCLIP's code where the row says nothing.

    Attributes:
        temperature: τ (AnomalyCLIP; CoOp itself has CLIP's 0.01).
        prompt_length: learned vectors (AnomalyCLIP; 16 in CoOp).
        shared_context: whether both states have the same vectors ("unified context"), or each its own.
        local_weight: of focal and Dice losses of the map; 0 trains by the image's label alone, as CoOp does.
    """

    temperature: float = 0.07
    prompt_length: int = 12
    shared_context: bool = True
    local_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if self.prompt_length < 1:
            raise ConfigError("a context has at least one vector", self.prompt_length, "say 12")
        if not self.local_weight >= 0:
            raise ConfigError("the weight of a loss is at least 0", self.local_weight, "say 0 for none")


class CoOp(FrozenBackboneMethod):
    """A learned context, compared with the class token and with the patches of an unchanged CLIP."""

    paper = Paper(
        title="Learning to Prompt for Vision-Language Models",
        authors="K. Zhou et al.",
        venue="IJCV",
        year=2022,
        url="https://arxiv.org/abs/2109.01134",
    )
    config_type = CoOpConfig
    training_defaults = TrainingConfig(epochs=15, batch_size=8, learning_rate=1e-3, betas=(0.5, 0.999))  # AnomalyCLIP's

    def __init__(self, clip: Clip, config: CoOpConfig | None = None) -> None:
        self.config: CoOpConfig
        super().__init__(clip, config or CoOpConfig())
        shape = 1 if self.config.shared_context else 2, self.config.prompt_length, clip.config.text.width
        self.context = nn.Parameter(nn.init.normal_(torch.empty(shape), std=START_STD))
        self._cache = ResultCache(self)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Patches and class token of the last block in the joint space."""
        trace = self.clip.vision(images)
        tokens = self.clip.vision.project(trace.last)
        return BackboneFeatures(patches=tokens[:, None, 1:], image=tokens[:, 0], grid=trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        states = self.states(class_names, len(features.image))
        maps = anomaly_probability(features.patches, states, self.config.temperature)
        score = anomaly_probability(features.image, states, self.config.temperature)
        return Evidence(maps=maps.unflatten(2, features.grid), score=score)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        terms = {"image": image_cross_entropy(evidence.score, target.labels)}
        if self.config.local_weight:
            maps = upsample(evidence.maps, target.masks, align_corners=self.config.align_corners)[:, 0]
            terms["focal"] = self.config.local_weight * focal(maps, target.masks)
            terms["dice"] = self.config.local_weight * dice_of_both_states(maps, target.masks)
        return terms

    def states(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch 2 embed"]:
        """Unit vectors of the normal and the anomalous state of what each image shows; each class is encoded once.

        Raises:
            InputError: there is not one class name for each image.
        """
        return self._cache.of_classes(class_names, images, self._encode)

    def _encode(self, class_name: str) -> Float[Tensor, "2 embed"]:
        texts = fit_prompts(self.clip.tokenizer, class_name, WORDINGS, taken=self.config.prompt_length)
        contexts = self.context.expand(len(WORDINGS), -1, -1)
        return state_features(encode_with_context(self.clip, contexts, texts)[:, None])
