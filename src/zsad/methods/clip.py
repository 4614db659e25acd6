"""CLIP as a zero-shot detector, with one normal and one anomalous prompt.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, used for anomaly
detection as the row "CLIP" of AnomalyCLIP (Zhou et al., ICLR 2024) and of the tables that copy it.

    images -> tower -> last tokens [batch, 1 + rows·cols, width] -> post-norm, projection
    class name -> two prompts -> two unit vectors
    score = softmax(cos(class token, states) / τ),  map = softmax(cos(patch tokens, states) / τ)

Patch tokens of an unmodified CLIP are not aligned with text ("opposite similarity"): the published pixel AUROC of this
row on MVTec AD is below one half. That is expected of a correct baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from zsad.backbones.clip import Clip
from zsad.methods._base import Config, Method, Paper, check_temperature
from zsad.parts.similarity import anomaly_probability, class_states
from zsad.types import Evidence, Trace

NORMAL_PROMPTS = ("a photo of a normal {}",)
ANOMALOUS_PROMPTS = ("a photo of an anomalous {}",)


@dataclass(frozen=True)
class ClipDetectorConfig(Config):
    """Constants of the published row.

    Attributes:
        temperature: τ of the softmax; 0.07 reproduces the published row.
    """

    temperature: float = 0.07

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.temperature)


class ClipDetector(Method):
    """CLIP with one prompt per state."""

    paper = Paper(
        title="Learning Transferable Visual Models From Natural Language Supervision",
        authors="A. Radford et al.",
        venue="ICML",
        year=2021,
        url="https://arxiv.org/abs/2103.00020",
    )
    config_type = ClipDetectorConfig
    templates: ClassVar[tuple[Sequence[str], Sequence[str]]] = (NORMAL_PROMPTS, ANOMALOUS_PROMPTS)

    def __init__(self, clip: Clip, config: ClipDetectorConfig | None = None) -> None:
        self.config: ClipDetectorConfig
        super().__init__(clip, config or ClipDetectorConfig())

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        return self.predict_from_trace(self.clip.vision(images), class_names)

    def predict_from_trace(self, trace: Trace, class_names: Sequence[str]) -> Evidence:
        """Evidence from a pass of the images through the unmodified tower."""
        ways = len(self.prompts("{}")[0])
        states = class_states(self.clip, class_names, len(trace.last), self.prompts, ways)
        probability = anomaly_probability(self.clip.vision.project(trace.last), states, self.config.temperature)
        return Evidence(maps=probability[:, 1:].unflatten(1, (1, *trace.grid)), score=probability[:, 0])

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        normal, anomalous = ([prompt.format(class_name) for prompt in state] for state in self.templates)
        return normal, anomalous
