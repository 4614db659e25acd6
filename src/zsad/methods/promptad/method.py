"""PromptAD: prompts learnt from normal images alone, next to a memory of their patches. Few-shot only.

Li et al., "PromptAD: Learning Prompts with only Normal Samples for Few-Shot Anomaly Detection", CVPR 2024. Written from
the facts of the authors' code (commit 0f86ce0); what differs from the paper is in ``docs/methods/promptad.md``.

    images -> frozen tower -> class token, and tokens after blocks 3 and 8 of 12
           -> V-V attention along all blocks -> patches in the joint space [batch, cells, embed]
    fit    -> memory of the patches of both blocks; two sets of prompts, learnt for class tokens and for patches
    text   = softmax(scale * cosines with the normal and the anomalous state)
    memory = mean over both blocks of (1 - maximum of the cosine) / 2
    map    = 1 / (1 / text of the patch + 1 / memory)
    score  = 1 / (1 / text of the class token + 1 / maximum of the memory's map)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.backbones.transformer import l2_normalize, level_index
from zsad.config import check_within
from zsad.errors import ConfigError
from zsad.methods._base import Config, Paper
from zsad.methods._few_shot import FewShot
from zsad.methods.promptad.learning import LossOptions, Optimisation, learn, prototypes
from zsad.methods.promptad.prompts import PromptCounts, StatePrompts
from zsad.parts.vv_attention import run_with_tower
from zsad.references import PatchFeatures, nearest_cosine
from zsad.types import Evidence

PAPER_DEPTH = 24
ANY_CLASS = "object"
IMAGE, MAP = 0, 1
"""The two sets of prompts: for class tokens and for patches."""
LEAST = 1e-12


@dataclass(frozen=True)
class PromptAdConfig(Config):
    """Constants of the authors' code.

    Attributes:
        sigma: 4 px in maps of 400 px, which are 2.4 px at the 240 px of the backbone.
        levels: layers of 24, counted from 1, whose patches are remembered: blocks 3 and 8 of 12.
        image_prompts: normal prompts for the score of an image.
        map_prompts: normal prompts for its map.
        anomalous_prompts: learnt anomalous ones.
        normal_vectors: learnt vectors of a normal prompt.
        anomalous_vectors: learnt vectors of an anomalous suffix.
        suffix_last: whether the learnt suffix is behind the class name, as in the paper, or before it, as in the code.
        wordings: manual anomalous ones, with ``{}`` for the class name.
        class_wordings: further ones, of the defects of the class; the code has two to seven for each class of MVTec AD
            and VisA, which are the names of their kinds of defects. Here there are none unless you give some.
        image_epochs: steps of learning for images; one sees all normal images, up to 400.
        map_epochs: steps of learning for maps.
        learning_rate: of stochastic gradient descent, at the begin of a cosine schedule.
        momentum: of stochastic gradient descent.
        weight_decay: of stochastic gradient descent.
        align_weight: lambda of the alignment.
        margin: of the explicit anomaly margin.
        exponential_scale: whether cosines are multiplied by the exponential of CLIP's logit scale, about 100, or by its
            logarithm as saved, about 4.6, as in the code.
        margin_by_channel: whether the margin for maps sums squared differences over the patches of an image, as the
            code does, or over channels, as for images.
        seed: of the initial vectors.
    """

    sigma: float = 2.4
    levels: tuple[int, ...] = (6, 16)
    image_prompts: int = 3
    map_prompts: int = 1
    anomalous_prompts: int = 4
    normal_vectors: int = 4
    anomalous_vectors: int = 1
    suffix_last: bool = False
    wordings: tuple[str, ...] = (
        "damaged {}",
        "flawed {}",
        "abnormal {}",
        "imperfect {}",
        "blemished {}",
        "{} with flaw",
        "{} with defect",
        "{} with damage",
    )
    class_wordings: tuple[str, ...] = ()
    image_epochs: int = 100
    map_epochs: int = 1
    learning_rate: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.0005
    align_weight: float = 0.001
    margin: float = 0.0
    exponential_scale: bool = False
    margin_by_channel: bool = True
    seed: int = 111

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels or not self.wordings:
            raise ConfigError("PromptAD remembers at least one level, and has an anomalous wording", "none", "name one")
        for wording in (*self.wordings, *self.class_wordings):
            if wording.count("{}") != 1 or wording.count("{") != 1:
                raise ConfigError("a wording has one {} for the class name", repr(wording), 'such as "damaged {}"')
        for level in self.levels:
            level_index(level, PAPER_DEPTH, PAPER_DEPTH)
        for count in (self.image_prompts, self.map_prompts, self.anomalous_prompts):
            check_within("the number of prompts", count, 1, 64)
        for length in (self.normal_vectors, self.anomalous_vectors):
            check_within("the number of learnt vectors in a prompt", length, 1, 16)
        for epochs in (self.image_epochs, self.map_epochs):
            check_within("the number of epochs", epochs, 1, 1024)
        check_within("a learning rate", self.learning_rate, 1e-8, 1)
        check_within("the momentum", self.momentum, 0, 1)
        for weight in (self.weight_decay, self.align_weight, self.margin):
            check_within("a weight", weight, 0, 1024)


@dataclass(frozen=True)
class Seen:
    """What is seen of a batch of images.

    Attributes:
        image: class tokens in the joint space, unit vectors.
        patches: of the V-V stream in the joint space, unit vectors.
        references: what is compared with the memory.
    """

    image: Float[Tensor, "batch embed"]
    patches: Float[Tensor, "batch cells embed"]
    references: PatchFeatures


class PromptAd(FewShot):
    """PromptAD."""

    paper = Paper(
        title="PromptAD: Learning Prompts with only Normal Samples for Few-Shot Anomaly Detection",
        authors="X. Li et al.",
        venue="CVPR",
        year=2024,
        url="https://arxiv.org/abs/2404.05231",
    )
    config_type = PromptAdConfig
    paper_backbone = "ViT-B-16-plus-240"
    uses_class_names = False  # of images that are scored; prompts are learnt for the class of the normal images
    needs_normal = True
    states: Float[Tensor, "2 2 embed"]

    def __init__(self, clip: Clip, config: PromptAdConfig | None = None) -> None:
        self.config: PromptAdConfig
        config, vision = config or PromptAdConfig(), clip.config.vision
        self.blocks = [level_index(level, PAPER_DEPTH, vision.depth) for level in config.levels]
        super().__init__(clip, config, widths=(vision.width,) * len(self.blocks))
        self.register_buffer("states", torch.zeros(2, 2, clip.config.embed))
        self._class_name, self._seen = ANY_CLASS, list[Seen]()

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        """Learnt prompts and the memory.

        Raises:
            ConfigError: there are no normal images.
        """
        if not self.is_few_shot:
            rule = "PromptAD is few-shot only: it learns its prompts from normal images"
            remedy = (
                'run zsad fit promptad --normal DIR --class-name "metal nut" --out OUT, then name OUT as the detector'
            )
            raise ConfigError(rule, "no normal image", remedy)
        seen = self.observe(images)
        distances = ((1 - nearest_cosine(seen.references, self.bank)) / 2).clamp(0, 1).mean(0)
        maps = half_harmonic_mean(self._by_text(seen.patches, MAP), distances)
        score = half_harmonic_mean(self._by_text(seen.image, IMAGE), distances.amax(1))
        return Evidence(maps.unflatten(1, (1, *seen.references.grid)), score)

    def observe(self, images: Float[Tensor, "batch 3 rows cols"]) -> Seen:
        """What is seen of normalised images, in one pass through the tower."""
        vision = self.clip.vision
        last = len(vision.transformer.blocks) - 1
        trace, stream = run_with_tower(vision, images, 0, [last], keep=self.blocks)
        streams = tuple(l2_normalize(trace.kept[block][:, 1:].float()) for block in self.blocks)
        return Seen(
            l2_normalize(vision.project(trace.last[:, 0]).float()),
            l2_normalize(vision.project(stream[last][:, 1:]).float()),
            PatchFeatures(streams, trace.grid),
        )

    def reference_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> PatchFeatures:
        """Patches after the remembered blocks."""
        return self.observe(images).references

    def start_fit(self, class_name: str) -> None:
        """Prompts are learnt for this class."""
        self._class_name, self._seen = class_name.strip() or ANY_CLASS, []

    # Prompts are learnt from these features, and tensors made in inference mode cannot.
    @torch.inference_mode(False)
    @torch.no_grad()
    def fit_normal(self, images: Float[Tensor, "batch 3 rows cols"]) -> None:
        """Remember the patches of normal images; :meth:`finish_fit` learns the prompts."""
        seen = self.observe(images)
        self.bank.add(seen.references)
        self._seen.append(seen)

    @torch.inference_mode(False)
    @torch.no_grad()
    def finish_fit(self) -> None:
        """Learn the prompts from the images that were added last."""
        if not self._seen:
            return
        seen, self._seen = self._seen, []
        config = self.config
        image = self._learnt(torch.cat([each.image for each in seen]), config.image_prompts, config.image_epochs)
        maps = self._learnt(torch.cat([each.patches for each in seen]), config.map_prompts, config.map_epochs)
        self.states = torch.stack([image, maps]).to(self.states)

    def forget_normal(self) -> None:
        """Empty the memory, and forget the prompts."""
        super().forget_normal()
        self.states = torch.zeros_like(self.states)
        self._seen = []

    def _learnt(
        self, features: Float[Tensor, "images *cells embed"], count: int, epochs: int
    ) -> Float[Tensor, "2 embed"]:
        """The normal and the anomalous state of prompts that are learnt from features of normal images."""
        config, generator = self.config, torch.Generator().manual_seed(self.config.seed)
        counts = PromptCounts(
            count, config.anomalous_prompts, config.normal_vectors, config.anomalous_vectors, config.suffix_last
        )
        wordings = (*config.wordings, *config.class_wordings)
        prompts = StatePrompts(self.clip, self._class_name, wordings, counts, generator)
        optimisation = Optimisation(epochs, config.learning_rate, config.momentum, config.weight_decay)
        by_channel = config.margin_by_channel and features.ndim == 3
        options = LossOptions(self._scale, config.margin, config.align_weight, by_channel)
        for _ in learn(self.clip, prompts, features, optimisation, options):
            pass
        return prototypes(prompts(self.clip))

    @property
    def _scale(self) -> float:
        scale = self.clip.logit_scale.detach().float()
        return float(scale.exp() if self.config.exponential_scale else scale)

    def _by_text(self, features: Float[Tensor, "batch *cells embed"], task: int) -> Float[Tensor, "batch *cells"]:
        return (self._scale * features @ self.states[task].float().T).softmax(-1)[..., 1]


def half_harmonic_mean(one: Float[Tensor, "*shape"], other: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / (1 / a + 1 / b) of numbers that are at least 0.

    >>> half_harmonic_mean(torch.tensor([0.5, 0.0]), torch.tensor([0.25, 0.0])).tolist()
    [0.1666666716337204, 0.0]
    """
    return one * other / (one + other).clamp_min(LEAST)
