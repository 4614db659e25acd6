"""KAnoCLIP: learned prompts guided by descriptions of defects, and patches and texts that attend to each other.

Li et al., "KAnoCLIP: Zero-Shot Anomaly Detection through Knowledge-Driven Prompt Learning and Enhanced Cross-Modal
Integration", arXiv 2025. No code was published; what the paper leaves open and how it was decided is in
``docs/methods/kanoclip.md``.

    images -> frozen tower, and next to it the V-V stream over its last 19 of 24 blocks (eq. 4-8)
           -> 4 stages of patch tokens [batch, 4, cells, width] and the class token [batch, embed]
    class name -> 2 prompts a state that share 12 learned vectors (eq. 1) -> F_text [batch, 2, embed], unit vectors
    stage i -> Bi-CMCI: tokens [cells, 256] and texts [2, 256] after attention to each other -> softmax(cosine / τ)
    M^a     = mean of the stages, M^n = 1 - M^a (eq. 9); M = G_σ(M^a + 1 - M^n) / 2 (eq. 10)
    score   = (softmax(cosine(Conv-Adapter(class token), F_text) / τ) + max M) / 2 (eq. 11-12)
    loss    = KD hinge towards each image's descriptions (eq. 2-3) + BCE of the score (eq. 14) + focal and two Dice of
              M^a (eq. 15)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.methods.kanoclip.cross_modal import BiCmci
from zsad.parts.losses import dice, focal, image_cross_entropy, upsample
from zsad.parts.maps import pixel_maps
from zsad.parts.prompts import encode_with_context, fit_prompts
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import anomaly_probability, class_states, log_odds, state_features
from zsad.parts.vv_attention import run_with_tower
from zsad.types import BackboneFeatures, Evidence, Size, Target

STATE_WORDS = (("normal", "perfect"), ("abnormal", "defective"))
"""[Normal] and [Abnormal] of equation 1: the adjectives of section 2.2.2."""
FIXED_PROMPTS = ("a photo of a normal {}", "a photo of an abnormal {}")
"""Instead of learned prompts; the second is quoted in section 2.2."""
PREFIX_STD = 0.02
REFERENCE_DEPTH = 24
"""Depth of the tower whose layers are counted below."""


@dataclass(frozen=True)
class KanoClipConfig(Config):
    """Constants of the paper, and of AnomalyCLIP where the paper is silent.

    Attributes:
        sigma: of G_σ (eq. 10), in px; the paper gives none, AnomalyCLIP has 4.
        levels: layers of a 24-block tower that end the four stages (2.4); the paper does not name them, these are the
            usual ones.
        vv_from: first layer with V-V attention; 6 means the last 19 (AnomalyCLIP).
        temperature: τ of every softmax (AnomalyCLIP).
        learned_prompts: KnPL (2.2); off, fixed prompts and no KD loss (table 3).
        prompt_length: K of equation 1 (3.1).
        margin: of the hinge, equation 2, which has none.
        vv_attention: CLIP-VV (2.3); off, stages are outputs of the original blocks (table 3).
        norm: eq. 9: a softmax in every stage, then their mean, or, as printed, one softmax of the stages' sum.
        global_token: the class token of the score: of the original path, or of the V-V stream (2.3).
        fusion: Bi-CMCI (2.4); off, "linear" trains a projection for each stage, as the methods that it replaces, and
            "none" uses CLIP's own (table 3).
        hidden: width of Bi-CMCI (not in the paper).
        heads: of every attention of Bi-CMCI (not in the paper).
        groups: of channels that share offsets in the deformable attention (not in the paper).
        stride: cells between the samples of the deformable attention (not in the paper).
        layer_scale: initial LayerScale of the residual branches of Bi-CMCI (Grounding DINO).
        conv_adapter: Conv-Adapter (2.4); off, the class token is used unchanged (table 3).
        reduction: d / d_bottle of equation 11 (not in the paper).
        adapter_residual: factor of the class token that is added to the output of the Conv-Adapter; 0 in eq. 11.
        knowledge_weight: α of equation 13; with 0 no descriptions are needed.
        global_weight: β of equation 13.
        local_weight: γ of equation 13.
    """

    levels: tuple[int, ...] = (6, 12, 18, 24)
    vv_from: int = 6
    temperature: float = 0.07
    learned_prompts: bool = True
    prompt_length: int = 12
    margin: float = 0.0
    vv_attention: bool = True
    norm: Literal["stages", "sum"] = "stages"
    global_token: Literal["original", "vv"] = "original"
    fusion: Literal["bi_cmci", "linear", "none"] = "bi_cmci"
    hidden: int = 256
    heads: int = 8
    groups: int = 4
    stride: int = 2
    layer_scale: float = 1e-4
    conv_adapter: bool = True
    reduction: int = 4
    adapter_residual: float = 0.0
    knowledge_weight: float = 1.0
    global_weight: float = 1.0
    local_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        sizes = (self.prompt_length, self.hidden, self.heads, self.groups, self.stride, self.reduction)
        if min(sizes) < 1:
            raise ConfigError(
                "prompt_length, hidden, heads, groups, stride and reduction are at least 1", sizes, "use 1 or more"
            )
        if self.hidden % self.heads or self.hidden % self.groups:
            asked = f"{self.hidden}, {self.heads} and {self.groups}"
            raise ConfigError("hidden is a multiple of heads and of groups", asked, "for instance 256, 8 and 4")
        if not self.levels or (self.vv_attention and min(self.levels) < self.vv_from):
            asked = f"{self.levels} from {self.vv_from}"
            raise ConfigError("a stage ends where V-V attention has begun", asked, "lower vv_from, or raise levels")
        if self.global_token == "vv" and not self.vv_attention:
            raise ConfigError("the class token of the V-V stream needs the stream", "none", "use vv_attention = true")
        weights = (self.margin, self.knowledge_weight, self.global_weight, self.local_weight)
        if not all(weight >= 0 for weight in weights):
            raise ConfigError("the margin and the weights of the losses are at least 0", weights, "use 0 or more")


@dataclass(frozen=True)
class KanoClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        localised: M^a of equation 9 on the patch grid; M^n is 1 - M^a.
        states: unit vectors of the means of the normal and of the abnormal prompts of what each image shows.
    """

    localised: Float[Tensor, "batch rows cols"]
    states: Float[Tensor, "batch 2 embed"]


class KanoClip(FrozenBackboneMethod):
    """Knowledge-driven prompts, CLIP-VV, Bi-CMCI and Conv-Adapter, each of which can be switched off."""

    paper = Paper(
        title="KAnoCLIP: Zero-Shot Anomaly Detection through Knowledge-Driven Prompt Learning and Enhanced Cross-Modal "
        "Integration",
        authors="C. Li et al.",
        venue="arXiv",
        year=2025,
        url="https://arxiv.org/abs/2501.03786",
    )
    config_type = KanoClipConfig
    # AnomalyCLIP's, as the paper gives none. The rate of "stages" (Bi-CMCI) was tried, see docs/methods/kanoclip.md.
    training_defaults = TrainingConfig(
        epochs=15, batch_size=8, learning_rate=1e-3, betas=(0.5, 0.999), rates={"stages": 1e-4}
    )

    def __init__(self, clip: Clip, config: KanoClipConfig | None = None) -> None:
        self.config: KanoClipConfig
        super().__init__(clip, config or KanoClipConfig())
        config, depth = self.config, clip.config.vision.depth
        self.uses_descriptions = config.learned_prompts and config.knowledge_weight > 0
        self.levels = [level_index(level, REFERENCE_DEPTH, depth) for level in config.levels]
        self.vv_from = level_index(config.vv_from, REFERENCE_DEPTH, depth)
        length, width = config.prompt_length, clip.config.text.width
        self.prompts = LearnedPrompts(length, width) if config.learned_prompts else None
        self.stages = nn.ModuleList(_stage(clip, config) for _ in self.levels)
        embed, residual = clip.config.embed, config.adapter_residual
        self.adapter = ConvAdapter(embed, config.reduction, residual) if config.conv_adapter else nn.Identity()
        self._cache = ResultCache(self.prompts or self)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Equations 4-8: patches of the four stages from the V-V stream, and a class token."""
        if self.config.vv_attention:
            trace, read = run_with_tower(self.clip.vision, images, self.vv_from, self.levels)
        else:
            trace = self.clip.vision(images, keep=self.levels)
            read = dict(trace.kept)
        last = read[max(self.levels)] if self.config.global_token == "vv" else trace.last
        patches = torch.stack([read[level][:, 1:] for level in self.levels], 1)
        return BackboneFeatures(patches=patches, image=self.clip.vision.project(last[:, 0]), grid=trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> KanoClipEvidence:
        """Equations 1 and 9-12."""
        states = self.states(class_names, len(features.image))
        maps = self._stage_maps(features, states)
        localised = maps.mean(1)  # equation 9
        rows, cols = (side * self.clip.vision.patch_size for side in features.grid)
        anomaly_map = combine(1 - localised, localised, (rows, cols), self.config)
        image = self.adapter(features.image.to(self.clip.dtype))
        probability = anomaly_probability(image, states, self.config.temperature)
        score = (probability + anomaly_map.amax((1, 2))) / 2  # equation 12
        return KanoClipEvidence(maps=maps, score=score, localised=localised, states=states)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Equation 13. Without learned prompts, or with ``knowledge_weight`` 0, the descriptions are not used.

        Raises:
            ConfigError: an image has no descriptions.
        """
        assert isinstance(evidence, KanoClipEvidence)
        config, terms = self.config, {}
        if config.learned_prompts and config.knowledge_weight > 0:
            knowledge = self._knowledge(target.descriptions, len(evidence.states))
            terms["knowledge"] = config.knowledge_weight * knowledge_hinge(evidence.states, knowledge, config.margin)
        terms["global"] = config.global_weight * image_cross_entropy(evidence.score, target.labels)  # equation 14
        terms["local"] = config.local_weight * local_loss(
            evidence.localised, target.masks, align_corners=config.align_corners
        )
        return terms

    def states(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch 2 embed"]:
        """F_text: unit vectors of the normal and the abnormal state of the class of each image; each is encoded once.

        Raises:
            InputError: there is not one class name for each image.
        """
        if self.prompts is None:
            return class_states(self.clip, class_names, images, _fixed_prompts)
        return self._cache.of_classes(class_names, images, partial(self.prompts, self.clip))

    def _stage_maps(
        self, features: BackboneFeatures, states: Float[Tensor, "batch 2 embed"]
    ) -> Float[Tensor, "batch levels rows cols"]:
        """P(abnormal) of the cells with the Norm of equation 9: in every stage, or of their sum as one level."""
        odds = []
        for stage, patches in zip(self.stages, features.patches.to(self.clip.dtype).unbind(1), strict=True):
            text = states
            if self.config.fusion == "bi_cmci":
                visual, read = stage(patches, states.to(patches.dtype), features.grid)
                text = l2_normalize(read.float())
            else:
                visual = stage(patches) if self.config.fusion == "linear" else self.clip.vision.project(patches)
            odds.append(log_odds(visual, text, self.config.temperature))
        stages = torch.stack(odds, 1).unflatten(2, features.grid)
        return (stages.sum(1, keepdim=True) if self.config.norm == "sum" else stages).sigmoid()

    def _knowledge(self, descriptions: tuple[tuple[str, ...], ...], images: int) -> Float[Tensor, "batch embed"]:
        """w^k of each image, equation 3, as a unit vector; sentences are encoded once."""
        if len(descriptions) != images or not all(descriptions):
            raise ConfigError(
                "every image has at least one description of what may be wrong with it",
                f"{sum(map(bool, descriptions))} described of {images}",
                "give a knowledge base that has all classes, or set knowledge_weight to 0",
            )
        return torch.cat([state_features(self.clip.encode_prompts(texts)[None]) for texts in descriptions])


def knowledge_hinge(
    states: Float[Tensor, "batch 2 embed"], knowledge: Float[Tensor, "batch embed"], margin: float = 0.0
) -> Float[Tensor, ""]:
    """KD loss, equation 2: the abnormal prompts should be nearer to the descriptions than the normal ones.

    Args:
        states: unit vectors w^n and w^a of each image.
        knowledge: unit vectors w^k.
        margin: by how much; 0 in the paper.
    """
    to_normal, to_abnormal = (states.float() - knowledge.float()[:, None]).norm(dim=-1).unbind(1)
    return F.relu(to_abnormal - to_normal + margin).mean()


def combine(
    normal: Float[Tensor, "batch rows cols"], abnormal: Float[Tensor, "batch rows cols"], size: Size, config: Config
) -> Float[Tensor, "batch new_rows new_cols"]:
    """M of equation 10 at a size in pixels."""
    return pixel_maps((abnormal + 1 - normal)[:, None] / 2, size, **config.upsampling)


def local_loss(
    abnormal: Float[Tensor, "batch rows cols"],
    masks: Float[Tensor, "batch mask_rows mask_cols"],
    *,
    align_corners: bool,
) -> Float[Tensor, ""]:
    """Equation 15, with M^n = 1 - M^a."""
    maps = upsample(abnormal[:, None], masks, align_corners=align_corners)[:, 0]
    return focal(maps, masks) + dice(1 - maps, 1 - masks) + dice(maps, masks)


class LearnedPrompts(nn.Module):
    """LNPs and LAPs, equation 1: ``length`` learned vectors for each state, an adjective of the state, the class."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.prefixes = nn.Parameter(nn.init.normal_(torch.empty(2, length, width), std=PREFIX_STD))

    def forward(self, clip: Clip, class_name: str) -> Float[Tensor, "2 embed"]:
        """Unit vectors of the two states of a class."""
        wordings = tuple(tuple(f"{adjective} {{}}" for adjective in adjectives) for adjectives in STATE_WORDS)
        states = fit_prompts(clip.tokenizer, class_name, wordings, taken=self.prefixes.shape[1])
        features = encode_with_context(clip, self.prefixes, states)
        return state_features(features.unflatten(0, (len(STATE_WORDS), -1)))


class ConvAdapter(nn.Module):
    """Equation 11: ReLU(LN(I_G) W_down) W_up, plus ``residual`` · I_G."""

    def __init__(self, embed: int, reduction: int, residual: float) -> None:
        super().__init__()
        bottle = max(embed // reduction, 1)
        self.residual, self.norm = residual, nn.LayerNorm(embed)
        self.down, self.up = nn.Linear(embed, bottle, bias=False), nn.Linear(bottle, embed, bias=False)

    def forward(self, image: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return self.up(F.relu(self.down(self.norm(image)))) + self.residual * image


def _stage(clip: Clip, config: KanoClipConfig) -> nn.Module:
    """Trained modules of one stage of the tower."""
    width, embed = clip.config.vision.width, clip.config.embed
    if config.fusion == "bi_cmci":
        return BiCmci(width, embed, config.hidden, config.heads, config.groups, config.stride, config.layer_scale)
    return nn.Linear(width, embed) if config.fusion == "linear" else nn.Identity()


def _fixed_prompts(class_name: str) -> tuple[list[str], list[str]]:
    normal, abnormal = ([prompt.format(class_name)] for prompt in FIXED_PROMPTS)
    return normal, abnormal
