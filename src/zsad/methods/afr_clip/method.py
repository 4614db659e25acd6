"""AFR-CLIP: every patch turns a stateless prompt into a stateful one, and text is compared with text.

Yuan et al., "AFR-CLIP: Enhancing Zero-Shot Industrial Anomaly Detection with Stateless-to-Stateful Anomaly Feature
Rectification", arXiv 2025 (2503.12910). No code of the authors was found; what the paper leaves open and how it was
decided is in ``docs/methods/afr-clip.md``.

    images -> CNN -> vector [batch, channels] -> K linear heads, + K learned tokens = visual prompts      SP, eq. 15-16
    images -> tower, prompts in layers 2-6 -> tokens after layers 6, 12, 18, 24                           eq. 17-18
    tokens [batch, 1 + rows·cols, width] -> Linear of the stage [.., embed] -> 3×3 mean over patches      eq. 1, MPFA
    "A photo of a {normal, defective, -} {thing}" -> text tower -> Linear [3, embed]                      eq. 2
    stateless text + F_v ⊙ M_v(F_v, stateless text), at the class token and at each patch                 CMFR, eq. 3-6
    P(anomalous) = softmax of cosines with the defective and the normal text                              eq. 7-13
    map, score = mean over the four stages, from patches and from the class token
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones import cnn
from zsad.backbones.clip import Clip
from zsad.backbones.transformer import NO_EDITS, l2_normalize, level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.methods.afr_clip.rectification import Rectification
from zsad.methods.afr_clip.self_prompts import STAGE_ENDS, Placement, SelfPrompts, prompt_edits, prompted_blocks
from zsad.parts.images import unnormalised
from zsad.parts.losses import dice, focal, image_cross_entropy, upsample
from zsad.parts.prompts import fit_prompts
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import anomaly_probability
from zsad.types import Evidence, Size, Target, Trace

PROMPTS = ("A photo of a normal {}", "A photo of a defective {}", "A photo of a {}")
"""Normal, anomalous, stateless (Section "CMFR")."""
STATELESS = 2


@dataclass(frozen=True)
class AfrClipConfig(Config):
    """Constants of the paper.

    Attributes:
        levels: layers of a 24-layer tower after which tokens are read ("Implementation Details").
        rectify: whether to use CMFR (Table 3).
        rectifiers: whether every stage has a CMFR of its own or all share one.
        neighbourhood: m, side in patches of the mean of MPFA, odd (Table 6); 1 is no MPFA (Table 3).
        self_prompting: whether to use SP (Table 3).
        prompts: K, number of visual prompts ("Implementation Details").
        stages: SP reaches from the second layer to the end of this stage, 1 to 4 (Table 4).
        placement: whether prompts follow the patches, or replace the last K of them (equation 18 literally).
        cnn: the network from whose vector P_v is predicted; ``none`` for P_l alone (Table 5).
        cnn_weights: of a ResNet (see :func:`zsad.backbones.cnn.load`).
        learned_prompts: whether to use P_l (Table 5).
        temperature: of the softmax; the paper has none, which is 1.
        map_loss: whether the losses of maps apply to the mean map or to the map of each stage.
    """

    levels: tuple[int, ...] = STAGE_ENDS
    rectify: bool = True
    rectifiers: Literal["per stage", "shared"] = "per stage"
    neighbourhood: int = 3
    self_prompting: bool = True
    prompts: int = 5
    stages: int = 1
    placement: Placement = "append"
    cnn: Literal["efficientnet-lite0", "resnet50", "none"] = "efficientnet-lite0"
    cnn_weights: str | None = None
    learned_prompts: bool = True
    temperature: float = 0.07
    map_loss: Literal["mean", "stages"] = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.levels or not all(1 <= level <= STAGE_ENDS[-1] for level in self.levels):
            raise ConfigError("levels are layers of a 24-layer tower", self.levels, "for instance (6, 12, 18, 24)")
        if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
            raise ConfigError("a neighbourhood is an odd number of patches", self.neighbourhood, "use 1, 3 or 5")
        if self.prompts < 1 or self.stages not in (1, 2, 3, 4):
            raise ConfigError(
                "there is at least 1 prompt, in stages 1 to 4",
                f"{self.prompts} in {self.stages}",
                "for instance 5 in 1",
            )
        if self.self_prompting and self.cnn == "none" and not self.learned_prompts:
            raise ConfigError(
                "prompts come from a CNN, or are learned, or both", "neither", "use self_prompting = false"
            )
        if self.cnn_weights is not None and (self.cnn == "none" or not self.self_prompting):
            raise ConfigError(
                "weights belong to a CNN for prompts",
                self.cnn_weights,
                "name the CNN and leave self_prompting on, or leave the weights out",
            )


class AfrClip(Trainable):
    """Text-on-text scoring with CMFR, SP and MPFA."""

    paper = Paper(
        title="AFR-CLIP: Enhancing Zero-Shot Industrial Anomaly Detection with Stateless-to-Stateful Anomaly Feature "
        "Rectification",
        authors="J. Yuan et al.",
        venue="arXiv",
        year=2025,
        url="https://arxiv.org/abs/2503.12910",
    )
    config_type = AfrClipConfig
    foreign = ("clip", "cnn")
    # "Implementation Details": Adam, lr = 0.001 / (epoch + 1).
    training_defaults = TrainingConfig(epochs=100, batch_size=4, learning_rate=1e-3, schedule="inverse")

    def __init__(self, clip: Clip, config: AfrClipConfig | None = None) -> None:
        self.config: AfrClipConfig
        super().__init__(clip, config or AfrClipConfig())
        self._add_rectification()
        self._add_prompts()
        self._cache = ResultCache(self.textual)

    def _add_rectification(self) -> None:
        config, width, embed = self.config, self.clip.config.vision.width, self.clip.config.embed
        stages = len(config.levels)
        self.visual = nn.ModuleList(nn.Linear(width, embed) for _ in range(stages))
        self.textual = nn.Linear(embed, embed)
        nn.init.eye_(self.textual.weight)
        nn.init.zeros_(self.textual.bias)
        rectifiers = 0 if not config.rectify else 1 if config.rectifiers == "shared" else stages
        self.rectifiers = nn.ModuleList(Rectification(embed) for _ in range(rectifiers))

    def _add_prompts(self) -> None:
        config = self.config
        prompting = config.self_prompting
        self.cnn = cnn.load(config.cnn, config.cnn_weights) if prompting and config.cnn != "none" else None
        channels = None if self.cnn is None else self.cnn.channels
        width = self.clip.config.vision.width
        self.prompts = SelfPrompts(config.prompts, width, channels, config.learned_prompts) if prompting else None

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        trace, texts = self._run_tower(images), self._texts(class_names, len(images))
        states, stateless = l2_normalize(texts[:, :STATELESS].float()), texts[:, STATELESS]
        probabilities = []
        for stage, block in enumerate(self._blocks()):
            visual = aggregate(self.visual[stage](trace.kept[block]), trace.grid, self.config.neighbourhood)
            rectified = self._rectify(stage, visual, stateless)
            probabilities.append(anomaly_probability(rectified, states, self.config.temperature))
        levels = torch.stack(probabilities, 1)
        # Equations 7-9 at the class token, 10-13 at the patches.
        return Evidence(maps=levels[:, :, 1:].unflatten(2, trace.grid), score=levels[:, :, 0].mean(1))

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        each = self.config.map_loss == "stages"
        maps = evidence.maps if each else evidence.maps.mean(1, keepdim=True)
        large, masks = (
            upsample(maps, target.masks, align_corners=self.config.align_corners).flatten(0, 1),
            target.masks.repeat_interleave(maps.shape[1], 0),
        )
        return {
            "image": image_cross_entropy(evidence.score, target.labels),
            "focal": focal(large, masks),
            "dice": dice(large, masks),
        }

    def _run_tower(self, images: Float[Tensor, "batch 3 rows cols"]) -> Trace:
        """The tower's tokens, with the prompts in its first stage (equations 15-18)."""
        before = after = NO_EDITS
        if self.prompts is not None:
            prompts = self.prompts(None if self.cnn is None else self.cnn(unnormalised(images, self.clip.config)))
            blocks = prompted_blocks(self.config.stages, self.clip.config.vision.depth)
            before, after = prompt_edits(prompts, blocks, self.config.placement)
        return self.clip.vision(images, before=before, after=after, keep=self._blocks())

    def _blocks(self) -> list[int]:
        depth = self.clip.config.vision.depth
        return [level_index(level, STAGE_ENDS[-1], depth) for level in self.config.levels]

    def _texts(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch 3 embed"]:
        """Normal, anomalous and stateless text of each image (equation 2); each class is computed once.

        Raises:
            InputError: there is not one class name for each image.
        """
        return self._cache.of_classes(class_names, images, self._encode)

    def _encode(self, class_name: str) -> Float[Tensor, "3 embed"]:
        states = fit_prompts(self.clip.tokenizer, class_name, tuple((prompt,) for prompt in PROMPTS))
        return self.textual(self.clip.encode_prompts([prompt for state in states for prompt in state]))

    def _rectify(
        self, stage: int, visual: Float[Tensor, "batch tokens embed"], stateless: Float[Tensor, "batch embed"]
    ) -> Float[Tensor, "batch tokens embed"]:
        """The features compared with the two states: rectified text, or, without CMFR, the visual features."""
        if not self.rectifiers:
            return visual
        return self.rectifiers[stage % len(self.rectifiers)](visual, stateless)


def aggregate(
    features: Float[Tensor, "batch tokens embed"], grid: Size, side: int
) -> Float[Tensor, "batch tokens embed"]:
    """MPFA (equations 19-21): the mean of each patch's side×side neighbourhood, as far as it exists.

    The class token is unchanged.
    """
    if side == 1:
        return features
    plane = features[:, 1:].unflatten(1, grid).permute(0, 3, 1, 2)
    means = F.avg_pool2d(plane, side, stride=1, padding=side // 2, count_include_pad=False)
    return torch.cat([features[:, :1], means.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
