"""AA-CLIP: residual adapters in both towers, trained in two stages: first the text, then the images.

Ma et al., "AA-CLIP: Enhancing Zero-Shot Anomaly Detection via Anomaly-Aware CLIP", CVPR 2025. Written from the facts of
the authors' code (commit 53db195); what differs from the paper is in ``docs/methods/aa-clip.md``.

    "a {damaged, broken, ...} {thing}." -> text tower; after blocks 1 to 3 of 12: x <- 0.9 x + 0.1 |x| a / |a|
        -> final norm -> LeakyReLU(P x) in place of CLIP's projection -> mean of 6 and of 10 prompts [2, embed]
    image -> tower; after blocks 1 to 6 of 24 the same -> after layers 6, 12, 18, 24: final norm -> a linear layer each
    map    = mean over the levels of 1/2 + (cosine with the anomalous text - cosine with the normal one) / 4
    score  = 0.5 · maximum of the map + 0.5 · (1 + cosine of the mean patch with the anomalous text) / 2

    stage 1 trains the text, against patches of a frozen tower with V-V attention, to which its class token is added;
    stage 2 trains the image side against the text, which is then fixed
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.config import Activation
from zsad.backbones.transformer import Edit, l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector
from zsad.methods._trainable import FirstStage, Trainable, TrainingConfig
from zsad.methods.aa_clip.adapters import Projection, ResidualAdapter, Surgery, surgical_levels
from zsad.methods.aa_clip.published import read
from zsad.parts.losses import segmentation_losses
from zsad.parts.maps import map_maximum
from zsad.parts.prompts import compose, fit_prompts, padded_ids
from zsad.parts.result_cache import ResultCache
from zsad.parts.similarity import state_features
from zsad.types import Evidence, Target

PAPER_DEPTH, PAPER_TEXT_DEPTH = 24, 12
NORMAL_STATES = ("{}", "a {}", "the {}")
ANOMALOUS_STATES = ("a damaged {}", "a broken {}", "a {} with flaw", "a {} with defect", "a {} with damage")
TEMPLATES = ("{}.", "a photo of {}.")
TEXT_STAGE = 0


@dataclass(frozen=True)
class AaClipConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: 1 token of a ViT-L-14; the code's 1.5 tokens for medical images are 21.
        align_corners: as the code enlarges.
        smoothing_window: of the blur, in tokens; 9 for medical images.
        levels: layers of 24 that are compared with the text.
        image_blocks: adapters stand after so many first blocks of 24 of the vision tower.
        text_blocks: and after so many first blocks of 12 of the text tower.
        adapter_weight: w of both.
        relu: whether the projections of the image side end in a LeakyReLU; an option of the code, off by default.
        temperature: of the softmax of maps in training; the code multiplies cosines by 100.
        map_weight: of the maximum of the map in the score; 1 for medical images.
        overlap_weight: of the squared cosine of both states, in the first stage.
        surgery: what the V-V attention of the first stage runs over: the ``"images"`` of a batch, as the code's does,
            or the ``"patches"`` of an image; see :func:`zsad.methods.aa_clip.adapters.surgical_levels`.
        surgery_from: first layer of 24 with V-V attention.
        all_text_levels: whether the first stage compares all levels with the text, or the last alone: the code's loop
            over the levels keeps the loss of the last.
    """

    sigma: float = 14.0
    align_corners: bool = True
    smoothing_window: int | None = 7
    levels: tuple[int, ...] = (6, 12, 18, 24)
    image_blocks: int = 6
    text_blocks: int = 3
    adapter_weight: float = 0.1
    relu: bool = False
    temperature: float = 0.01
    map_weight: float = 0.5
    overlap_weight: float = 0.1
    surgery: Surgery = "images"
    surgery_from: int = 6
    all_text_levels: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_within("the weight of an adapter", self.adapter_weight, 0, 1)
        check_within("the weight of the map in the score", self.map_weight, 0, 1)
        check_within("the weight of the overlap of both texts", self.overlap_weight, 0, 1000)
        check_within("the number of adapted blocks of the vision tower", self.image_blocks, 1, PAPER_DEPTH)
        check_within("the number of adapted blocks of the text tower", self.text_blocks, 1, PAPER_TEXT_DEPTH)
        check_within("the first layer with V-V attention", self.surgery_from, 1, PAPER_DEPTH)
        if not self.levels:
            raise ConfigError("AA-CLIP reads the tower after at least one layer", "none", "use (6, 12, 18, 24)")


@dataclass(frozen=True)
class AaClipEvidence(Evidence):
    """Evidence with what the losses need.

    Attributes:
        margins: of each level, cosine with the anomalous text less cosine with the normal one.
        image_margin: the same of the mean patch; None in the first stage.
        overlap: squared mean inner product of both texts; None after the first stage.
    """

    margins: Float[Tensor, "batch levels rows cols"]
    image_margin: Float[Tensor, "batch"] | None = None
    overlap: Float[Tensor, ""] | None = None


class AaClip(Trainable):
    """AA-CLIP, trained in two stages."""

    paper = Paper(
        title="AA-CLIP: Enhancing Zero-Shot Anomaly Detection via Anomaly-Aware CLIP",
        authors="W. Ma et al.",
        venue="CVPR",
        year=2025,
        url="https://arxiv.org/abs/2503.06661",
    )
    config_type = AaClipConfig
    # train.py: 5 epochs of the text at a rate of 1e-5, then 20 of the images.
    training_defaults = TrainingConfig(
        epochs=25,
        batch_size=2,
        learning_rate=5e-4,
        betas=(0.5, 0.999),
        schedule="steps",
        decay=0.5,
        milestones=(16000, 32000),
        rates={"text_": 1e-5},
        augment=True,
        first_stage=FirstStage(epochs=5, batch_size=16),
    )

    @classmethod
    def authors_activation(cls, config: Config) -> Activation | None:
        """Plain GELU under OpenAI's weights."""
        return "gelu"

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``text_adapter.pth`` and ``image_adapter_N.pth`` of the authors' training, which are two files."""
        return read(state, cls.paper_backbone, len(AaClipConfig.levels))

    def __init__(self, clip: Clip, config: AaClipConfig | None = None) -> None:
        self.config: AaClipConfig
        super().__init__(clip, config or AaClipConfig())
        vision, text, embed, config = clip.config.vision, clip.config.text, clip.config.embed, self.config
        self.blocks = sorted({level_index(level, PAPER_DEPTH, vision.depth) for level in config.levels})
        adapted = level_index(config.image_blocks, PAPER_DEPTH, vision.depth) + 1
        adapted_text = level_index(config.text_blocks, PAPER_TEXT_DEPTH, text.depth) + 1
        weight = config.adapter_weight
        self.text_adapters = nn.ModuleList(ResidualAdapter(text.width, weight) for _ in range(adapted_text))
        self.text_projection = Projection(text.width, embed, relu=True)
        self.image_adapters = nn.ModuleList(ResidualAdapter(vision.width, weight) for _ in range(adapted))
        self.segment = nn.ModuleList(Projection(vision.width, embed, relu=config.relu) for _ in self.blocks)
        self.detect = Projection(vision.width, embed, relu=config.relu)
        self._stage: int | None = None
        self._cache = ResultCache(self.text_adapters, self.text_projection)

    def begin_stage(self, stage: int) -> None:
        """Train the text in the first stage, and the image side in the second.

        Without a stage both are trained together.
        """
        self._stage = stage

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> AaClipEvidence:
        if self.training and self._stage == TEXT_STAGE:
            return self._text_evidence(images, class_names)
        fixed = self.training and self._stage is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not fixed):
            states = self._texts(class_names, len(images))
        edits: dict[int, Edit] = dict(enumerate(self.image_adapters))
        tower = self.clip.vision
        trace = tower(images, after=edits, keep=self.blocks)
        tokens = [tower.norm_post(trace.kept[block][:, 1:]) for block in self.blocks]
        patches = torch.stack([layer(level) for layer, level in zip(self.segment, tokens, strict=True)], 1)
        margins = margin(l2_normalize(patches.float()).flatten(1, 2), states)
        margins = margins.unflatten(1, (len(tokens), *trace.grid))
        mean_patch = l2_normalize(self.detect(tokens[-1]).float()).mean(1)
        maps = 0.5 + margins / 4
        image_margin = margin(mean_patch[:, None], states)[:, 0]
        score = self._score(maps, (mean_patch * states[:, 1]).sum(1))
        return AaClipEvidence(maps.clamp(0, 1), score, margins, image_margin)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal and both Dice losses of the maps; with that of the texts' overlap, or of the image's class."""
        assert isinstance(evidence, AaClipEvidence)
        logits = evidence.margins / self.config.temperature
        aligned = self.config.align_corners
        losses = segmentation_losses(logits, target.masks, align_corners=aligned, both_states=True)
        if evidence.overlap is not None:
            return losses | {"overlap": self.config.overlap_weight * evidence.overlap}
        assert evidence.image_margin is not None
        return losses | {"class": F.binary_cross_entropy_with_logits(evidence.image_margin, target.labels)}

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def _text_evidence(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> AaClipEvidence:
        """What the first stage compares: the adapted texts with patches of the frozen tower under surgery."""
        states, tower = self._texts(class_names, len(images)), self.clip.vision
        start = level_index(self.config.surgery_from, PAPER_DEPTH, self.clip.config.vision.depth)
        blocks = self.blocks if self.config.all_text_levels else self.blocks[-1:]
        with torch.no_grad():
            kept, grid = surgical_levels(tower, images, start, blocks, self.config.surgery)
            token = l2_normalize(tower.project(tower(images).last[:, :1]).float())
            patches = [l2_normalize(tower.project(kept[block][:, 1:]).float()) + token for block in blocks]
        margins = margin(torch.cat(patches, 1), states).unflatten(1, (len(blocks), *grid))
        overlap = (states[:, 0] * states[:, 1]).sum(1).mean() ** 2
        maps = (margins / self.config.temperature).sigmoid()
        return AaClipEvidence(maps, maps.mean((1, 2, 3)), margins, overlap=overlap)

    def _texts(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch 2 embed"]:
        """Both texts of each image; each class is encoded once."""
        if len(class_names) != images:
            raise InputError("every image has one class name", f"{len(class_names)} for {images}", "give one for each")
        texts = {name: self._cache(name, partial(self._encode, name)) for name in dict.fromkeys(class_names)}
        return torch.stack([texts[name] for name in class_names])

    def _encode(self, class_name: str) -> Float[Tensor, "2 embed"]:
        normal, anomalous = (tuple(state) for state in self.prompts("{}"))
        states = fit_prompts(self.clip.tokenizer, class_name, (normal, anomalous), len(TEMPLATES))
        ids, ends = padded_ids(self.clip, [prompt for prompts in states for prompt in prompts])
        edits: dict[int, Edit] = dict(enumerate(self.text_adapters))
        tokens, _ = self.clip.text.run(ids, after=edits)
        features = self.text_projection(self.clip.text.norm_final(tokens[torch.arange(len(ends)), ends]))
        return torch.cat([state_features(part[None]) for part in features.split([len(state) for state in states])])

    def _score(
        self, maps: Float[Tensor, "batch levels rows cols"], cosine: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        greatest = map_maximum(maps, None, self.clip.vision.patch_size, **self.config.upsampling)
        return (self.config.map_weight * greatest + (1 - self.config.map_weight) * (1 + cosine) / 2).clamp(0, 1)


def margin(
    features: Float[Tensor, "batch cells embed"], states: Float[Tensor, "batch 2 embed"]
) -> Float[Tensor, "batch cells"]:
    """Inner product with the anomalous text less that with the normal one."""
    return (features @ (states[:, 1] - states[:, 0])[:, :, None])[..., 0]
