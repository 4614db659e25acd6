"""CLIP-AC: CLIP as a zero-shot detector with an ensemble of generic prompts for each state.

The row "CLIP-AC" of AnomalyCLIP (Zhou et al., "AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly
Detection", ICLR 2024) and of the tables that copy it. Everything but the prompts is :mod:`zsad.methods.clip`; which
templates were taken, and why, is in ``docs/methods.md``.
"""

from dataclasses import dataclass
from typing import Literal

from zsad.backbones.clip import Clip
from zsad.methods._base import Paper
from zsad.methods._imagenet_templates import TEMPLATES
from zsad.methods.clip import ClipDetector, ClipDetectorConfig

PHOTO_TEMPLATES = (
    "a photo of {}",
    "a bad photo of {}",
    "a good photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a blurry photo of {}",
    "a black and white photo of {}",
    "a low resolution photo of {}",
    "a jpeg corrupted photo of {}",
    "a cropped photo of {}",
    "a close-up photo of {}",
    "a photo of one {}",
    "a photo of my {}",
)
ARTICLES = {"normal {}": ("a normal {}", "the normal {}"), "anomalous {}": ("an anomalous {}", "the anomalous {}")}


def _in_photo_templates(state: str) -> tuple[str, ...]:
    """The state in every template, with both articles where the template takes one."""
    return tuple(
        template.format(thing)
        for template in PHOTO_TEMPLATES
        for thing in ((state,) if template.endswith(("one {}", "my {}")) else ARTICLES[state])
    )


def _in_imagenet_templates(state: str) -> list[str]:
    """The state in each of CLIP's templates, with its article where the template has one before the class."""
    with_article, _ = ARTICLES[state]
    return [
        template.replace("a {}", with_article) if "a {}" in template else template.replace("{}", state)
        for template in TEMPLATES
    ]


@dataclass(frozen=True)
class ClipAcConfig(ClipDetectorConfig):
    """Constants of the published row.

    Attributes:
        templates: 24 sentences per state modelled on those of CLIP's that mention a photo, or CLIP's 80 for ImageNet.
    """

    templates: Literal["photographs", "imagenet"] = "photographs"


class ClipAc(ClipDetector):
    """CLIP with 24 or 80 prompts a state."""

    paper = Paper(
        title="AnomalyCLIP: Object-agnostic Prompt Learning for Zero-shot Anomaly Detection (row CLIP-AC)",
        authors="Q. Zhou et al.",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2310.18961",
    )
    config_type = ClipAcConfig
    templates = (_in_photo_templates("normal {}"), _in_photo_templates("anomalous {}"))

    def __init__(self, clip: Clip, config: ClipAcConfig | None = None) -> None:
        self.config: ClipAcConfig
        super().__init__(clip, config or ClipAcConfig())

    def prompts(self, class_name: str) -> tuple[list[str], list[str]]:
        """The normal and the anomalous prompts of a class."""
        if self.config.templates == "photographs":
            return super().prompts(class_name)
        normal, anomalous = (
            [prompt.format(class_name) for prompt in _in_imagenet_templates(state)] for state in ARTICLES
        )
        return normal, anomalous
