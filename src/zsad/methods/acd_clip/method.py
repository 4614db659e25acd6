"""ACD-CLIP: adapters in both towers, and a gateway that mixes the levels of the text for each level of the image.

Ma et al., "Architectural Co-Design for Zero-Shot Anomaly Detection: Decoupling Representation and Dynamically Fusing
Features in CLIP", arXiv 2025. The authors' code, which made the paper's numbers, is not what its equations say:
``variant="code"`` (default) follows the code, ``variant="paper"`` the equations. :class:`Differences` lists where they
differ; these and all other decisions are explained in ``docs/methods/acd-clip.md``.

    images -> vision tower in N groups of blocks; after each group Conv-LoRA edits the patch tokens (eq. 1-3)
           -> a head a group -> V_i [batch, cells, joint], unit vectors; joint is the width of the text tower
    class name -> 6 normal and 10 anomalous prompts -> text tower in N groups, LoRA after each -> layer norm of the end
           token -> T_j^s [groups, 2, joint], unit vectors
    gateway i: mean of V_i -> weights over the groups -> T_i^s = Σ_j ω_ij^s T_j^s [batch, 2, joint] (eq. 4-5)
    map i   = softmax(V_i · T_i / τ) [batch, rows, cols] (eq. 6), and their mean over the groups; the logits are blurred
              on the grid and upsampled with aligned corners before the softmax
    score   = 0.9 · P(anomalous) of the whole image + 0.1 · maximum of the map at the size of the image
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation
from zsad.backbones.transformer import l2_normalize
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.methods.acd_clip import published
from zsad.methods.acd_clip.conv_lora import Adapter, ConvLora, Lora
from zsad.methods.acd_clip.gateway import Gateway
from zsad.parts.losses import dice, dice_of_both_states, focal, image_cross_entropy, upsample
from zsad.parts.maps import pixel_maps
from zsad.parts.prompts import compose, fit_prompts, padded_ids
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import state_features
from zsad.types import Evidence, Target, Trace

NORMAL_STATES = ("{}", "one {}", "this {}")
ANOMALOUS_STATES = ("a faulty {}", "a broken {}", "a {} with a flaw", "a {} with a defect", "a {} with damage")
TEMPLATES = ("{}.", "a picture of {}.")
CLASS_TOKENS = 1


@dataclass(frozen=True)
class Differences:
    """Where the paper's equations and the authors' code differ.

    Attributes:
        shared_projections: the branches of a Conv-LoRA share W_down and W_up (eq. 2-3).
        divided_by_kernel: each convolution is divided by its k (eq. 2-3).
        blended: an update is scaled to the norm of the token and mixed in by a learned weight per channel, not added
            (2.1).
        gate_per_state: an MLP of the gateway for each state (eq. 4).
        cosine: fused text is normalised, so that sim is a cosine (eq. 6).
        averaged_logits: one softmax of the levels' mean logits, not the mean of the levels' maps (2.2).
        class_token: the class token is compared with T_N, not every level's mean patch with its T_i (2.3).
        dice_of_both_states: a second Dice term for the normal state (eq. 7).
    """

    shared_projections: bool
    divided_by_kernel: bool
    blended: bool
    gate_per_state: bool
    cosine: bool
    averaged_logits: bool
    class_token: bool
    dice_of_both_states: bool


Variant = Literal["paper", "code"]
VARIANTS: Mapping[Variant, Differences] = {
    "paper": Differences(
        shared_projections=True,
        divided_by_kernel=True,
        blended=False,
        gate_per_state=True,
        cosine=True,
        averaged_logits=False,
        class_token=True,
        dice_of_both_states=False,
    ),
    "code": Differences(
        shared_projections=False,
        divided_by_kernel=False,
        blended=True,
        gate_per_state=False,
        cosine=False,
        averaged_logits=True,
        class_token=False,
        dice_of_both_states=True,
    ),
}


@dataclass(frozen=True)
class AcdClipConfig(Config):
    """Constants of the paper, and of the authors' code where the paper is silent.

    Attributes:
        sigma: the code's 1 token of a ViT-L-14; its 1.5 tokens for medical images are 21.
        align_corners: as the code upsamples logits, for the loss and for predictions.
        smoothing_window: of the blur, in tokens; 9 for medical images (code).
        variant: which is followed where paper and code differ; see :class:`Differences`.
        groups: N, of 2, 3, 4 and 6 in table 1; 2 in table 2.
        adapter: of the vision groups; "lora" is the baseline of table 2.
        fusion: of the text levels; "static" is the baseline of table 2.
        kernels: k of the Conv-LoRA's branches (2.1).
        rank: of W_down and W_up (code).
        conv_rank: channels between a branch's convolutions (code).
        alpha: α of plain LoRAs that are added; blended ones have no scale (code).
        blend: initial weight of a blended update (code).
        hidden: hidden width of heads and gateways (code).
        temperature: τ of the maps, equation 6 (code).
        image_temperature: of the whole image's probability; 1 is none (code).
        map_weight: weight of the maximum of the map in the score; 0.1, and 0.5 for medical images (code).
        focal_weight: λ_Focal of equation 7 (code).
        dice_weight: λ_Dice of equation 7 (code).
        class_weight: λ_cls of equation 8 (code).
    """

    sigma: float = 14.0
    align_corners: bool = True
    smoothing_window: int | None = 7
    variant: Variant = "code"
    groups: int = 2
    adapter: Literal["conv-lora", "lora"] = "conv-lora"
    fusion: Literal["gateway", "static"] = "gateway"
    kernels: tuple[int, ...] = (3, 5)
    rank: int = 16
    conv_rank: int = 8
    alpha: float = 2.0
    blend: float = 0.2
    hidden: int = 256
    temperature: float = 0.1
    image_temperature: float = 1.0
    map_weight: float = 0.1
    focal_weight: float = 1.0
    dice_weight: float = 1.0
    class_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_temperature(self.image_temperature)
        if self.groups < 2:
            raise ConfigError("ACD-CLIP fuses at least 2 groups", self.groups, "use 2, 3, 4 or 6, as the paper does")
        if not self.kernels or any(kernel % 2 == 0 or kernel < 1 for kernel in self.kernels):
            raise ConfigError("kernels have odd sides, and there is at least one", self.kernels, "for instance (3, 5)")
        if min(self.rank, self.conv_rank, self.hidden) < 1:
            sizes = (self.rank, self.conv_rank, self.hidden)
            raise ConfigError("rank, conv_rank and hidden are at least 1", sizes, "use 16, 8 and 256, as the code does")
        if not 0 <= self.map_weight <= 1:
            raise ConfigError("the weight of the map in the score lies in [0, 1]", self.map_weight, "use 0.1")

    @property
    def differences(self) -> Differences:
        """The choices of the variant where paper and code differ."""
        return VARIANTS[self.variant]


@dataclass(frozen=True)
class AcdClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        image: P(anomalous) of the whole image, without the map.
    """

    image: Float[Tensor, "batch"]


def group_ends(depth: int, groups: int) -> list[int]:
    """Index of the last block of each group of a tower.

    >>> group_ends(24, 3)
    [7, 15, 23]
    """
    if depth % groups:
        raise ConfigError(
            "the number of groups divides the depths of both towers",
            f"{groups} groups for {depth} blocks",
            "set groups to a common divisor of both depths",
        )
    return [number * depth // groups - 1 for number in range(1, groups + 1)]


class AcdClip(Trainable):
    """ACD-CLIP with Conv-LoRA in the vision tower, LoRA in the text tower and a Dynamic Fusion Gateway per level."""

    paper = Paper(
        title="Architectural Co-Design for Zero-Shot Anomaly Detection: Decoupling Representation and Dynamically "
        "Fusing Features in CLIP",
        authors="K. Ma et al.",
        venue="arXiv",
        year=2025,
        url="https://arxiv.org/abs/2508.07819",
    )
    config_type = AcdClipConfig
    # From the authors' code, as the paper has none of it; "text_" is the prefix of the parameters of the text tower.
    training_defaults = TrainingConfig(
        epochs=20,
        batch_size=6,
        learning_rate=1e-3,
        schedule="exponential",
        decay=0.9,
        rates={"text_": 5e-4},
        clip_norms={"blend": 1.0},
        augment=True,
    )

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights, for the variant that follows their code."""
        assert isinstance(config, AcdClipConfig)
        return "gelu" if config.variant == "code" else None

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``adapter_*.pth`` of the authors' training, for any number of groups."""
        return published.read(state)

    def __init__(self, clip: Clip, config: AcdClipConfig | None = None) -> None:
        self.config: AcdClipConfig
        super().__init__(clip, config or AcdClipConfig())
        vision, text, groups = clip.config.vision, clip.config.text, self.config.groups
        self.vision_ends, self.text_ends = group_ends(vision.depth, groups), group_ends(text.depth, groups)
        self.vision_groups = nn.ModuleList(
            VisionGroup(number, vision.width, text.width, self.config) for number in range(groups)
        )
        self.text_groups = nn.ModuleList(TextGroup(text.width, self.config) for _ in range(groups))
        self._cache = ResultCache(self.text_groups)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> AcdClipEvidence:
        texts, groups = self._texts(class_names, len(images)), cast("list[VisionGroup]", self.vision_groups)
        edits = {end: group.adapter for end, group in zip(self.vision_ends, groups, strict=True)}
        trace = self.clip.vision(images, after=edits, keep=self.vision_ends)
        levels = torch.stack(
            [group(trace.kept[end], texts) for end, group in zip(self.vision_ends, groups, strict=True)], 1
        )
        logits = levels.unflatten(2, trace.grid) / self.config.temperature
        if self.config.differences.averaged_logits:
            logits = logits.mean(1, keepdim=True)
        image = self._image(trace, texts)
        return AcdClipEvidence(maps=logits.sigmoid(), score=self._score(logits, image), logits=logits, image=image)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Equations 7 and 8."""
        assert isinstance(evidence, AcdClipEvidence)
        assert evidence.logits is not None
        maps, masks = upsample(evidence.logits, target.masks, align_corners=self.config.align_corners), target.masks
        maps = maps.sigmoid().mean(1)
        overlap = dice_of_both_states if self.config.differences.dice_of_both_states else dice
        return {
            "focal": self.config.focal_weight * focal(maps, masks),
            "dice": self.config.dice_weight * overlap(maps, masks),
            "class": self.config.class_weight * image_cross_entropy(evidence.image, target.labels),
        }

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def _texts(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch groups 2 joint"]:
        """T_j^s of the class of each image; each class is encoded once."""
        return self._cache.of_classes(class_names, images, self._encode)

    def _encode(self, class_name: str) -> Float[Tensor, "groups 2 joint"]:
        """T_j^s of a class: the end tokens at the end of every text group. Padding follows them and has no effect."""
        normal, anomalous = (tuple(state) for state in self.prompts("{}"))
        states = fit_prompts(self.clip.tokenizer, class_name, (normal, anomalous), len(TEMPLATES))
        tokens, ends = padded_ids(self.clip, [prompt for prompts in states for prompt in prompts])
        groups = cast("list[TextGroup]", self.text_groups)
        edits = {end: group.adapter for end, group in zip(self.text_ends, groups, strict=True)}
        _, kept = self.clip.text.run(tokens, after=edits, keep=self.text_ends)
        levels = [
            group.norm(kept[end][torch.arange(len(ends)), ends]).split([len(state) for state in states])
            for end, group in zip(self.text_ends, groups, strict=True)
        ]
        return torch.stack([torch.cat([state_features(state[None]) for state in level]) for level in levels])

    def _image(self, trace: Trace, texts: Float[Tensor, "batch groups 2 joint"]) -> Float[Tensor, "batch"]:
        """P(anomalous) of whole images (2.3)."""
        groups = cast("list[VisionGroup]", self.vision_groups)
        if self.config.differences.class_token:
            features = groups[-1].detect(trace.last[:, :CLASS_TOKENS])
            return (log_odds(features, texts[:, -1])[:, 0] / self.config.image_temperature).sigmoid()
        levels = [
            log_odds(group.detect(trace.kept[end][:, CLASS_TOKENS:]), texts[:, group.number]).mean(1)
            for end, group in zip(self.vision_ends, groups, strict=True)
        ]
        return (torch.stack(levels).mean(0) / self.config.image_temperature).sigmoid()

    def _score(
        self, logits: Float[Tensor, "batch levels rows cols"], image: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """The image score (2.3) from both parts; the map at the pixel size that the patches cover."""
        patch = self.clip.vision.patch_size
        size = logits.shape[-2] * patch, logits.shape[-1] * patch
        anomaly_map = pixel_maps(logits, size, **self.config.upsampling, logits=True)
        return (1 - self.config.map_weight) * image + self.config.map_weight * anomaly_map.amax((1, 2))


def log_odds(
    features: Float[Tensor, "batch cells joint"], states: Float[Tensor, "batch 2 joint"]
) -> Float[Tensor, "batch cells"]:
    """sim(V, T^A) - sim(V, T^N): the softmax of two is the logistic function of their difference. Always in fp32."""
    return (features.float() * (states[:, 1] - states[:, 0]).float()[:, None]).sum(-1)


class VisionGroup(nn.Module):
    """Trained modules of one group of vision blocks: adapter, heads, gateway."""

    def __init__(self, number: int, width: int, joint: int, config: AcdClipConfig) -> None:
        super().__init__()
        self.number, self.differences = number, config.differences
        self.adapter = Adapter(_vision_update(width, config), width, blend=_blend(config), spared=CLASS_TOKENS)
        self.segment = LevelProjection(width, config.hidden, joint)
        if not self.differences.class_token or number == config.groups - 1:
            self.detect = LevelProjection(width, config.hidden, joint)
        if config.fusion == "gateway":
            per_state = self.differences.gate_per_state
            self.gateway = Gateway(joint, config.hidden, config.groups, per_state=per_state)

    def forward(
        self, tokens: Float[Tensor, "batch tokens width"], texts: Float[Tensor, "batch groups 2 joint"]
    ) -> Float[Tensor, "batch cells"]:
        """sim(V_i, T_i^A) - sim(V_i, T_i^N) of equation 6."""
        visual = self.segment(tokens[:, CLASS_TOKENS:])
        return log_odds(visual, self.describe(visual, texts))

    def describe(
        self, visual: Float[Tensor, "batch cells joint"], texts: Float[Tensor, "batch groups 2 joint"]
    ) -> Float[Tensor, "batch 2 joint"]:
        """T_i^s: the text for this level, equations 4-5."""
        if not hasattr(self, "gateway"):
            return texts[:, self.number]
        fused = self.gateway(visual, texts)
        return l2_normalize(fused) if self.differences.cosine else fused


class TextGroup(nn.Module):
    """Trained modules of one group of text blocks."""

    def __init__(self, width: int, config: AcdClipConfig) -> None:
        super().__init__()
        self.adapter = Adapter(_lora(width, config), width, blend=_blend(config), spared=0)
        self.norm = nn.LayerNorm(width)


class LevelProjection(nn.Module):
    """Tokens of the tower as unit vectors in the joint space, in fp32 (code)."""

    def __init__(self, width: int, hidden: int, joint: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, joint))
        self.norm = nn.LayerNorm(joint)

    def forward(self, tokens: Float[Tensor, "batch cells width"]) -> Float[Tensor, "batch cells joint"]:
        return l2_normalize(self.norm(self.layers(tokens)).float())


def _vision_update(width: int, config: AcdClipConfig) -> Lora | ConvLora:
    if config.adapter == "lora":
        return _lora(width, config)
    differences = config.differences
    return ConvLora(
        width,
        config.rank,
        config.conv_rank,
        config.kernels,
        shared=differences.shared_projections,
        divided=differences.divided_by_kernel,
        zero=not differences.blended,
    )


def _lora(width: int, config: AcdClipConfig) -> Lora:
    blended = config.differences.blended
    return Lora(width, config.rank, 1.0 if blended else config.alpha / config.rank**0.5, zero=not blended)


def _blend(config: AcdClipConfig) -> float | None:
    return config.blend if config.differences.blended else None
