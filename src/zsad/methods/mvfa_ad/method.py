"""MVFA-AD: residual adapters at four depths of the vision tower, one for maps and one for the score at each.

Huang et al., "Adapting Visual-Language Models for Generalizable Anomaly Detection in Medical Images", CVPR 2024.
Written from the facts of the authors' code (commit a30bf7b); what differs is in ``docs/methods/mvfa-ad.md``.

    images, RGB in [0, 1] -> tower; after layers 6, 12, 18, 24, of all tokens x [batch, tokens, width]:
        s = LeakyReLU(W x), d = LeakyReLU(W' x)                     [batch, tokens, embed]
        x <- 0.8 x + 0.1 LeakyReLU(V s) + 0.1 LeakyReLU(V' d)       into the next block
    "a photo of a {flawless, damaged, ...} {thing}." -> frozen text tower -> mean of 245 and of 175 prompts [2, embed]
    map    = mean over the levels of softmax(cosine(s, text) / 0.01), of the enlarged cosines
    score  = mean over the levels and patches of softmax(cosine(d, text) / 0.01)

    few-shot: distances 1 - max cosine of s and of d with those of normal images and of ten copies of each
    map    = (map + mean distance of s) / 2, enlarged before the mean
    score  = maximum of the map, or (score + mean distance of d) / 2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation
from zsad.backbones.transformer import Edit, l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import Trainable, TrainingConfig
from zsad.methods.mvfa_ad import published
from zsad.methods.mvfa_ad.adapters import LevelAdapters
from zsad.methods.mvfa_ad.support import COPIES, support_copies
from zsad.parts.images import unnormalised
from zsad.parts.losses import segmentation_losses
from zsad.parts.maps import evidence_maps, map_maximum
from zsad.parts.prompts import APRIL_GAN_TEMPLATES, april_gan_prompts
from zsad.parts.similarity import class_states, log_odds
from zsad.references import PatchFeatures
from zsad.types import Evidence, Size, Target

PAPER_DEPTH = 24


@dataclass(frozen=True)
class MvfaAdConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: the code does not smooth.
        align_corners: as the code enlarges logits and distances.
        levels: layers of 24, counted from 1, after which the adapters stand.
        share: of each adapter in the tokens that go on; 0.1.
        temperature: of both softmaxes; the code multiplies cosines by 100.
        clip_normalisation: whether images are normalised as CLIP expects them; the code leaves them in [0, 1].
        score_logits: whether the loss of the score takes P(anomalous) for its log-odds, as the code does, so that an
            image can cost between 0.31 and 1.31; otherwise it is the binary cross-entropy of P.
        support_copies: whether ten copies of each normal image are remembered with it.
        few_shot_score: with normal images, the score of an image: the maximum of the ``"map"`` (code, data sets with
            masks), or the mean of P(anomalous) and of the distances of ``"detection"`` (code, data sets without).
    """

    sigma: float = 0.0
    align_corners: bool = True
    levels: tuple[int, ...] = (6, 12, 18, 24)
    share: float = 0.1
    temperature: float = 0.01
    clip_normalisation: bool = False
    score_logits: bool = True
    support_copies: bool = True
    few_shot_score: Literal["map", "detection"] = "map"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_within("the share of an adapter", self.share, 0, 0.5)
        if not self.levels:
            raise ConfigError("MVFA-AD reads the tower after at least one layer", "none", "use (6, 12, 18, 24)")


@dataclass(frozen=True)
class MvfaAdEvidence(Evidence):
    """Evidence with what the loss needs.

    Attributes:
        level_scores: P(anomalous) of the image at each level, the mean over its patches.
    """

    level_scores: Float[Tensor, "batch first_levels"]


@dataclass(frozen=True)
class Levels:
    """The patches of a batch in the joint space.

    Attributes:
        segment, detect: at each level, for maps and for the score.
        grid: (rows, cols) of the patches.
    """

    segment: tuple[Float[Tensor, "batch cells embed"], ...]
    detect: tuple[Float[Tensor, "batch cells embed"], ...]
    grid: Size

    @property
    def references(self) -> PatchFeatures:
        """All of them as unit features, those for maps first."""
        streams = (l2_normalize(features.float()) for features in (*self.segment, *self.detect))
        return PatchFeatures(tuple(streams), self.grid)


class MvfaAd(FewShot, Trainable):
    """MVFA-AD, zero-shot and with a few normal images."""

    paper = Paper(
        title="Adapting Visual-Language Models for Generalizable Anomaly Detection in Medical Images",
        authors="C. Huang et al.",
        venue="CVPR",
        year=2024,
        url="https://arxiv.org/abs/2403.12570",
    )
    config_type = MvfaAdConfig
    paper_image_size = published.IMAGE_SIZE
    # train_zero.py; train_few.py has a rate of 1e-3.
    training_defaults = TrainingConfig(epochs=50, batch_size=1, learning_rate=1e-4, betas=(0.5, 0.999))

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights."""
        return "gelu"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """The file of one data set, of the authors' zero-shot or few-shot training."""
        return published.read(state, len(MvfaAdConfig.levels))

    def __init__(self, clip: Clip, config: MvfaAdConfig | None = None) -> None:
        self.config: MvfaAdConfig
        config, vision, embed = config or MvfaAdConfig(), clip.config.vision, clip.config.embed
        blocks = sorted({level_index(level, PAPER_DEPTH, vision.depth) for level in config.levels})
        super().__init__(clip, config, widths=(embed,) * (2 * len(blocks)))
        self.blocks = blocks
        self.adapters = nn.ModuleList(
            LevelAdapters(vision.width, embed, config.share, returns=block != blocks[-1]) for block in blocks
        )

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> MvfaAdEvidence:
        states = class_states(self.clip, class_names, len(images), self.prompts, len(APRIL_GAN_TEMPLATES))
        levels = self.run(images)
        logits, detected = (
            torch.stack([log_odds(features, states, self.config.temperature) for features in part], 1)
            for part in (levels.segment, levels.detect)
        )
        logits, scores = logits.unflatten(2, levels.grid), detected.sigmoid().mean(2)
        if not self.is_few_shot:
            return MvfaAdEvidence(logits.sigmoid(), scores.mean(1), scores, logits=logits)
        distances = self.nearest(levels.references).unflatten(2, levels.grid)
        of_maps, of_scores = distances.chunk(2, 1)
        maps = torch.cat([logits.sigmoid(), of_maps], 1)
        patch, how = self.clip.vision.patch_size, self.config.upsampling
        if self.config.few_shot_score == "map":
            return MvfaAdEvidence(maps, map_maximum(maps, logits, patch, **how), scores, logits=logits)
        rows, cols = levels.grid
        enlarged = evidence_maps(of_scores, None, (rows * patch, cols * patch), **how)
        return MvfaAdEvidence(maps, (scores.mean(1) + enlarged.mean((1, 2))) / 2, scores, logits=logits)

    def run(self, images: Float[Tensor, "batch 3 rows cols"]) -> Levels:
        """The tower with its adapters, up to the last of them."""
        segment: list[Tensor] = []
        detect: list[Tensor] = []

        def edit(adapters: LevelAdapters) -> Edit:
            def through(tokens: Tensor, grid: Size) -> Tensor:
                tokens, for_maps, for_score = adapters(tokens)
                segment.append(for_maps[:, 1:])
                detect.append(for_score[:, 1:])
                return tokens

            return through

        edits = {block: edit(level) for block, level in zip(self.blocks, self._levels, strict=True)}
        pixels = images if self.config.clip_normalisation else unnormalised(images, self.clip.config)
        trace = self.clip.vision(pixels, after=edits)
        return Levels(tuple(segment), tuple(detect), trace.grid)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal and Dice loss of the maps, and the cross-entropy of the scores, each a sum over the levels."""
        assert isinstance(evidence, MvfaAdEvidence)
        assert evidence.logits is not None
        scores, levels = evidence.level_scores, evidence.level_scores.shape[1]
        labels = target.labels[:, None].expand(-1, levels)
        logits = scores if self.config.score_logits else scores.logit(eps=1e-6)
        losses = segmentation_losses(evidence.logits, target.masks, align_corners=self.config.align_corners)
        return losses | {"image": levels * F.binary_cross_entropy_with_logits(logits, labels)}

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return april_gan_prompts(class_name)

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Patches of both adapters of every level, for each image and then for its copies."""
        if self.config.support_copies:
            images = support_copies(images).transpose(0, 1).flatten(0, 1)
        return self.run(images).references

    # The bank may be used in training as well, and tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Add the patches of normal images and of their copies to the bank."""
        self.bank.add(self.reference_features(images), COPIES if self.config.support_copies else 1)

    @property
    def _levels(self) -> list[LevelAdapters]:
        return [level for level in self.adapters if isinstance(level, LevelAdapters)]
