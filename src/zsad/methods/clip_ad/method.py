"""CLIP-AD: SDP, a second path of V-V attention whose redundant part is removed; SDP+, with a linear layer a stage.

Chen et al., "CLIP-AD: A Language-Guided Staged Dual-Path Model for Zero-shot Anomaly Detection", arXiv 2023
(2311.00453). Written from the facts of the authors' code (commit f004973); what differs from the paper is in
``docs/methods/clip-ad.md``.

    images -> frozen tower -> tokens after layers 3, 6, 9, 12 of 12                         [batch, 1 + cells, width]
           -> V-V attentions of the blocks of each quarter, summed                          [batch, cells, width]
    "a photo of a {flawless, damaged, ...} {thing}." -> text tower -> mean of the largest cluster, for each state
    SDP    s = P_a cos_a - P_n cos_n of each patch of the V-V path, P the softmax of the layer's class token
    SDP+   p = softmax(cosine(Linear(token), text) / 0.01) of each patch of the tower
    map    = mean over the layers of s, or of p and s; smoothed
    score  = (P(anomalous) of the class token at 0.01 + maximum of the map) / 2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError, InputError
from zsad.methods._base import Config, Paper, check_temperature
from zsad.methods._published import PublishedDetector, linear_levels, tensor_set
from zsad.methods._trainable import FrozenBackboneMethod, TrainingConfig
from zsad.methods.clip_ad.clusters import largest_cluster
from zsad.methods.clip_ad.staged import staged_stream, with_next_attention
from zsad.parts.losses import segmentation_losses
from zsad.parts.maps import map_maximum
from zsad.parts.prompts import compose, fit_prompts
from zsad.parts.similarity import anomaly_probability, log_odds
from zsad.types import BackboneFeatures, Evidence, Target

PAPER_DEPTH, PAPER_SIZE = 12, 240
CONDITIONS = ("flaw", "defect", "damage", "scratch", "crack", "contamination")
NORMAL_STATES = ("flawless {}", "perfect {}", "unblemished {}", *(f"{{}} without {what}" for what in CONDITIONS))
ANOMALOUS_STATES = (
    *(f"{how} {{}}" for how in ("damaged", "imperfect", "blemished", "broken")),
    *(f"{{}} with {what}" for what in CONDITIONS),
)
_QUALITIES = ("cropped", "close-up", "bright", "dark", "jpeg corrupted", "blurry")
TEMPLATES = (
    *(f"a {how} photo of {which} {{}}." for how in _QUALITIES for which in ("a", "the")),
    *(f"a photo of {which}{size} {{}}." for which in ("a", "the") for size in ("", " large", " small")),
    *(
        f"a photo of {which} {{}} for {purpose}."
        for which in ("a", "the")
        for purpose in ("visual inspection", "anomaly detection")
    ),
)


@dataclass(frozen=True)
class ClipAdConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: 8 at 240 px; the code takes 2 for SDP+ on VisA.
        variant: ``"sdp+"`` is trained; ``"sdp"`` has nothing to train.
        levels: layers of 12, counted from 1, that are read: the ends of the quarters.
        temperature: of the class token and of the softmax of SDP+; the code multiplies cosines by 100.
        removal_temperature: of the softmax that weighs the states in SDP; the code has none, which is 1.
        next_attention: whether what is read after a block has the attention of the next one added already, as in the
            code, see :func:`zsad.methods.clip_ad.staged.with_next_attention`.
        representative: prompts that stand for a state: their largest cluster (``"dbscan"``), or all (``"mean"``).
        cluster_radius: of DBSCAN; the code takes 1.5 for VisA.
        cluster_least: neighbours of a core point, itself among them; the code takes 25 for VisA.
        map_weight: of the maximum of the map in the score; the code adds both after scaling them over a class.
    """

    sigma: float = 8.0
    variant: Literal["sdp+", "sdp"] = "sdp+"
    levels: tuple[int, ...] = (3, 6, 9, 12)
    temperature: float = 0.01
    removal_temperature: float = 1.0
    next_attention: bool = True
    representative: Literal["dbscan", "mean"] = "dbscan"
    cluster_radius: float = 0.5
    cluster_least: int = 15
    map_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)
        check_temperature(self.removal_temperature)
        check_within("the radius of a cluster", self.cluster_radius, 0, 2)
        check_within("the number of neighbours in a cluster", self.cluster_least, 1, 1024)
        check_within("the weight of the map in the score", self.map_weight, 0, 1)
        if not self.levels:
            raise ConfigError("CLIP-AD reads the tower after at least one layer", "none", "use (3, 6, 9, 12)")


class ClipAd(FrozenBackboneMethod):
    """CLIP-AD: SDP+ after training, or SDP without any."""

    paper = Paper(
        title="CLIP-AD: A Language-Guided Staged Dual-Path Model for Zero-shot Anomaly Detection",
        authors="X. Chen et al.",
        venue="arXiv",
        year=2023,
        url="https://arxiv.org/abs/2311.00453",
    )
    config_type = ClipAdConfig
    paper_backbone = "ViT-B-16-plus-240"
    # train_SDP_plus.sh; PyTorch's betas.
    training_defaults = TrainingConfig(epochs=5, batch_size=8, learning_rate=1e-4)

    @classmethod
    def from_published(cls, state: Mapping[str, Any]) -> PublishedDetector:
        """``epoch_N.pth`` of the authors' training of SDP+, or one of the two files that they published."""
        layers = tensor_set(state, "linear_layers")
        tensors, _ = linear_levels(layers, len(ClipAdConfig.levels), "CLIP-AD")
        return PublishedDetector({}, tensors, cls.paper_backbone, PAPER_SIZE, "gelu")

    def __init__(self, clip: Clip, config: ClipAdConfig | None = None) -> None:
        self.config: ClipAdConfig
        super().__init__(clip, config or ClipAdConfig())
        vision, embed = clip.config.vision, clip.config.embed
        self.blocks = sorted({level_index(level, PAPER_DEPTH, vision.depth) for level in self.config.levels})
        trained = self.blocks if self.config.variant == "sdp+" else []
        self.linear = nn.ModuleList(nn.Linear(vision.width, embed) for _ in trained)

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        """Patches of the tower at each layer, then those of the V-V path; class tokens of the layers, in one row."""
        tower = self.clip.vision
        trace, stream = staged_stream(tower, images, self.blocks)
        kept = [trace.kept[block] for block in self.blocks]
        if self.config.next_attention:
            kept = [with_next_attention(tower, *pair) for pair in zip(self.blocks, kept, strict=True)]
        tokens = tower.project(torch.stack([level[:, 0] for level in kept], 1))
        patches = torch.stack([*(level[:, 1:] for level in kept), *(stream[block][:, 1:] for block in self.blocks)], 1)
        return BackboneFeatures(patches, tokens.flatten(1), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        states = self._states(class_names, len(features.image))
        tower, surgical = features.patches.chunk(2, 1)
        tokens = features.image.unflatten(1, (len(self.blocks), -1))
        removed = self._removed(surgical, tokens, states).unflatten(2, features.grid)
        maps, logits = (1 + removed) / 2, None
        if self.linear:
            levels = [layer(tower[:, number]) for number, layer in enumerate(self.linear)]
            logits = torch.stack([log_odds(level, states, self.config.temperature) for level in levels], 1)
            logits = logits.unflatten(2, features.grid)
            # p + s, less a constant: s is halved above, so that it is there twice.
            maps = torch.cat([logits.sigmoid(), maps, maps], 1)
        text = anomaly_probability(tokens[:, -1], states, self.config.temperature)
        greatest = map_maximum(maps, logits, self.clip.vision.patch_size, **self.config.upsampling)
        score = (1 - self.config.map_weight) * text + self.config.map_weight * greatest
        return Evidence(maps=maps, score=score, logits=logits)

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        """Focal and Dice loss of the maps of the linear layers, each a sum over the layers."""
        assert evidence.logits is not None
        return segmentation_losses(evidence.logits, target.masks, align_corners=self.config.align_corners)

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        return compose(NORMAL_STATES, TEMPLATES, class_name), compose(ANOMALOUS_STATES, TEMPLATES, class_name)

    def _removed(
        self,
        patches: Float[Tensor, "batch levels cells width"],
        tokens: Float[Tensor, "batch levels embed"],
        states: Float[Tensor, "batch 2 embed"],
    ) -> Float[Tensor, "batch levels cells"]:
        """P_a cos_a - P_n cos_n: what is left of the anomalous state when the mean of both is taken off, in [-1, 1].

        That mean is half of the sum, and the weights of the code are twice the probabilities.
        """
        unit = l2_normalize(self.clip.vision.project(patches).float())
        cosines = torch.einsum("blce,bse->blcs", unit, states)
        weights = torch.einsum("ble,bse->bls", l2_normalize(tokens.float()), states) / self.config.removal_temperature
        weighted = cosines * weights.softmax(-1)[:, :, None]
        return weighted[..., 1] - weighted[..., 0]

    def _states(self, class_names: Sequence[str], images: int) -> Float[Tensor, "batch 2 embed"]:
        """Unit vectors of both states of what each image shows.

        Raises:
            InputError: there is not one class name for each image.
        """
        if len(class_names) != images:
            raise InputError("every image has one class name", f"{len(class_names)} for {images}", "give one for each")
        normal, anomalous = (tuple(state) for state in self.prompts("{}"))
        found = {}
        for name in dict.fromkeys(class_names):
            states = fit_prompts(self.clip.tokenizer, name, (normal, anomalous), len(TEMPLATES))
            found[name] = torch.stack([self._representative(self.clip.encode_prompts(state)) for state in states])
        return torch.stack([found[name] for name in class_names])

    def _representative(self, prompts: Float[Tensor, "prompts embed"]) -> Tensor:
        """A unit vector, Float[Tensor, "embed"]."""
        unit = l2_normalize(prompts.float())
        if self.config.representative == "dbscan":
            unit = unit[largest_cluster(unit, self.config.cluster_radius, self.config.cluster_least)]
        return l2_normalize(unit.mean(0))
