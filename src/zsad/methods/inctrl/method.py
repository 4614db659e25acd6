"""InCTRL: residuals between an image and a few normal images of its class, judged by heads trained on other classes.

Zhu and Pang, "Toward Generalist Anomaly Detection via In-context Residual Learning with Few-shot Sample Prompts",
CVPR 2024. Written from the paper and from facts of the authors' code (commit cc535d0); what differs is in
``docs/methods/inctrl.md``. Few-shot only, and trained with normal images beside each image.

    images, normal images -> frozen tower -> patches after blocks 7, 9, 11 of 12 [batch, cells, width], class token
    M      = mean over the three of (1 - max cosine with the patches of the normal images) / 2     patch level
    s_i    = head(mean of the adapted class tokens of the normal images - that of the image)      image level
    s_a    = softmax(cosine of the class token with 154 normal and 88 anomalous prompts / 0.01)    prior by text
    M+     = M + s_i + s_a, at each cell
    score  = (head(M+) + max M) / 2
    loss   = focal(score) + focal(s_i)

The method is one of image scores. Its map here is M, which nothing trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._few_shot import FewShot
from zsad.methods._published import PublishedDetector, checked, size, tensor_set
from zsad.methods._trainable import InContextMethod, TrainingConfig
from zsad.methods.inctrl.heads import HIDDEN, Adapter, ScoreHead
from zsad.methods.inctrl.residuals import distances, in_order, mixed_up
from zsad.parts.prompts import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, compose
from zsad.parts.similarity import anomaly_probability, class_states
from zsad.references import PatchFeatures, nearest_cosine
from zsad.types import BackboneFeatures, Evidence, Size, Target

PAPER_DEPTH, PAPER_SIZE = 24, 240
GAMMA = 2.0
"""Of the focal loss, which has no alpha (code)."""
SUMMANDS = 3
"""Of M+."""
LAYERS = {
    "adapter.fc.0": "adapter.down",
    "adapter.fc.2": "adapter.up",
    **{
        f"{theirs}.{part}": f"{ours}.{name}"
        for theirs, ours in (("diff_head", "head"), ("diff_head_ref", "residual_head"))
        for part, name in (
            ("projection1", "first"),
            ("projection2", "second"),
            ("projection3", "last"),
            ("bn2", "first_norm"),
            ("bn3", "second_norm"),
        )
    },
}
"""Our names of the layers of a checkpoint of the authors."""
OF_CLIP = (
    r"(visual|transformer|token_embedding|ln_final)\..*|positional_embedding|text_projection|attn_mask|logit_scale"
)
"""Names of the frozen CLIP in a checkpoint of the authors, which holds the whole model."""
UNUSED = (OF_CLIP, r"diff_head(_ref)?\.bn1\..*", r".*\.num_batches_tracked")


@dataclass(frozen=True)
class InCtrlConfig(Config):
    """Constants of the authors' code.

    Attributes:
        levels: layers of 24, counted from 1, whose patches are compared: blocks 7, 9 and 11 of 12.
        temperature: of the prior by text; the code multiplies cosines by 100.
        reduction: of the width of the adapter's hidden layer.
        greatest_weight: of the greatest residual in the score of an image, beside 1 for the head: the code has the mean
            of both.
        training_shots: normal images beside each image in training.
        mixed_batch: whether training reads its batches as the code does, which takes the axis of images for that of
            levels where it reshapes them, so that the patches of an image meet those of normal images of others. It
            does the same when it tests, but there a batch is one image.
        score_logits: whether the loss takes P(anomalous) for its log-odds, as the code does.
        map: ``"residual"``, M, or ``"holistic"``, M+ / 3, which adds the same to all cells of an image.
    """

    levels: tuple[int, ...] = (14, 18, 22)
    temperature: float = 0.01
    reduction: int = 4
    greatest_weight: float = 1.0
    training_shots: int = 2
    mixed_batch: bool = True
    score_logits: bool = True
    map: Literal["residual", "holistic"] = "residual"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_within("the reduction of an adapter", self.reduction, 1, 64)
        check_within("the weight of the greatest residual", self.greatest_weight, 0, 1024)
        check_within("the number of normal images beside each image", self.training_shots, 1, 64)
        if not self.levels:
            raise ConfigError("InCTRL compares the patches of one layer at least", "none", "for instance (14, 18, 22)")


@dataclass(frozen=True)
class InContextEvidence(Evidence):
    """Evidence, with what the loss needs.

    Attributes:
        residual: s_i, P(anomalous) by the residual of class tokens.
    """

    residual: Float[Tensor, "batch"] = field(kw_only=True)


class InCtrl(FewShot, InContextMethod):
    """InCTRL.

    Attributes:
        class_tokens: of each image that the bank numbers, in the joint space.
    """

    paper = Paper(
        title="Toward Generalist Anomaly Detection via In-context Residual Learning with Few-shot Sample Prompts",
        authors="J. Zhu and G. Pang",
        venue="CVPR",
        year=2024,
        url="https://arxiv.org/abs/2403.06495",
    )
    config_type = InCtrlConfig
    paper_backbone = "ViT-B-16-plus-240"
    needs_normal = True
    training_defaults = TrainingConfig(
        epochs=10, batch_size=16, learning_rate=1e-3, weight_decay=0.01, decoupled_weight_decay=True
    )
    class_tokens: Float[Tensor, "images embed"]

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``checkpoint_N.pyth`` of the authors' training; the frozen CLIP in it is left."""
        everything = tensor_set(state)
        hidden, embed = size(everything, "adapter.fc.0.weight", 0), size(everything, "adapter.fc.0.weight", 1)
        expected: dict[str, tuple[int, ...]] = {
            "adapter.fc.0.weight": (hidden, embed),
            "adapter.fc.2.weight": (embed, hidden),
        }
        cells = size(everything, "diff_head.projection1.weight", 1)
        for head, width in (("diff_head", cells), ("diff_head_ref", embed)):
            expected |= _head_shapes(head, width)
        found = checked(everything, expected, UNUSED)
        tensors = {f"{LAYERS[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": found[name] for name in found}
        counts = {name: torch.tensor(0) for name in _counts()}
        reduction = {"reduction": embed // hidden} if embed // hidden != InCtrlConfig.reduction else {}
        tensors |= counts | {"class_tokens": torch.empty(0, embed)}
        return PublishedDetector(reduction, tensors, cls.paper_backbone, PAPER_SIZE, "gelu")

    def __init__(self, clip: Clip, config: InCtrlConfig | None = None) -> None:
        self.config: InCtrlConfig
        config, vision, embed = config or InCtrlConfig(), clip.config.vision, clip.config.embed
        self.blocks = [level_index(level, PAPER_DEPTH, vision.depth) for level in config.levels]
        super().__init__(clip, config, widths=(vision.width,) * len(self.blocks))
        self.training_shots = config.training_shots
        side = vision.image_size // vision.patch
        self.grid: Size = (side, side)
        self.adapter = Adapter(embed, config.reduction)
        self.residual_head, self.head = ScoreHead(embed), ScoreHead(side * side)
        self.register_buffer("class_tokens", torch.empty(0, embed))

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        trace = self.clip.vision(images, keep=set(self.blocks))
        patches = torch.stack([trace.kept[block][:, 1:] for block in self.blocks], 1)
        return BackboneFeatures(patches, self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> InContextEvidence:
        """Compared with the normal images that the detector remembers.

        Raises:
            ConfigError: there are none.
        """
        if not self.is_few_shot:
            rule = "InCTRL is few-shot only: it compares images with normal ones of their class"
            remedy = (
                'run zsad fit DETECTOR --normal DIR --class-name "metal nut" --out OUT, then name OUT as the detector'
            )
            raise ConfigError(rule, "no normal image", remedy)
        cosines = nearest_cosine(self._references(features), self.bank).transpose(0, 1)
        normal = self.adapter(self.class_tokens[self.bank.image.unique()]).mean(0, keepdim=True)
        return self._evidence(features, ((1 - cosines) / 2).clamp(0, 1), normal, class_names)

    def predict_in_context(
        self, features: BackboneFeatures, normal: BackboneFeatures, class_names: Sequence[str]
    ) -> InContextEvidence:
        """Compared with the normal images beside each image."""
        context = (mixed_up if self.config.mixed_batch else in_order)(features, normal)
        return self._evidence(features, distances(context), self.adapter(context.normal_tokens).mean(1), class_names)

    @property
    def couples_images(self) -> bool:
        """By batch normalisation, and by the order in which the code reads a batch."""
        return True

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal loss of the score, and of the score by the residual of class tokens."""
        assert isinstance(evidence, InContextEvidence)
        of_logits = self.config.score_logits
        return {
            "image": binary_focal(evidence.score, target.labels, of_logits=of_logits),
            "residual": binary_focal(evidence.residual, target.labels, of_logits=of_logits),
        }

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class: WinCLIP's."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Patches after the compared blocks."""
        return self._references(self.extract_features(images))

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Remember the patches and the class tokens of normal images."""
        features = self.extract_features(images)
        self.bank.add(self._references(features))
        self.class_tokens = torch.cat([self.class_tokens, features.image.to(self.class_tokens)])

    def forget_normal(self) -> None:
        """Forget patches and class tokens."""
        super().forget_normal()
        self.class_tokens = self.class_tokens[:0]

    def _references(self, features: BackboneFeatures) -> PatchFeatures:
        streams = (l2_normalize(patches.float()) for patches in features.patches.unbind(1))
        return PatchFeatures(tuple(streams), features.grid)

    def _evidence(
        self,
        features: BackboneFeatures,
        residuals: Float[Tensor, "batch levels cells"],
        normal: Float[Tensor, "#batch embed"],
        class_names: Sequence[str],
    ) -> InContextEvidence:
        """From the residuals of patches, and the mean of the adapted class tokens of normal images."""
        states = class_states(self.clip, class_names, len(features.image), self.prompts, len(TEMPLATES))
        text = anomaly_probability(features.image, states, self.config.temperature)
        of_tokens = self.residual_head(normal - self.adapter(features.image))
        holistic = residuals + (of_tokens + text)[:, None, None]
        by_head = self.head(self._on_own_grid(holistic.mean(1), features.grid))
        weight, greatest = self.config.greatest_weight, residuals.mean(1).amax(1)
        maps = holistic / SUMMANDS if self.config.map == "holistic" else residuals
        score = (by_head + weight * greatest) / (1 + weight)
        return InContextEvidence(maps.unflatten(2, features.grid), score, residual=of_tokens)

    def _on_own_grid(self, cells: Float[Tensor, "batch cells"], grid: Size) -> Float[Tensor, "batch own_cells"]:
        """The head takes as many cells as the backbone has at its own size: other grids are resized to that one."""
        if grid == self.grid:
            return cells
        resized = F.interpolate(cells.unflatten(1, (1, *grid)), self.grid, mode="bilinear", align_corners=False)
        return resized.flatten(1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """As in PyTorch, except that there are as many class tokens as were saved."""
        saved, images = (state_dict.get(f"{prefix}{name}") for name in ("class_tokens", "bank.image_count"))
        if isinstance(saved, Tensor) and saved.ndim == 2:
            self.class_tokens = self.class_tokens.new_empty(len(saved), self.class_tokens.shape[1])
            if isinstance(images, Tensor) and images.numel() == 1 and int(images) != len(saved):
                rest[-1].append(f"{prefix}class_tokens has one row for each image of the memory")
        super()._load_from_state_dict(state_dict, prefix, *rest)


def binary_focal(
    scores: Float[Tensor, "batch"], labels: Float[Tensor, "batch"], *, of_logits: bool
) -> Float[Tensor, ""]:
    """Focal loss (Lin et al. 2017) without alpha: (1 - p)^2 times the cross-entropy -log p of the true state.

    Args:
        scores: P(anomalous).
        labels: 0 normal, 1 anomalous.
        of_logits: whether the scores are taken for log-odds.
    """
    odds = scores.float() if of_logits else scores.float().logit(eps=1e-6)
    entropy = F.binary_cross_entropy_with_logits(odds, labels, reduction="none")
    return ((1 - (-entropy).exp()) ** GAMMA * entropy).mean()


def _head_shapes(head: str, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a head in a checkpoint of the authors."""
    widths = (width, *HIDDEN, 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (inner, outer) in enumerate(pairwise(widths), 1):
        shapes |= {f"{head}.projection{number}.weight": (outer, inner), f"{head}.projection{number}.bias": (outer,)}
    kinds = ("weight", "bias", "running_mean", "running_var")
    return shapes | {f"{head}.bn{n}.{kind}": (width,) for n, width in enumerate(HIDDEN, 2) for kind in kinds}


def _counts() -> list[str]:
    """The counters of batch normalisation, which change no answer."""
    heads, norms = ("head", "residual_head"), ("first_norm", "second_norm")
    return [f"{head}.{norm}.num_batches_tracked" for head in heads for norm in norms]
