"""FE-CLIP: two adapters in the frequency domain edit the patch tokens after each quarter of the vision tower.

Gong et al., "FE-CLIP: Frequency Enhanced CLIP Model for Zero-Shot Anomaly Detection and Segmentation", ICCV 2025. No
code was published; what the paper leaves open and how it was decided is in ``docs/methods/fe-clip.md``.

    images -> quarter 1 of the tower -> tokens: class f_1 [batch, width], patches f^m_1 [batch, rows, cols, width]
        FFE: 3×3 windows -> DCT -> linear, GELU -> inverse DCT
        LFS: 3×3 sliding windows -> DCT -> mean response -> convolution, GELU
        f^_1 = λ (FFE + LFS) + (1 - λ) f^m_1 (eq. 2) -> quarter 2 -> ... four times; class tokens are not edited
    "A photo of a normal / damaged object" -> frozen text tower -> g_r, g_a [embed]
    map   M_a = mean over n of softmax(cos(fc(f^_n), g) / τ)      [batch, rows, cols]   (eq. 3)
    score S_a = mean over n of softmax(cos(f_clip(f_n), g) / τ)   [batch]
    few-shot: (map + d) / 2 and (score + max d) / 2, d = mean over n of 1 - max cosine with the f^_n of normal images
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.methods.fe_clip.frequency import (
    Statistic,
    Transform,
    join_windows,
    sliding_statistics,
    split_windows,
    transform_matrix,
)
from zsad.parts.losses import dice, focal, image_cross_entropy, upsample
from zsad.parts.similarity import anomaly_probability, class_states
from zsad.references import PatchFeatures
from zsad.types import Evidence, Size, Target, Trace

PROMPTS = (["A photo of a normal object"], ["A photo of a damaged object"])
"""Normal and anomalous, section 3.2."""
PAPER_DEPTH = 24
WIDEST = 32
"""Maximum side of a window in patches: the size of its transform is the fourth power of it."""
L = TypeVar("L", bound=nn.Module)


@dataclass(frozen=True)
class FeClipConfig(Config):
    """Constants of the paper.

    Attributes:
        levels: layers of 24, counted from 1, after which frequencies are injected and maps are read; section 3.2 has
            N = 4 blocks, here read as quarters.
        blend: λ of eq. 2; 0.1 (section 3.2). 0 disables the adapters.
        adapters: ``"both"``, ``"ffe"``, ``"lfs"``, or ``"conv"``, which is no frequency adapter but has the size of LFS
            (the rows of Table 3).
        transform: ``"dct"``, or ``"fft"`` (Table 4).
        window: P, side of the windows of FFE in patches; 3 (section 3.3).
        sliding_window: Q, side of the windows of LFS in patches; 3 (section 3.4).
        statistic: of the responses r of LFS: ``"mean"`` (section 3.4), or the mean of |r| (``"mean_abs"``) or of
            log(1 + |r|) (``"log_abs"``).
        fc_per_stage: whether each stage has its own f_c; "a single learnable fc" (section 3.2).
        post_norm: whether f_clip normalises the class token before it projects, as CLIP does.
        temperature: τ of eq. 1; the paper gives none.
        focal_gamma: γ of the focal loss, eq. 5; the paper gives none.
    """

    levels: tuple[int, ...] = (6, 12, 18, 24)
    blend: float = 0.1
    adapters: Literal["both", "ffe", "lfs", "conv"] = "both"
    transform: Transform = "dct"
    window: int = 3
    sliding_window: int = 3
    statistic: Statistic = "mean"
    fc_per_stage: bool = False
    post_norm: bool = True
    temperature: float = 0.07
    focal_gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        if not self.focal_gamma >= 0:
            raise ConfigError("the γ of a focal loss is at least 0", self.focal_gamma, "use 2, or 0 for cross-entropy")
        if not 0 <= self.blend <= 1:
            raise ConfigError("the blend λ lies in [0, 1]", self.blend, "use 0.1, as the paper does")
        if min(self.window, self.sliding_window) < 1:
            sides = f"{self.window} and {self.sliding_window}"
            raise ConfigError("windows are at least 1 patch wide", sides, "use 3, as the paper does")
        check_within("the greater window in patches", max(self.window, self.sliding_window), 1, WIDEST)
        if not self.levels:
            raise ConfigError("FE-CLIP reads the tower after at least one layer", "none", "use [6, 12, 18, 24]")


@dataclass(frozen=True)
class FeClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        stage_scores: S_{a,n}, P(anomalous) of each image by the class token of each stage.
    """

    stage_scores: Float[Tensor, "batch levels"]


class FeClip(FewShot, Trainable):
    """FE-CLIP, zero-shot and with few normal shots."""

    paper = Paper(
        title="FE-CLIP: Frequency Enhanced CLIP Model for Zero-Shot Anomaly Detection and Segmentation",
        authors="T. Gong et al.",
        venue="ICCV",
        year=2025,
        url="https://iccv.thecvf.com/virtual/2025/poster/2571",
    )
    config_type = FeClipConfig
    uses_class_names = False
    # Section 4.2, which names no betas: PyTorch's.
    training_defaults = TrainingConfig(epochs=9, batch_size=16, learning_rate=5e-4, betas=(0.9, 0.999))

    def __init__(self, clip: Clip, config: FeClipConfig | None = None) -> None:
        self.config: FeClipConfig
        config = config or FeClipConfig()
        width, embed = clip.config.vision.width, clip.config.embed
        levels = sorted({level_index(level, PAPER_DEPTH, clip.config.vision.depth) for level in config.levels})
        super().__init__(clip, config, widths=(width,) * len(levels))
        self.levels = levels
        injected = levels if config.blend > 0 else []
        self.stages = nn.ModuleList(Injection(adapters(config, width), config.blend) for _ in injected)
        self.align = nn.ModuleList(nn.Linear(width, embed) for _ in (levels if config.fc_per_stage else levels[:1]))

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> FeClipEvidence:
        states = class_states(self.clip, class_names, len(images), self.prompts)
        trace = self.run(images)
        maps = torch.stack(self._stage_maps(trace, states), 1).unflatten(2, trace.grid)
        stage_scores = self._stage_scores(trace, states)
        score = stage_scores.mean(1)  # eq. 3; the mean of the maps is taken when they are upsampled
        if self.is_few_shot:
            distances = self.nearest(self._references(trace)).unflatten(2, trace.grid)
            maps, score = (maps + distances) / 2, (score + distances.mean(1).amax((1, 2))) / 2  # section 4.6
        return FeClipEvidence(maps, score, stage_scores)

    def run(self, images: Float[Tensor, "batch 3 rows cols"]) -> Trace:
        """The tower with frequencies injected after every stage (eq. 2); keeps class token and f^ of each."""
        return self.clip.vision(images, after=dict(zip(self.levels, self.stages, strict=False)), keep=self.levels)

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompt, the same for all classes."""
        return PROMPTS

    def _stage_maps(self, trace: Trace, states: Float[Tensor, "batch 2 embed"]) -> list[Float[Tensor, "batch cells"]]:
        """M_{a,n} = P(g_a, f_c(f^_n)), eq. 1."""
        return [
            anomaly_probability(align(trace.kept[level][:, 1:]), states, self.config.temperature)
            for level, align in zip(self.levels, cycle(self.align))  # one may serve all
        ]

    def _stage_scores(self, trace: Trace, states: Float[Tensor, "batch 2 embed"]) -> Float[Tensor, "batch levels"]:
        """S_{a,n} = P(g_a, f_clip(f_n)), eq. 1."""
        tower, tokens = self.clip.vision, torch.stack([trace.kept[level][:, 0] for level in self.levels], 1)
        features = tower.project(tokens) if self.config.post_norm else tokens @ tower.projection
        return anomaly_probability(features, states, self.config.temperature)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Eq. 4 and 5, each a mean over the stages."""
        assert isinstance(evidence, FeClipEvidence)
        stages = evidence.maps.shape[1]
        maps = upsample(evidence.maps, target.masks, align_corners=self.config.align_corners).flatten(0, 1)
        masks = target.masks.repeat_interleave(stages, 0)
        labels = target.labels[:, None].expand(-1, stages)
        return {
            "image": image_cross_entropy(evidence.stage_scores, labels),
            "focal": focal(maps, masks, self.config.focal_gamma),
            "dice": dice(maps, masks),
        }

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """f^ of every stage (section 4.6: "the same visual encoder of FE-CLIP")."""
        return self._references(self.run(images))

    def _references(self, trace: Trace) -> PatchFeatures:
        return PatchFeatures(tuple(l2_normalize(trace.kept[level][:, 1:].float()) for level in self.levels), trace.grid)


def adapters(config: FeClipConfig, width: int) -> list[nn.Module]:
    """The adapters of one stage (Table 3)."""
    if config.adapters == "conv":
        return [ConvGelu(width)]
    modules: list[nn.Module] = []
    if config.adapters in ("both", "ffe"):
        modules.append(FrequencyFeatures(width, config.window, config.transform))
    if config.adapters in ("both", "lfs"):
        statistics = SlidingStatistics(config.sliding_window, config.transform, config.statistic)
        modules.append(nn.Sequential(statistics, ConvGelu(width)))
    return modules


class Injection(nn.Module):
    """Edits the tokens after a stage: patches blended with the outputs of the adapters (eq. 2)."""

    def __init__(self, adapters: Sequence[nn.Module], blend: float) -> None:
        super().__init__()
        self.adapters, self.blend = nn.ModuleList(adapters), blend

    def forward(self, tokens: Float[Tensor, "batch tokens width"], grid: Size) -> Float[Tensor, "batch tokens width"]:
        patches = tokens[:, 1:].unflatten(1, grid)
        first, *rest = (adapter(patches) for adapter in self.adapters)
        blended = torch.lerp(patches, sum(rest, first).to(patches.dtype), self.blend)
        return torch.cat([tokens[:, :1], blended.flatten(1, 2)], 1)


class FrequencyFeatures(nn.Module):
    """FFE, section 3.3: windows -> frequencies -> linear layer, GELU -> space again."""

    matrix: Float[Tensor, "parts coefficients cells"]

    def __init__(self, width: int, window: int, transform: Transform) -> None:
        super().__init__()
        self.window, self.activation = window, nn.GELU()
        self.register_buffer("matrix", transform_matrix(transform, window), persistent=False)
        self.linear = nn.ModuleList(zeroed(nn.Linear(width, width)) for _ in self.matrix)

    def forward(self, patches: Float[Tensor, "batch rows cols width"]) -> Float[Tensor, "batch rows cols width"]:
        windows = split_windows(patches, self.window)
        first, *rest = (
            matrix.T @ self.activation(linear(matrix @ windows))  # f_{n,ffe,1} -> f_{n,ffe,2} -> f_{n,ffe}
            for matrix, linear in zip(self.matrix, self.linear, strict=True)
        )
        return join_windows(sum(rest, first), self.window, (patches.shape[1], patches.shape[2]))


class SlidingStatistics(nn.Module):
    """The first half of LFS, section 3.4: sliding windows -> frequencies -> one statistic per channel and cell."""

    matrix: Float[Tensor, "parts coefficients cells"]

    def __init__(self, window: int, transform: Transform, statistic: Statistic) -> None:
        super().__init__()
        self.statistic: Statistic = statistic
        self.register_buffer("matrix", transform_matrix(transform, window), persistent=False)

    def forward(self, patches: Float[Tensor, "batch rows cols width"]) -> Float[Tensor, "batch rows cols width"]:
        return sliding_statistics(patches, self.matrix, self.statistic)


class ConvGelu(nn.Module):
    """The second half of LFS, section 3.4, and alone the adapter "Conv" of Table 3: convolution, GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        convolution = zeroed(nn.Conv2d(width, width, 3, padding=1))
        # Tokens are channels-last already, so that no tensor is permuted.
        self.convolution = convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # no stub
        self.activation = nn.GELU()

    def forward(self, patches: Float[Tensor, "batch rows cols width"]) -> Float[Tensor, "batch rows cols width"]:
        return self.activation(self.convolution(patches.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


def zeroed(layer: L) -> L:
    """The layer with all its parameters at zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
