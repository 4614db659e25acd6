"""The architectures: one JSON file each in ``configs/``, read into these dataclasses."""

import json
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeVar, get_args

from zsad.config import check_within, from_mapping
from zsad.errors import ConfigError, unknown_name

Activation = Literal["quick_gelu", "gelu"]
PositionResize = Literal["bicubic_antialias", "bicubic", "bicubic_offset", "bilinear"]
"""``"bicubic_offset"`` is DINOv2's: bicubic, for a grid that is taken to be 0.1 cells larger than it is."""
Stem = Literal["patches", "efficientnet-lite0"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
RESIZES: tuple[PositionResize, ...] = get_args(PositionResize)
T = TypeVar("T", bound=str)

EMBEDDED, RANDOM = "embedded", "random"
FORMER = {"tiny": "tiny-research"}
"""Architectures whose embedded weights were replaced after version 0.1.0, and those that have the former weights."""
MAX_IMAGE_SIZE = 4096
"""Maximum image size in px: eight times the largest of the papers; beyond it memory runs out."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
EPSILON = 1e-5


@dataclass(frozen=True)
class TowerConfig:
    """Shape of a transformer: ``depth`` blocks of ``width`` channels in ``heads`` heads.

    Attributes:
        epsilon: of all layer norms; 1e-5, and 1e-6 in DINOv2.
        layer_scale: whether each block multiplies what it adds to the stream by a learnt vector (LayerScale, Touvron et
            al., ICCV 2021).
        rotary_base: base of rotary positions (Su et al., 2021) over the two axes of the patch grid; None for none.
    """

    width: int
    depth: int
    heads: int
    # Not in the repr, which is part of the fingerprints of towers from before there was a choice.
    epsilon: float = field(default=EPSILON, kw_only=True, repr=False)
    layer_scale: bool = field(default=False, kw_only=True, repr=False)
    rotary_base: float | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                "the width of a tower is a multiple of its heads", f"{self.width} / {self.heads}", "fix one"
            )


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """Shape of a vision tower.

    Attributes:
        image_size: side in px of the square that its position table was trained for.
        patch: side in px of a patch.
        stem: the patch embedding: CLIP's one convolution, or those of a CNN (:class:`zsad.backbones.stem.Stem`, with
            patches of 16 px).
        registers: tokens between the class token and the patches that stand for no patch (Darcet et al., ICLR 2024).
        patch_bias: whether the convolution of the patch embedding has a bias.
        norm_pre: whether tokens are normalised before the first block.
    """

    image_size: int
    patch: int
    # Not in the repr, as above.
    stem: Stem = field(default="patches", repr=False)
    registers: int = field(default=0, kw_only=True, repr=False)
    patch_bias: bool = field(default=False, kw_only=True, repr=False)
    norm_pre: bool = field(default=True, kw_only=True, repr=False)

    @property
    def grid(self) -> int:
        """Side of the trained patch grid."""
        return self.image_size // self.patch

    @property
    def additions(self) -> dict[str, object]:
        """Settings that differ from those of CLIP and are not in the repr."""
        unlike = {item.name: getattr(self, item.name) for item in fields(self) if not item.repr and item.name != "stem"}
        return {name: value for name, value in unlike.items() if value != DEFAULTS[name]}


DEFAULTS = {item.name: item.default for item in fields(VisionConfig) if not item.repr}


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """Shape of a text tower; ``context`` is the maximum number of tokens of a prompt, including start and end."""

    context: int
    vocabulary: int


NO_TEXT = TextConfig(width=0, depth=0, heads=1, context=0, vocabulary=0)
"""In place of a text tower, in backbones that only see."""


@dataclass(frozen=True)
class PublishedWeights:
    """A repository of published weights, and the settings they were trained with."""

    repo: str
    activation: Activation
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


@dataclass(frozen=True)
class ClipConfig:
    """A pair of towers with a joint space of ``embed`` dimensions, or a vision tower alone, whose width is ``embed``.

    ``activation`` and ``position_resize`` differ between published checkpoints although no tensor shows it;
    ``mean`` and ``std`` normalise the RGB channels in [0, 1]. ``detection_size`` is the image size in px at which the
    papers use this tower, where it differs from that of training. ``about`` and ``terms`` describe the weights
    and their terms of use.
    """

    embed: int
    activation: Activation
    vision: VisionConfig
    text: TextConfig = NO_TEXT
    weights: dict[str, PublishedWeights] = field(default_factory=dict)
    position_resize: PositionResize = "bicubic_antialias"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    detection_size: int | None = None
    about: str = ""
    terms: str = ""

    @property
    def has_text(self) -> bool:
        """Whether there is a text tower."""
        return self.text.depth > 0

    @property
    def default_size(self) -> int:
        """Default image size of detectors in px: that of the papers, or that of training."""
        return self.detection_size or self.vision.image_size

    def with_options(self, activation: Activation | None, position_resize: PositionResize | None) -> "ClipConfig":
        """A copy in which the given options replace the configured ones.

        Raises:
            ConfigError: an invalid value of an option.
        """
        return replace(
            self,
            activation=_one_of(ACTIVATIONS, activation or self.activation, "kind of activation"),
            position_resize=_one_of(RESIZES, position_resize or self.position_resize, "way of resizing positions"),
        )


def _one_of(choices: tuple[T, ...], value: T, what: str) -> T:
    if value not in choices:
        raise unknown_name(what, value, choices)
    return value


def names() -> list[str]:
    """Names of all architectures, from the files in ``configs/``.

    >>> "ViT-L-14-336" in names()
    True
    """
    folder = files("zsad.backbones") / "configs"
    return sorted(item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json"))


@cache
def get(name: str) -> ClipConfig:
    """The architecture of that name.

    >>> get("ViT-L-14-336").vision.depth
    24

    Raises:
        ConfigError: the name is unknown.
    """
    if name not in names():
        raise unknown_name("backbone", name, names())
    text = (files("zsad.backbones") / "configs" / f"{name}.json").read_text(encoding="utf-8")
    return from_mapping(ClipConfig, json.loads(text), f"{name}.json")


def weight_names(name: str) -> list[str]:
    """Names of weights for the architecture, in addition to paths and hub repositories.

    >>> weight_names("ViT-L-14-336")
    ['openai', 'random']
    """
    return [*([EMBEDDED] if embedded_weights(name).is_file() else []), *get(name).weights, RANDOM]


def embedded_weights(name: str) -> Traversable:
    """Path of the embedded weights of that architecture, whether they exist or not."""
    return files("zsad") / "assets" / name / "model.safetensors"


def image_size_for(backbone: str, image_size: int | None, config: ClipConfig | None = None) -> int:
    """Image size of a method in px: the given one, rounded down to whole patches, or the default of the backbone.

    Args:
        backbone: its name.
        image_size: as given by the user, or None.
        config: of the backbone; by default that of its name.

    Raises:
        ConfigError: the size is below two patches, or above ``MAX_IMAGE_SIZE``.
    """
    config = config or get(backbone)
    least = 2 * config.vision.patch
    if image_size is not None and image_size < least:
        raise ConfigError(f"{backbone} needs an image size of at least {least} px", image_size, f"use {least} or more")
    if image_size is not None:
        check_within("an image size in px", image_size, least, MAX_IMAGE_SIZE)
    chosen = image_size or config.default_size
    return chosen - chosen % config.vision.patch


def absolute_weights(weights: str | None, backbone: str | None = None) -> str | None:
    """Weights independent of the working directory: paths become absolute; names, such as published tags, are
    unchanged."""
    is_tag = backbone is not None and weights in weight_names(backbone)
    return str(Path(weights).resolve()) if weights is not None and not is_tag and Path(weights).exists() else weights
