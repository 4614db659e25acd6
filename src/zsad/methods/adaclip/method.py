"""AdaCLIP: prompts in both towers, fixed and made from the image; the most anomalous patches join the class token.

Cao et al., "AdaCLIP: Adapting CLIP with Hybrid Learnable Prompts for Zero-Shot Anomaly Detection", ECCV 2024. The
defaults are those of the authors' code; where paper and code differ is in ``docs/methods/adaclip.md``.

    images -> frozen tower -> x [batch, embed] -> dynamic prompts of both towers, + static prompts
    images -> tower with 5 prompts in blocks 1-4 -> patches after blocks 6, 12, 18, 24 -> Linear of the level
           -> class token -> Linear
    7 normal and 5 anomalous states in 4 templates -> text tower, 5 prompts in blocks 2-4 -> t [batch, 2, embed]
    log-odds of a level = (cos(patch, t_a) - cos(patch, t_n)) / τ; map = softmax of the levels' mean
    HSF: the 100 most anomalous patches -> k-means, K = 20 -> mean of the centres c
    score = softmax(cos(.2 c + .8 class token, t) / τ)
    loss = focal of the score + Σ_levels (focal + Dice of the anomalous + Dice of the normal state)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation, PositionResize
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.methods.adaclip.fusion import fused_patches
from zsad.methods.adaclip.prompts import Appended, HybridPrompts, Kind
from zsad.methods.adaclip.published import read
from zsad.parts.deep_prompts import overwrite
from zsad.parts.losses import dice_of_both_states, focal, upsample
from zsad.parts.prompts import NORMAL_STATES, compose, fit_prompts
from zsad.parts.similarity import log_odds, state_features
from zsad.types import Evidence, Target, Trace

ANOMALOUS_STATES = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
TEMPLATES = (
    "a bad photo of a {}.",
    "a low resolution photo of the {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
)
"""Four of CLIP's templates for ImageNet."""
REFERENCE_DEPTH = 24
"""Depth of the vision tower whose layers are counted below."""


@dataclass(frozen=True)
class AdaClipConfig(Config):
    """Constants of the authors' code.

    Attributes:
        align_corners: as the code enlarges logits, for the loss and for predictions.
        levels: layers of a 24-block tower whose patches are compared.
        temperature: τ; the code multiplies by 100.
        prompt_length: vectors of a block.
        prompt_depth: J, the first blocks of each tower that have prompts. The words of a text enter its first block
            unchanged.
        prompts: static, dynamic, or the sum of both (SD).
        branches: which towers have prompts (VL).
        fusion: HSF; off, the class token alone decides the score.
        clusters: K.
        tokens_per_cluster: times K is the number of patches that are clustered.
        blend: α, the weight of the fused patches in the score.
    """

    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    temperature: float = 0.01
    prompt_length: int = 5
    prompt_depth: int = 4
    prompts: Kind = "both"
    branches: Literal["both", "vision", "text"] = "both"
    fusion: bool = True
    clusters: int = 20
    tokens_per_cluster: int = 5
    blend: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        sizes = (self.prompt_length, self.prompt_depth, self.clusters, self.tokens_per_cluster)
        if not self.levels or min(sizes) < 1:
            rule = "there are levels; prompt_length, prompt_depth, clusters and tokens_per_cluster are at least 1"
            raise ConfigError(rule, f"{self.levels} and {sizes}", "say 5, 4, 20 and 5, as the authors do")
        if not 0 <= self.blend <= 1:
            raise ConfigError("the weight of the fused patches lies in [0, 1]", self.blend, "say 0.2")


@dataclass(frozen=True)
class AdaClipEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        levels: log-odds of each level.
    """

    levels: Float[Tensor, "batch all_levels rows cols"]


class AdaClip(Trainable):
    """Hybrid prompts in both towers, and hybrid semantic fusion for the score."""

    paper = Paper(
        title="AdaCLIP: Adapting CLIP with Hybrid Learnable Prompts for Zero-Shot Anomaly Detection",
        authors="Y. Cao et al.",
        venue="ECCV",
        year=2024,
        url="https://arxiv.org/abs/2407.15795",
    )
    config_type = AdaClipConfig
    training_defaults = TrainingConfig(
        epochs=5,
        batch_size=1,
        learning_rate=1e-2,
        betas=(0.5, 0.999),
        weight_decay=1e-2,
        decoupled_weight_decay=True,
    )

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights."""
        return "gelu"

    @classmethod
    def authors_position_resize(cls, config: Config) -> PositionResize | None:
        """Bicubic, without antialiasing."""
        return "bicubic"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """A file of the authors' training, or one of those that they published."""
        return read(state, cls.paper_backbone, len(AdaClipConfig.levels), AdaClipConfig.prompt_depth)

    def __init__(self, clip: Clip, config: AdaClipConfig | None = None) -> None:
        self.config: AdaClipConfig
        super().__init__(clip, config or AdaClipConfig())
        config, vision, text, embed = self.config, clip.config.vision, clip.config.text, clip.config.embed
        self.blocks = [level_index(level, REFERENCE_DEPTH, vision.depth) for level in config.levels]
        length, depth = config.prompt_length, config.prompt_depth
        self.visual_prompts = (
            HybridPrompts(embed, vision.width, length, range(min(depth, vision.depth)), config.prompts)
            if config.branches != "text"
            else None
        )
        self.text_prompts = (
            HybridPrompts(embed, text.width, length, range(1, min(depth, text.depth)), config.prompts)
            if config.branches != "vision"
            else None
        )
        self.patch_layers = nn.ModuleList(nn.Linear(vision.width, embed) for _ in self.blocks)
        self.class_layer = nn.Linear(embed, embed)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> AdaClipEvidence:
        plain = self._image_feature(images)
        trace, states = self._run_tower(images, plain), self._states(plain, class_names)
        patches = torch.stack(
            [
                l2_normalize(layer(trace.kept[block][:, 1:]))
                for layer, block in zip(self.patch_layers, self.blocks, strict=True)
            ],
            1,
        )
        odds = log_odds(patches, states, self.config.temperature)
        token = l2_normalize(self.class_layer(self.clip.vision.project(trace.last[:, 0])))
        score = log_odds(self._fused(token, patches, odds), states, self.config.temperature).sigmoid()
        levels = odds.unflatten(2, trace.grid)
        logits = levels.mean(1, keepdim=True)
        return AdaClipEvidence(maps=logits.sigmoid(), score=score, logits=logits, levels=levels)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        assert isinstance(evidence, AdaClipEvidence)
        masks = target.masks
        levels = upsample(evidence.levels, masks, align_corners=self.config.align_corners).sigmoid().unbind(1)
        return {
            "class": focal(evidence.score[:, None, None], target.labels[:, None, None]),
            "focal": torch.stack([focal(maps, masks) for maps in levels]).sum(),
            "dice": torch.stack([dice_of_both_states(maps, masks) for maps in levels]).sum(),
        }

    @torch.no_grad()
    def _image_feature(self, images: Float[Tensor, "batch 3 rows cols"]) -> Float[Tensor, "batch embed"]:
        """CLIP's own, from which dynamic prompts are made; zeros where there are none."""
        if self.config.prompts == "static":
            return images.new_zeros(len(images), self.clip.config.embed)
        return self.clip.vision.project(self.clip.vision(images).last[:, 0])

    def _run_tower(self, images: Float[Tensor, "batch 3 rows cols"], plain: Float[Tensor, "batch embed"]) -> Trace:
        if self.visual_prompts is None:
            return self.clip.vision(images, keep=self.blocks)
        edits = Appended(self.visual_prompts(plain), self.clip.config.vision.depth)
        return self.clip.vision(images, before=edits.before, after=edits.after, keep=self.blocks)

    def _states(
        self, plain: Float[Tensor, "batch embed"], class_names: Sequence[str]
    ) -> Float[Tensor, "batch 2 embed"]:
        """Unit vectors of the normal and the anomalous state of each image.

        Texts of one image are read together, and those of another image apart, so that none depends on the others.

        Raises:
            InputError: there is not one class name for each image.
        """
        if len(class_names) != len(plain):
            value = f"{len(class_names)} for {len(plain)}"
            raise InputError("every image has one class name", value, "give one for each")
        return torch.stack([self._states_of(*pair) for pair in zip(plain.split(1), class_names, strict=True)])

    def _states_of(self, plain: Float[Tensor, "1 embed"], class_name: str) -> Float[Tensor, "2 embed"]:
        """Of one image."""
        normal, anomalous = (tuple(compose(state, TEMPLATES, "{}")) for state in (NORMAL_STATES, ANOMALOUS_STATES))
        texts = fit_prompts(self.clip.tokenizer, class_name, (normal, anomalous), len(TEMPLATES))
        if self.text_prompts is None or not self.text_prompts.blocks:
            features = self.clip.encode_prompts([*chain.from_iterable(texts)])
        else:
            ids = [torch.tensor(self.clip.tokenizer.encode(prompt)) for prompt in chain.from_iterable(texts)]
            ends = torch.tensor([len(one) - 1 for one in ids], device=self.clip.device)
            # Padding follows the end tokens and has no effect.
            tokens = pad_sequence(ids, batch_first=True).to(self.clip.device)
            edits = {block: overwrite(vectors) for block, vectors in self.text_prompts(plain).items()}
            features = self.clip.text(tokens, ends, before=edits)
        return torch.cat([state_features(state[None]) for state in features.split([len(state) for state in texts])])

    def _fused(
        self,
        token: Float[Tensor, "batch embed"],
        patches: Float[Tensor, "batch levels cells embed"],
        odds: Float[Tensor, "batch levels cells"],
    ) -> Float[Tensor, "batch embed"]:
        """The class token with the most anomalous patches."""
        if not self.config.fusion:
            return token
        clusters, share = self.config.clusters, self.config.blend
        centres = fused_patches(patches, odds.mean(1), clusters, clusters * self.config.tokens_per_cluster)
        return share * centres + (1 - share) * token
