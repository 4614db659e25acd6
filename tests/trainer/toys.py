"""Two methods small enough to train in a moment, and images for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from tests.small import register
from zsad import methods
from zsad.backbones.clip import Clip
from zsad.methods._base import Config, Method, Paper
from zsad.methods._trainable import FrozenBackboneMethod, Trainable, TrainingConfig
from zsad.parts.losses import dice, focal, image_cross_entropy, upsample
from zsad.types import BackboneFeatures, Evidence, Target

PAPER = Paper("Toys", "T. Oy", "Nowhere", 2026, "https://example.org")


@dataclass(frozen=True)
class ToyConfig(Config):
    """Attributes:
    noise: standard deviation of what is added to the features while training.
    """

    noise: float = 0.5


class ToyReader(FrozenBackboneMethod):
    """A linear layer on patches, and chance."""

    paper, config_type = PAPER, ToyConfig
    training_defaults = TrainingConfig(epochs=4, batch_size=3, learning_rate=0.05, schedule="inverse")

    def __init__(self, clip: Clip, config: ToyConfig | None = None) -> None:
        self.config: ToyConfig
        super().__init__(clip, config or ToyConfig())
        self.head = nn.Linear(clip.config.vision.width, 1)
        self.seen = 0

    def extract_features(self, images: Float[Tensor, "batch 3 rows cols"]) -> BackboneFeatures:
        self.seen += len(images)
        trace = self.clip.vision(images)
        return BackboneFeatures(trace.last[:, None, 1:], self.clip.vision.project(trace.last[:, 0]), trace.grid)

    def predict_from_features(self, features: BackboneFeatures, class_names: Sequence[str]) -> Evidence:
        patches = features.patches.float()
        if self.training:
            patches = patches + self.config.noise * torch.randn_like(patches)
        maps = self.head(patches)[..., 0].float().sigmoid().unflatten(2, features.grid)
        return Evidence(maps, maps.amax((1, 2, 3)))

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        maps = upsample(evidence.maps, target.masks, align_corners=True)[:, 0]
        return {
            "focal": focal(maps, target.masks),
            "dice": dice(maps, target.masks),
            "image": image_cross_entropy(evidence.score, target.labels),
        }


class ToyEditor(Trainable):
    """A linear layer after a block, which the last tokens answer for."""

    paper, config_type = PAPER, ToyConfig
    training_defaults = TrainingConfig(
        epochs=2, batch_size=4, learning_rate=0.01, rates={"head": 0.1}, clip_norms={"edit": 1.0}, augment=True
    )

    def __init__(self, clip: Clip, config: ToyConfig | None = None) -> None:
        super().__init__(clip, config or ToyConfig())
        width = clip.config.vision.width
        self.edit, self.head = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, images: Float[Tensor, "batch 3 rows cols"], class_names: Sequence[str]) -> Evidence:
        trace = self.clip.vision(images, after={1: lambda tokens, _: tokens + self.edit(tokens)})
        maps = self.head(trace.last[:, 1:])[..., 0].float().sigmoid().unflatten(1, (1, *trace.grid))
        return Evidence(maps, maps.mean((1, 2, 3)))

    def loss(self, evidence: Evidence, target: Target) -> dict[str, Float[Tensor, ""]]:
        return {"dice": dice(upsample(evidence.maps, target.masks, align_corners=True)[:, 0], target.masks)}


TOYS: dict[str, type[Method]] = {"toy-reader": ToyReader, "toy-editor": ToyEditor}


def register_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the toys methods, and the small architectures backbones, that can be asked for by name."""
    register(monkeypatch)
    get, names = methods.get, methods.names()
    monkeypatch.setattr(methods, "get", lambda name: TOYS[name] if name in TOYS else get(name))
    monkeypatch.setattr(methods, "names", lambda: sorted([*names, *TOYS]))


def draw(folder: Path, count: int = 4, side: int = 48, class_name: str = "metal_nut") -> str:
    """An MVTec tree of normal and anomalous images, a white square with its mask on noise; as LAYOUT:PATH."""
    rng = np.random.default_rng(0)
    for number in range(2 * count):
        kind = "good" if number < count else "square"
        pixels = rng.integers(0, 128, (side, side, 3)).astype(np.uint8)
        mask = np.zeros((side, side), bool)
        if kind == "square":
            top, left = rng.integers(0, side // 2, 2)
            mask[top : top + side // 3, left : left + side // 3] = True
            pixels[mask] = 255
            _save(Image.fromarray(mask), folder / class_name / "ground_truth" / kind / f"{number:03}_mask.png")
        _save(Image.fromarray(pixels), folder / class_name / "test" / kind / f"{number:03}.png")
    return f"mvtec:{folder}"


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
